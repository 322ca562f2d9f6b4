package pglink

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-es/lethe/storage"
)

// Old is the age from which a transaction is worth a word.
const Old = time.Minute

// Examine says how durable commits are, and what keeps the server from clearing up, if it is of an age.
func Examine(ctx context.Context, q Querier, old time.Duration) ([]storage.Check, error) {
	x := &examination{ctx: ctx, q: q}
	if err := x.durability(); err != nil {
		return nil, err
	}
	if err := x.vacuum(old); err != nil {
		return nil, err
	}
	return x.checks, nil
}

// examination gathers checks.
type examination struct {
	ctx    context.Context // of the one call it serves
	q      Querier
	checks []storage.Check
}

func (x *examination) add(name string, ok bool, format string, args ...any) {
	x.checks = append(x.checks, storage.Check{Name: name, OK: ok, Detail: Words(fmt.Sprintf(format, args...))})
}

// durability is what an acknowledged commit has reached. Only who may read the server's statistics sees what a replica
// is to it.
func (x *examination) durability() error {
	var setting string
	var waits bool
	var replicas, synchronous, hidden int
	err := x.q.QueryRow(x.ctx, `SELECT current_setting('synchronous_commit'),
		current_setting('synchronous_standby_names') <> '', count(r.pid),
		count(r.pid) FILTER (WHERE r.sync_state IN ('sync', 'quorum')), count(r.pid) FILTER (WHERE r.sync_state IS NULL)
		FROM (SELECT) one LEFT JOIN pg_stat_replication r ON true`).
		Scan(&setting, &waits, &replicas, &synchronous, &hidden)
	if err != nil {
		return err
	}
	what := "commits wait for this server's disk"
	switch {
	case waits && hidden > 0:
		what += " and for synchronous replicas, which this user may not see"
	case waits:
		what += fmt.Sprintf(" and for synchronous replicas, of which %d are connected", synchronous)
	case replicas > 0:
		what += fmt.Sprintf(" and for none of its %d replicas: a failover may lose the last of them", replicas)
	default:
		what += "; it has no replica now"
	}
	x.add("durability", setting != "off" && setting != "local", "synchronous_commit=%s: %s", setting, what)
	return nil
}

// vacuum names what keeps the server from reusing the room of rows that nobody can see any more. That is no fault of
// the store, but tables grow and get slow.
func (x *examination) vacuum(old time.Duration) error {
	rows, err := x.q.Query(x.ctx, `SELECT what, seconds, behind FROM (
		SELECT 'process ' || pid, extract(epoch FROM clock_timestamp() - xact_start)::float8,
			greatest(age(backend_xid), age(backend_xmin))
		FROM pg_stat_activity
		WHERE coalesce(backend_xid, backend_xmin) IS NOT NULL AND pid <> pg_backend_pid()
			AND backend_type IS DISTINCT FROM 'autovacuum worker'
			AND (datid IS NULL OR datid = (SELECT oid FROM pg_database WHERE datname = current_database()))
		UNION ALL
		SELECT 'prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float8, age(transaction)
		FROM pg_prepared_xacts WHERE database = current_database()
		UNION ALL
		SELECT 'replication slot ' || slot_name, NULL, age(xmin) FROM pg_replication_slots WHERE xmin IS NOT NULL
		) held (what, seconds, behind) ORDER BY behind DESC, seconds DESC NULLS LAST LIMIT 1`)
	if err != nil {
		return err
	}
	defer rows.Close()
	detail := "no transaction holds it back"
	for rows.Next() {
		var what string
		var seconds *float64 // nil: not known, or hidden from this user
		var behind int
		if err := rows.Scan(&what, &seconds, &behind); err != nil {
			return err
		}
		switch {
		case seconds == nil && behind > 0:
			detail = fmt.Sprintf("%s holds it back by %d transactions", what, behind)
		case seconds != nil && *seconds >= old.Seconds():
			age := time.Duration(*seconds * float64(time.Second)).Round(time.Second)
			detail = fmt.Sprintf("%s has held it back for %s and %d transactions; end it", what, age, behind)
		}
	}
	x.add("vacuum", true, "%s", detail)
	return rows.Err()
}
