package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// migrations are how the tables of a store came to be: the first makes format 1. What one has done is in databases
// everywhere: it stays as it is, and a change is one more.
var migrations = []string{`
CREATE TABLE head (
	one boolean PRIMARY KEY DEFAULT true CHECK (one), store bytea NOT NULL, incarnation bigint NOT NULL,
	secret bytea NOT NULL, metadata text[] NOT NULL, fence bigint NOT NULL DEFAULT 0,
	indexed bigint NOT NULL DEFAULT 0, changes bigint NOT NULL DEFAULT 0, lives bigint NOT NULL DEFAULT 0,
	state smallint NOT NULL DEFAULT 0, place text NOT NULL DEFAULT ''
);
CREATE TABLE lineage (n int PRIMARY KEY, incarnation bigint NOT NULL UNIQUE, first bigint NOT NULL);
CREATE TABLE name (id int PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE stream (
	id bigint PRIMARY KEY, kind text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
	closed boolean NOT NULL DEFAULT false, truncated bigint NOT NULL DEFAULT 0, pruned bigint NOT NULL DEFAULT 0,
	UNIQUE (kind, name)
);
CREATE INDEX stream_pending ON stream (kind, name) WHERE truncated > pruned;
CREATE TABLE event (
	position bigint PRIMARY KEY, id uuid NOT NULL UNIQUE, stream bigint NOT NULL, version bigint NOT NULL,
	type int NOT NULL, recorded bigint NOT NULL, hashes bytea NOT NULL, body bytea, boxes bytea,
	UNIQUE (stream, version)
);
ALTER TABLE event ALTER COLUMN hashes SET STATISTICS 0, ALTER COLUMN body SET STATISTICS 0,
	ALTER COLUMN boxes SET STATISTICS 0;
CREATE TABLE batch (
	position bigint PRIMARY KEY, system bigint NOT NULL, frontier bytea, postings bytea NOT NULL
);
CREATE TABLE segment (n bigint PRIMARY KEY, level int NOT NULL, first bigint NOT NULL, last bigint NOT NULL);
CREATE SEQUENCE segment_n;
CREATE TABLE run (
	segment bigint NOT NULL, n int NOT NULL, term bigint NOT NULL, first bigint NOT NULL,
	postings bytea NOT NULL, PRIMARY KEY (segment, n)
);
ALTER TABLE run ALTER COLUMN postings SET STORAGE PLAIN;
CREATE TABLE tile (level int NOT NULL, n bigint NOT NULL, hashes bytea NOT NULL, PRIMARY KEY (level, n));
CREATE TABLE cursor (
	follower text COLLATE "C" PRIMARY KEY, revision bigint NOT NULL, position text NOT NULL, note bytea
);
CREATE TABLE token (
	id text COLLATE "C" PRIMARY KEY, hash bytea NOT NULL, label text NOT NULL, may_read boolean NOT NULL,
	may_append boolean NOT NULL, may_admin boolean NOT NULL, kinds text[], created bigint NOT NULL,
	expires bigint NOT NULL, revoked bigint NOT NULL, used bigint NOT NULL
);
INSERT INTO batch VALUES (0, 0, NULL, '')
`}

// lockOf is the number of an advisory lock of a store.
func lockOf(schema, what string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("lethe/" + what + "/" + schema)) // a hash never fails
	return int64(h.Sum64())
}

