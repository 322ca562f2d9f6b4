package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
)

// oldest is the oldest version of PostgreSQL that is supported: 15.
const oldest = 150_000

// maxSkew is how far the clocks of a process and of the database may be apart. Nothing is ordered by time, but events
// are dated by the process that appends them, and ages and deadlines are measured against those dates.
const maxSkew = time.Minute

// checkServer refuses a server on which the store's promises would not hold.
func checkServer(ctx context.Context, conn *pgx.Conn, clock event.Clock) error {
	var version int
	var replica bool
	var encoding, readOnly, fsync, pages string
	var now time.Time
	before := clock.Now()
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
		current_setting('server_encoding'), current_setting('transaction_read_only'), current_setting('fsync'),
		current_setting('full_page_writes'), clock_timestamp()`,
	).Scan(&version, &replica, &encoding, &readOnly, &fsync, &pages, &now)
	after := clock.Now()
	switch {
	case err != nil:
		return classify(err)
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
			"what is acknowledged would not survive a crash", fsync, pages).Hint("set them in postgresql.conf and restart the server")
	}
	return checkClock(before, after, now)
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
	return event.Invalid("clock_skew", "check clock: this machine's clock and the database's are %s apart, want at most %s",
		skew.Round(time.Second), maxSkew).Hint("set both by NTP")
}
