package sqlink

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postings"
)

// RunTables are the tables of an inverted index (package postings) in a file: segments, and the rows of their runs.
const RunTables = `
CREATE TABLE segment (
	n INTEGER PRIMARY KEY, level INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;
CREATE TABLE run (
	segment INTEGER NOT NULL, space INTEGER NOT NULL, term INTEGER NOT NULL, first INTEGER NOT NULL,
	postings BLOB NOT NULL, PRIMARY KEY (segment, space, term, first)
) STRICT, WITHOUT ROWID;
`

// Segments are those of the index, by position.
func Segments(c *Conn) (found []postings.Segment, err error) {
	err = c.Query("SELECT n, level, first, last FROM segment ORDER BY first", func(r Row) error {
		found = append(found, postings.Segment{
			N: r.Int64(0), Level: int(r.Int64(1)), First: event.Position(r.Int64(2)), Last: event.Position(r.Int64(3)),
		})
		return nil
	})
	return found, err
}

// Orphans are segments with rows but without an entry: merges that a crash cut off, or drops it kept from finishing.
func Orphans(c *Conn) (found []int64, err error) {
	for after := int64(-1); ; {
		next := int64(-1)
		err := c.Query("SELECT segment FROM run WHERE segment > ? ORDER BY segment LIMIT 1", func(r Row) error {
			next = r.Int64(0)
			return nil
		}, after)
		if err != nil || next < 0 {
			return found, err
		}
		live := false
		err = c.Query("SELECT 1 FROM segment WHERE n = ?", func(Row) error { live = true; return nil }, next)
		if err != nil {
			return nil, err
		}
		if !live {
			found = append(found, next)
		}
		after = next
	}
}

// NextSegment is a number that no segment has, nor rows that are still to be deleted, nor the merge in progress, which
// may be nil.
func NextSegment(c *Conn, merging *postings.Merge) (n int64, err error) {
	err = c.Query(`SELECT 1 + max(
		(SELECT coalesce(max(n), 0) FROM segment), (SELECT coalesce(max(segment), 0) FROM run))`,
		func(r Row) error { n = r.Int64(0); return nil })
	if merging != nil {
		n = max(n, merging.Into+1)
	}
	return n, err
}

// AddSegment writes a segment's entry.
func AddSegment(c *Conn, s postings.Segment) error {
	return c.Exec("INSERT INTO segment VALUES (?, ?, ?, ?)", s.N, int64(s.Level), int64(s.First), int64(s.Last))
}

// AddRows writes rows of a segment, and returns about how many bytes they take.
func AddRows(c *Conn, segment int64, rows []postings.Row) (bytes int, err error) {
	for _, r := range rows {
		bytes += len(r.Bytes)
		err := c.Exec("INSERT INTO run VALUES (?, ?, ?, ?, ?)",
			segment, int64(r.Key.Space), r.Key.Term, int64(r.First), r.Bytes)
		if err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

// StepMerge writes up to n rows of a merge, and ends it when its sources are done: then the entry of its target stands
// in the place of theirs, whose rows are left to DropRows.
func StepMerge(c *Conn, m *postings.Merge, n int) (bytes int, done bool, err error) {
	if m.Into == 0 {
		into, err := NextSegment(c, m)
		if err != nil {
			return 0, false, err
		}
		if err := m.Begin(IndexRows{c}, into); err != nil {
			return 0, false, err
		}
	}
	merged, done, err := m.Step(IndexRows{c}, n)
	if err != nil {
		return 0, false, err
	}
	bytes, err = AddRows(c, m.Into, merged)
	if err != nil || !done {
		return bytes, false, err
	}
	for _, s := range m.Sources {
		if err := c.Exec("DELETE FROM segment WHERE n = ?", s.N); err != nil {
			return bytes, false, err
		}
	}
	return bytes, true, AddSegment(c, m.Target())
}

// DropRows deletes about n rows of a segment that has no entry any more; done says that none is left.
func DropRows(c *Conn, segment int64, n int) (done bool, err error) {
	const upTo = `DELETE FROM run WHERE segment = ?1 AND (space, term, first) <= (
		SELECT space, term, first FROM run WHERE segment = ?1 ORDER BY space, term, first LIMIT 1 OFFSET ?2)`
	deleted, err := c.Changed(upTo, segment, n)
	if err != nil || deleted > 0 {
		return false, err
	}
	return true, c.Exec("DELETE FROM run WHERE segment = ?", segment)
}

// IndexRows reads rows of the index through a connection. The casts here and elsewhere keep SQLite (since 3.52) from
// planning a statement anew when certain values are bound, which costs more than running it.
type IndexRows struct{ Conn *Conn }

// At implements postings.Rows.
func (i IndexRows) At(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	return i.row(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND space = CAST(? AS INTEGER)
		AND (term, first) <= (CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY term DESC, first DESC LIMIT 1`,
		segment, key, p)
}

// After implements postings.Rows.
func (i IndexRows) After(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	return i.row(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND (space, term, first) >
			(CAST(? AS INTEGER), CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY space, term, first LIMIT 1`,
		segment, key, p)
}

func (i IndexRows) row(text string, segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	var out postings.Row
	s, err := i.Conn.Stmt(text)
	if err != nil {
		return out, false, err
	}
	s.BindInt64(1, segment)
	s.BindInt64(2, int64(key.Space))
	s.BindInt64(3, key.Term)
	s.BindInt64(4, int64(p))
	found, err := s.Step()
	if err == nil && found {
		out = postings.Row{
			Key:   postings.Key{Space: postings.Space(s.ColumnInt64(0)), Term: s.ColumnInt64(1)},
			First: event.Position(s.ColumnInt64(2)), Bytes: Row{s}.Bytes(3),
		}
	}
	if reset := s.Reset(); err == nil {
		err = reset
	}
	return out, found, Classify(err)
}