// migrate brings the tables to the newest format, one process at a time: a crash leaves them as they were or whole.
// Tables that are as they must be are not touched, so that no more than reading and writing need be granted.
func migrate(ctx context.Context, conn *pgx.Conn, schema string, o *Options) error {
	format, err := formatOf(ctx, conn)
	if err != nil || format == len(migrations) {
		return err
	}
	if format == 0 && !o.Create {
		return &event.Error{Sentinel: event.ErrNotFound, Code: "no_store",
			Message: fmt.Sprintf("find store: there is none in schema %s of the database", schema),
			Next:    "check the address, or create it by a first lethe event append or lethe import"}
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockOf(schema, "format")); err != nil {
			return err
		}
		if format, err = formatOf(ctx, tx); err != nil || format == len(migrations) {
			return err // another process was faster
		}
		if format == 0 {
			if err := createSchema(ctx, tx, schema); err != nil {
				return err
			}
		}
		for i, text := range migrations[format:] {
			if _, err := tx.Exec(ctx, strings.TrimSpace(text), pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO lethe_format VALUES ($1)`, format+i+1); err != nil {
				return err
			}
		}
		if format == 0 {
			return createHead(ctx, tx, o)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("create tables: %w", pglink.Classify(err))
	}
	return nil
}

// formatOf is how many migrations the schema has seen; 0: it is empty or not there. One that holds other tables, or
// is newer than we are, is event.ErrFormat.
func formatOf(ctx context.Context, q pglink.Querier) (format int, err error) {
	var ours, others bool
	err = q.QueryRow(ctx, `SELECT to_regclass('lethe_format') IS NOT NULL, EXISTS (SELECT FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_setting('search_path'))`).
		Scan(&ours, &others)
	switch {
	case err != nil:
		return 0, pglink.Classify(err)
	case !ours && others:
		return 0, event.Errorf(event.ErrFormat, "find store: the schema holds tables that are not Lethe's").
			Hint("name another schema in the address, such as ?schema=lethe")
	case !ours:
		return 0, nil
	}
	if err := q.QueryRow(ctx, `SELECT max(format) FROM lethe_format`).Scan(&format); err != nil {
		return 0, pglink.Classify(err)
	}
	if format > len(migrations) {
		return 0, event.Errorf(event.ErrFormat, "find store: its format is %d, this version knows %d",
			format, len(migrations)).Hint("upgrade Lethe")
	}
	return format, nil
}

func createSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	var there bool
	err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, schema).Scan(&there)
	if err == nil && !there { // not IF NOT EXISTS, which wants the privilege to create one even if it exists
		_, err = tx.Exec(ctx, `CREATE SCHEMA `+pgx.Identifier{schema}.Sanitize())
	}
	if err == nil {
		_, err = tx.Exec(ctx, `CREATE TABLE lethe_format (format int PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())`)
	}
	return err
}

// createHead gives a new store its name, its first incarnation and its secret.
func createHead(ctx context.Context, tx pgx.Tx, o *Options) error {
	var random [16 + 8 + 32]byte
	if _, err := io.ReadFull(o.Rand, random[:]); err != nil {
		return fmt.Errorf("create store: read randomness: %w", err)
	}
	var incarnation event.Incarnation
	for _, b := range random[16:24] {
		incarnation = incarnation<<8 | event.Incarnation(b)
	}
	keys := storage.IndexedKeys(o.Indexed)
	_, err := tx.Exec(ctx, `INSERT INTO head (store, incarnation, secret, metadata) VALUES ($1, $2, $3, $4)`,
		random[:16], int64(incarnation), random[24:], append([]string{}, keys...))
	if err == nil {
		_, err = tx.Exec(ctx, `INSERT INTO lineage VALUES (1, $1, 1)`, int64(incarnation))
	}
	return err
}

// loadHead reads what does not change in one life of a store.
func loadHead(ctx context.Context, q pglink.Querier) (storage.Identity, error) {
	var id storage.Identity
	var store, secret []byte
	var incarnation int64
	err := q.QueryRow(ctx, `SELECT store, incarnation, secret, metadata FROM head`).
		Scan(&store, &incarnation, &secret, &id.Indexed)
	if err != nil {
		return id, pglink.Classify(err)
	}
	if copy(id.Store[:], store) != len(id.Store) || copy(id.Secret[:], secret) != len(id.Secret) {
		return id, event.Errorf(event.ErrCorrupt, "read head: its row is damaged").Hint("restore a backup")
	}
	if id.Incarnation = event.Incarnation(incarnation); len(id.Indexed) == 0 {
		id.Indexed = nil
	}
	rows, err := q.Query(ctx, `SELECT incarnation, first FROM lineage ORDER BY n`)
	if err != nil {
		return id, pglink.Classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var life, first int64
		if err := rows.Scan(&life, &first); err != nil {
			return id, pglink.Classify(err)
		}
		id.Lineage = append(id.Lineage, storage.Fork{Incarnation: event.Incarnation(life), First: event.Position(first)})
	}
	return id, pglink.Classify(errors.Join(rows.Err()))
}
