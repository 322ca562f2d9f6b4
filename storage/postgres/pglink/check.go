package pglink

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
)

// oldest is the oldest version of PostgreSQL that is supported: 15.
const oldest = 150_000

// maxSkew is how far the clocks of a process and of the database may be apart. Nothing is ordered by time, but events
// are dated by the process that appends them, and ages and deadlines are measured against those dates.
const maxSkew = time.Minute

// Check refuses a server on which a store's promises would not hold, and a user who may not use its tables.
func (t *Tables) Check(ctx context.Context, conn *pgx.Conn, clock event.Clock) error {
	var version int
	var replica bool
	var encoding, readOnly, fsync, pages, path string
	var now time.Time
	before := clock.Now()
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
		current_setting('server_encoding'), current_setting('transaction_read_only'), current_setting('fsync'),
		current_setting('full_page_writes'), clock_timestamp(), current_setting('search_path')`,
	).Scan(&version, &replica, &encoding, &readOnly, &fsync, &pages, &now, &path)
	after := clock.Now()
	switch {
	case err != nil:
		return Classify(err)
	case version < oldest:
		return event.Errorf(event.ErrFormat, "check database: it is PostgreSQL %d, want 15 or newer", version/10_000).
			Hint("upgrade the server")
	case replica:
		return event.Errorf(event.ErrUnavailable, "check database: it is a replica, which only reads").
			Hint("name the primary in the address, or all hosts with target_session_attrs=read-write")
	case readOnly != "off":
		return event.Errorf(event.ErrUnavailable, "check database: it is set to read only").
			Hint("unset default_transaction_read_only for this user or database")
	case encoding != "UTF8":
		return event.Invalid("database_setting", "check database: its encoding is %s, want UTF8", encoding).
			Hint("create the database anew: CREATE DATABASE lethe ENCODING 'UTF8' TEMPLATE template0")
	case fsync != "on" || pages != "on":
		return event.Invalid("database_setting", "check database: fsync is %s and full_page_writes is %s, want both on: "+
			"what is acknowledged would not survive a crash", fsync, pages).
			Hint("set them in postgresql.conf and restart the server")
	case path != conn.Config().RuntimeParams["search_path"]:
		return event.Invalid("database_setting", "check database: what stands between drops parameters of the connection").
			Hint(pooler)
	}
	if err := checkClock(before, after, now); err != nil {
		return err
	}
	return t.checkPrivileges(ctx, conn)
}

// checkClock compares the database's time with the process's right before and after it was asked for.
func checkClock(before, after, database time.Time) error {
	skew := time.Duration(0)
	switch {
	case database.Before(before):
		skew = before.Sub(database)
	case database.After(after):
		skew = database.Sub(after)
	}
	if skew <= maxSkew {
		return nil
	}
	return event.Invalid("clock_skew", "check clock: this machine's clock and the database's are %s apart, "+
		"want at most %s", skew.Round(time.Second), maxSkew).Hint("set both by NTP")
}

// Grant is a privilege, the columns it is on (empty: all), and the tables or sequences; names are parted by spaces.
type Grant [3]string

// privilege is one on a table, on a column of it, or on a sequence.
type privilege struct{ relation, column, what string }

func (p privilege) String() string {
	if p.column != "" {
		return p.what + " (" + p.column + ") on " + p.relation
	}
	return p.what + " on " + p.relation
}

// checkPrivileges refuses a user who could begin what it may not end: one who may append, but not write the index when
// that is due. Who may not append at all need only be able to read. What is not made yet is not asked for.
func (t *Tables) checkPrivileges(ctx context.Context, conn *pgx.Conn) error {
	var user, schema string
	var usable bool
	err := conn.QueryRow(ctx, `SELECT current_user, current_setting('search_path'),
		coalesce(has_schema_privilege(to_regnamespace(current_setting('search_path')), 'USAGE'), true)`,
	).Scan(&user, &schema, &usable)
	if err != nil {
		return Classify(err)
	}
	if !usable {
		return lacking(user, "USAGE on schema "+schema)
	}
	missing, err := t.missingPrivileges(ctx, conn)
	if err != nil {
		return err
	}
	reads := t.Writes != "" && slices.Contains(missing, privilege{t.Writes, "", "INSERT"})
	missing = slices.DeleteFunc(missing, func(p privilege) bool {
		return reads && (p.what != "SELECT" || p.relation == "token")
	})
	if len(missing) == 0 {
		return nil
	}
	list := make([]string, len(missing))
	for i, p := range missing {
		list[i] = p.String()
	}
	return lacking(user, strings.Join(list, ", "))
}

func lacking(user, what string) error {
	e := event.Errorf(event.ErrDenied, "check privileges: user %s lacks %s", user, what).Hint(grants)
	e.Code = denied
	return e
}

// missingPrivileges are those wanted that the user has not got, on what is there.
func (t *Tables) missingPrivileges(ctx context.Context, conn *pgx.Conn) (missing []privilege, err error) {
	var relations, columns, what []string
	for _, g := range t.Wanted {
		for _, relation := range strings.Fields(g[2]) {
			for _, column := range strings.Split(g[1], " ") {
				relations, columns, what = append(relations, relation), append(columns, column), append(what, g[0])
			}
		}
	}
	rows, err := conn.Query(ctx, `SELECT u.relation, u.column, u.what
		FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY u(relation, "column", what, n)
		JOIN pg_class c ON c.oid = to_regclass(u.relation)
		LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = u.column
		WHERE NOT CASE
			WHEN u.what = 'USAGE' THEN has_sequence_privilege(c.oid, u.what)
			WHEN u.column <> '' THEN has_column_privilege(c.oid, a.attnum, u.what)
			ELSE has_table_privilege(c.oid, u.what) END
		ORDER BY u.n`, relations, columns, what)
	if err != nil {
		return nil, Classify(err)
	}
	missing, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p privilege, err error) {
		return p, row.Scan(&p.relation, &p.column, &p.what)
	})
	return missing, Classify(err)
}

// MayVacuum tells whether the user may vacuum a table. PostgreSQL only warns who may not.
func MayVacuum(ctx context.Context, q Querier, table string) (may bool, err error) {
	err = q.QueryRow(ctx, `SELECT pg_has_role(c.relowner, 'USAGE')
		OR EXISTS (SELECT FROM pg_database d WHERE d.datname = current_database() AND pg_has_role(d.datdba, 'USAGE'))
		OR CASE WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(c.oid, 'MAINTAIN')
			ELSE false END
		FROM pg_class c WHERE c.oid = to_regclass($1)`, table).Scan(&may)
	return may, err
}
