package sqlite

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

var eventsSchema = sqlink.Schema{Steps: []string{`
CREATE TABLE head (
	one INTEGER PRIMARY KEY CHECK (one = 1), store BLOB NOT NULL, incarnation INTEGER NOT NULL, secret BLOB NOT NULL,
	metadata TEXT NOT NULL, position INTEGER NOT NULL, system INTEGER NOT NULL, fence INTEGER NOT NULL,
	indexed INTEGER NOT NULL, frontier BLOB
) STRICT;
CREATE TABLE lineage (n INTEGER PRIMARY KEY, incarnation INTEGER NOT NULL UNIQUE, first INTEGER NOT NULL) STRICT;
CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE stream (
	id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, closed INTEGER NOT NULL DEFAULT 0,
	truncated INTEGER NOT NULL DEFAULT 0, pruned INTEGER NOT NULL DEFAULT 0, UNIQUE (kind, name)
) STRICT;
CREATE INDEX stream_pending ON stream (id) WHERE truncated > pruned;
CREATE TABLE event (
	position INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, stream INTEGER NOT NULL, version INTEGER NOT NULL,
	type INTEGER NOT NULL, recorded INTEGER NOT NULL, hashes BLOB NOT NULL, body BLOB, boxes BLOB
) STRICT;
CREATE TABLE segment (
	n INTEGER PRIMARY KEY, level INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;
CREATE TABLE run (
	segment INTEGER NOT NULL, space INTEGER NOT NULL, term INTEGER NOT NULL, first INTEGER NOT NULL,
	postings BLOB NOT NULL, PRIMARY KEY (segment, space, term, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE tile (
	level INTEGER NOT NULL, n INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE head ADD COLUMN life INTEGER NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN place TEXT NOT NULL DEFAULT '';
`, `
CREATE TABLE fence (
	fence INTEGER NOT NULL, krid BLOB NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (fence, krid, position)
) STRICT, WITHOUT ROWID;
`}}

// loadHead reads the head; a new store gets its name, its first incarnation and its secret.
func loadHead(c *sqlink.Conn, o *Options) (storage.Head, event.Position, error) {
	var head storage.Head
	var indexed event.Position
	found := false
	err := c.Query(`SELECT store, incarnation, secret, metadata, position, system, fence, indexed, frontier, life, place
		FROM head`,
		func(r sqlink.Row) error {
			found = true
			copy(head.Store[:], r.Bytes(0))
			head.Incarnation = event.Incarnation(r.Int64(1))
			copy(head.Secret[:], r.Bytes(2))
			head.Position, head.System = event.Position(r.Int64(4)), event.Position(r.Int64(5))
			head.Fence, indexed, head.Frontier = uint64(r.Int64(6)), event.Position(r.Int64(7)), r.Bytes(8)
			head.Life = storage.Life{State: storage.State(r.Int64(9)), Place: r.Text(10)}
			if err := json.Unmarshal([]byte(r.Text(3)), &head.Indexed); err != nil {
				return event.Errorf(event.ErrCorrupt, "read head: the list of indexed keys is damaged")
			}
			return nil
		})
	if err == nil && !found {
		head, err = createHead(c, o)
	}
	if err != nil {
		return head, 0, err
	}
	err = c.Query(`SELECT incarnation, first FROM lineage ORDER BY n`, func(r sqlink.Row) error {
		head.Lineage = append(head.Lineage,
			storage.Fork{Incarnation: event.Incarnation(r.Int64(0)), First: event.Position(r.Int64(1))})
		return nil
	})
	return head, indexed, err
}

func createHead(c *sqlink.Conn, o *Options) (storage.Head, error) {
	var random [16 + 8 + 32]byte
	if _, err := io.ReadFull(o.Rand, random[:]); err != nil {
		return storage.Head{}, fmt.Errorf("create store: read randomness: %w", err)
	}
	var head storage.Head
	copy(head.Store[:], random[:16])
	for _, b := range random[16:24] {
		head.Incarnation = head.Incarnation<<8 | event.Incarnation(b)
	}
	copy(head.Secret[:], random[24:])
	head.Indexed = storage.IndexedKeys(o.Indexed)
	err := c.Transaction(func() error {
		err := c.Exec(`INSERT INTO head (one, store, incarnation, secret, metadata, position, system, fence, indexed)
			VALUES (1, ?, ?, ?, ?, 0, 0, 0, 0)`,
			head.Store[:], int64(head.Incarnation), head.Secret[:], marshalIndexed(head.Indexed))
		if err == nil {
			err = c.Exec(`INSERT INTO lineage VALUES (1, ?, 1)`, int64(head.Incarnation))
		}
		return err
	})
	if err != nil {
		return head, fmt.Errorf("create store: %w", err)
	}
	return head, nil
}
