package sqlite

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"zombiezen.com/go/sqlite"
)

// applicationID marks the files as Lethe's ("leth").
const applicationID = 0x6c657468

// schema is how the tables of a file came to be: the first step makes format 1 of an empty file, the second format 2
// of format 1. What a step has written is in folders everywhere: it stays as it is, and a change is one step more.
type schema []string

// Page size: a commit of one event dirties a page of each of three b-trees, so small pages make small commits; a
// scan does not care. docs/design.md has the measurements.
const pageSize = 4096

var eventsSchema = schema{`
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
`}

// openFile opens the write connection of a file and brings its tables to the newest format.
func openFile(path string, tables schema) (*conn, error) {
	c, err := openConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate, tables)
	if err != nil {
		return nil, err
	}
	if err := c.upgrade(tables); err != nil {
		return nil, joinClose(err, c)
	}
	return c, nil
}

func joinClose(err error, c *conn) error {
	if closing := c.Close(); closing != nil {
		return fmt.Errorf("%w (and closing failed: %w)", err, closing)
	}
	return err
}

// format is how many steps of its schema a file has seen; 0: it is empty. A file that is not ours, or newer than we
// are, is event.ErrFormat.
func (c *conn) format(tables schema) (int, error) {
	app, err := c.pragma("application_id")
	if err != nil {
		return 0, err
	}
	version, err := c.pragma("user_version")
	if err != nil {
		return 0, err
	}
	count := int64(0)
	err = c.query("SELECT count(*) FROM sqlite_schema", func(r row) error { count = r.int64(0); return nil })
	switch {
	case err != nil:
		return 0, err
	case app == "0" && version == "0" && count == 0:
		return 0, nil
	case app != strconv.Itoa(applicationID):
		return 0, event.Errorf(event.ErrFormat, "open %s: it is not a Lethe file", c.path)
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 || n > len(tables) {
		return 0, event.Errorf(event.ErrFormat, "open %s: its format is %s, this version knows %d",
			c.path, version, len(tables)).Hint("upgrade Lethe")
	}
	return n, nil
}

// upgrade does the steps the file has not seen, and marks it, in one transaction: a crash leaves the file as it was
// or whole.
func (c *conn) upgrade(tables schema) error {
	from, err := c.format(tables)
	if err != nil || from == len(tables) {
		return err
	}
	var statements []string
	for _, step := range tables[from:] {
		statements = append(statements, strings.Split(strings.TrimSpace(step), ";\n")...)
	}
	statements = append(statements,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID), fmt.Sprintf("PRAGMA user_version = %d", len(tables)))
	return c.transaction(func() error {
		for _, text := range statements {
			if err := c.exec(strings.TrimSuffix(text, ";")); err != nil {
				return fmt.Errorf("create tables: %w", err)
			}
		}
		return nil
	})
}

// loadHead reads the head; a new store gets its name, its first incarnation and its secret.
func loadHead(c *conn, o *Options) (storage.Head, event.Position, error) {
	var head storage.Head
	var indexed event.Position
	found := false
	err := c.query(`SELECT store, incarnation, secret, metadata, position, system, fence, indexed, frontier, life, place
		FROM head`,
		func(r row) error {
			found = true
			copy(head.Store[:], r.bytes(0))
			head.Incarnation = event.Incarnation(r.int64(1))
			copy(head.Secret[:], r.bytes(2))
			head.Position, head.System = event.Position(r.int64(4)), event.Position(r.int64(5))
			head.Fence, indexed, head.Frontier = uint64(r.int64(6)), event.Position(r.int64(7)), r.bytes(8)
			head.Life = storage.Life{State: storage.State(r.int64(9)), Place: r.text(10)}
			if err := json.Unmarshal([]byte(r.text(3)), &head.Indexed); err != nil {
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
	err = c.query(`SELECT incarnation, first FROM lineage ORDER BY n`, func(r row) error {
		head.Lineage = append(head.Lineage,
			storage.Fork{Incarnation: event.Incarnation(r.int64(0)), First: event.Position(r.int64(1))})
		return nil
	})
	return head, indexed, err
}

func createHead(c *conn, o *Options) (storage.Head, error) {
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
	err := c.transaction(func() error {
		err := c.exec(`INSERT INTO head (one, store, incarnation, secret, metadata, position, system, fence, indexed)
			VALUES (1, ?, ?, ?, ?, 0, 0, 0, 0)`,
			head.Store[:], int64(head.Incarnation), head.Secret[:], marshalIndexed(head.Indexed))
		if err == nil {
			err = c.exec(`INSERT INTO lineage VALUES (1, ?, 1)`, int64(head.Incarnation))
		}
		return err
	})
	if err != nil {
		return head, fmt.Errorf("create store: %w", err)
	}
	return head, nil
}
