package pglink

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
)

// Tables are the tables of one kind of store, and how they came to be. Several kinds may lie in one schema.
type Tables struct {
	What   string   // what they make: "store"
	Format string   // table with the formats they have had; the largest is the one they have
	Steps  []string // the first makes format 1; what one has done is in databases everywhere, and stays as it is
	Wanted []Grant  // what a user must have who does everything but make and upgrade them
	Writes string   // the table into which whoever writes at all must insert; others need only read. Empty: all write
	Hint   string   // how they are made
}

// formats are the tables of formats of every kind there is: in a schema without any of them tables are a stranger's.
var formats = []string{"lethe_format", "keystore_format"}

// LockOf is the number of an advisory lock of a store.
func LockOf(schema, what string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("lethe/" + what + "/" + schema)) // a hash never fails
	return int64(h.Sum64())
}

// Lease runs do on a connection that holds an advisory lock, if no other process has it.
func Lease(ctx context.Context, conn *pgx.Conn, lock int64, do func() error) error {
	got := false
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, lock).Scan(&got); err != nil || !got {
		return err
	}
	return leased(ctx, conn, lock, do)
}

// AwaitLease is Lease that waits until no other process has the lock.
func AwaitLease(ctx context.Context, conn *pgx.Conn, lock int64, do func() error) error {
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, lock); err != nil {
		return err
	}
	return leased(ctx, conn, lock, do)
}

func leased(ctx context.Context, conn *pgx.Conn, lock int64, do func() error) error {
	defer func() {
		if _, failed := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lock); failed != nil {
			conn.PgConn().Conn().Close() // the server gives the lock back with the connection
		}
	}()
	return do()
}

// Migrate brings the tables to the newest format, one process at a time: a crash leaves them as they were or whole.
// Tables that are as they must be are not touched, so that no more than reading and writing need be granted. New ones
// are made if create says so, and filled by fill, in one transaction; otherwise they are event.ErrNotFound.
func (t *Tables) Migrate(ctx context.Context, conn *pgx.Conn, schema string, create bool,
	fill func(ctx context.Context, tx pgx.Tx) error,
) error {
	format, err := t.format(ctx, conn)
	if err != nil || format == len(t.Steps) {
		return err
	}
	if format == 0 && !create {
		return &event.Error{Sentinel: event.ErrNotFound, Code: "no_store",
			Message: fmt.Sprintf("find %s: there is none in schema %s of the database", t.What, schema), Next: t.Hint}
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, LockOf(schema, "format")); err != nil {
			return err
		}
		if format, err = t.format(ctx, tx); err != nil || format == len(t.Steps) {
			return err // another process was faster
		}
		if format == 0 {
			if err := t.createSchema(ctx, tx, schema); err != nil {
				return err
			}
		}
		for i, text := range t.Steps[format:] {
			if _, err := tx.Exec(ctx, strings.TrimSpace(text), pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO `+t.Format+` VALUES ($1)`, format+i+1); err != nil {
				return err
			}
		}
		if format == 0 {
			return fill(ctx, tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("create tables: %w", Classify(err))
	}
	return nil
}

// format is how many steps the schema has seen; 0: it has no such tables. One that holds none but a stranger's, or is
// newer than we are, is event.ErrFormat.
func (t *Tables) format(ctx context.Context, q Querier) (format int, err error) {
	var own, any, others bool
	err = q.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL, EXISTS (SELECT FROM unnest($2::text[]) f
		WHERE to_regclass(f) IS NOT NULL), EXISTS (SELECT FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_setting('search_path'))`,
		t.Format, formats).Scan(&own, &any, &others)
	switch {
	case err != nil:
		return 0, Classify(err)
	case !any && others:
		return 0, event.Errorf(event.ErrFormat, "find %s: the schema holds tables that are not Lethe's", t.What).
			Hint("name another schema in the address, such as ?schema=lethe")
	case !own:
		return 0, nil
	}
	if err := q.QueryRow(ctx, `SELECT max(format) FROM `+t.Format).Scan(&format); err != nil {
		return 0, Classify(err)
	}
	if format > len(t.Steps) {
		return 0, event.Errorf(event.ErrFormat, "find %s: its format is %d, this version knows %d",
			t.What, format, len(t.Steps)).Hint("upgrade Lethe")
	}
	return format, nil
}

func (t *Tables) createSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	var there bool
	err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, schema).Scan(&there)
	if err == nil && !there { // not IF NOT EXISTS, which wants the privilege to create one even if it exists
		_, err = tx.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{schema}.Sanitize())
	}
	if err == nil {
		_, err = tx.Exec(ctx, `CREATE TABLE `+t.Format+
			` (format int PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())`)
	}
	return err
}
