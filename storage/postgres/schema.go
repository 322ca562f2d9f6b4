package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// tables are those of a log.
var tables = pglink.Tables{
	What: "store", Format: "lethe_format", Writes: "event",
	Hint: "check the address, or create it by a first lethe event append or lethe import",
	// With these nothing that was appended can be deleted or changed, but for the content of an event, to prune it.
	Wanted: []pglink.Grant{
		{"SELECT", "", "lethe_format head lineage name stream event batch segment run tile cursor fence token"},
		{"INSERT", "", "name stream event batch segment run tile cursor fence token"},
		{"DELETE", "", "batch segment run"},
		{"UPDATE", "one metadata fence indexed changes lives state place", "head"},
		{"UPDATE", "closed truncated pruned", "stream"},
		{"UPDATE", "hashes body boxes", "event"},
		{"UPDATE", "system frontier", "batch"},
		{"UPDATE", "revision position note", "cursor"},
		{"UPDATE", "revoked used", "token"},
		{"USAGE", "", "segment_n"},
	},
	Steps: []string{`
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
`, `
CREATE TABLE fence (number bigint, krid uuid, position bigint, PRIMARY KEY (number, krid, position));
ALTER TABLE token ADD COLUMN may_open boolean NOT NULL DEFAULT false
`},
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
