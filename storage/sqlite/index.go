package sqlite

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
)

// index is what the process knows of the inverted index. Segments and lists are replaced or appended to by publish,
// under the head's lock; a view of them stays valid, because segments are never changed in place, appended postings
// lie beyond the head of an older view, and rows of dropped segments are deleted only by a later commit.
type index struct {
	segments []postings.Segment // by position
	tail     postings.Tail      // everything after indexed
	indexed  event.Position     // covered by segments
	merge    *postings.Merge    // in progress; the writer's
	garbage  []int64            // dropped segments whose rows are still there; the writer's
	terms    *storage.Terms
}

func loadIndex(c *conn, head storage.Head, indexed event.Position) (*index, error) {
	x := &index{tail: make(postings.Tail), indexed: indexed, terms: storage.NewTerms(head.Identity)}
	err := c.query("SELECT n, level, first, last FROM segment ORDER BY first", func(r row) error {
		x.segments = append(x.segments, postings.Segment{
			N: r.int64(0), Level: int(r.int64(1)), First: event.Position(r.int64(2)), Last: event.Position(r.int64(3)),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := postings.Check(x.segments, indexed); err != nil {
		return nil, err
	}
	x.garbage, err = orphans(c)
	return x, err
}

// orphans are segments with rows but without an entry: merges that a crash cut off, or drops it kept from finishing.
func orphans(c *conn) (found []int64, err error) {
	for after := int64(-1); ; {
		next := int64(-1)
		err := c.query("SELECT segment FROM run WHERE segment > ? ORDER BY segment LIMIT 1", func(r row) error {
			next = r.int64(0)
			return nil
		}, after)
		if err != nil || next < 0 {
			return found, err
		}
		live := false
		err = c.query("SELECT 1 FROM segment WHERE n = ?", func(row) error { live = true; return nil }, next)
		if err != nil {
			return nil, err
		}
		if !live {
			found = append(found, next)
		}
		after = next
	}
}

// abandonMerge forgets a merge whose rows were rolled back, and leaves those of earlier commits to be deleted.
func (x *index) abandonMerge() {
	if m := x.merge; m != nil && m.Into != 0 {
		x.garbage = append(x.garbage, m.Into)
		x.merge = postings.PlanMerge(x.segments)
	}
}

// replace puts a finished merge in the place of its sources.
func (x *index) replace(done *postings.Merge) {
	x.segments, _ = done.Replace(x.segments)
	for _, s := range done.Sources {
		x.garbage = append(x.garbage, s.N)
	}
	x.merge = nil
}

// mergeStep writes up to rows rows of the merge in progress, and ends it when its sources are done.
func (t *commit) mergeStep(rows int) error {
	m := t.store.index.merge
	if m.Into == 0 {
		into, err := t.nextSegment()
		if err != nil {
			return err
		}
		if err := m.Begin(indexRows{t.c}, into); err != nil {
			return err
		}
	}
	merged, done, err := m.Step(indexRows{t.c}, rows)
	if err != nil {
		return err
	}
	if err := t.rows(m.Into, merged); err != nil || !done {
		return err
	}
	for _, s := range m.Sources {
		if err := t.c.exec("DELETE FROM segment WHERE n = ?", s.N); err != nil {
			return err
		}
	}
	t.merged = m
	target := m.Target()
	return t.c.exec("INSERT INTO segment VALUES (?, ?, ?, ?)",
		target.N, int64(target.Level), int64(target.First), int64(target.Last))
}

// indexRows reads rows of the index through a connection. The casts here and elsewhere keep SQLite (since 3.52) from
// planning a statement anew when certain values are bound, which costs more than running it.
type indexRows struct{ c *conn }

func (i indexRows) At(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	return i.row(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND space = CAST(? AS INTEGER)
		AND (term, first) <= (CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY term DESC, first DESC LIMIT 1`,
		segment, key, p)
}

func (i indexRows) After(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	return i.row(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND (space, term, first) >
			(CAST(? AS INTEGER), CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY space, term, first LIMIT 1`,
		segment, key, p)
}

func (i indexRows) row(text string, segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	var out postings.Row
	s, err := i.c.stmt(text)
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
			First: event.Position(s.ColumnInt64(2)), Bytes: row{s}.bytes(3),
		}
	}
	if reset := s.Reset(); err == nil {
		err = reset
	}
	return out, found, classify(err)
}
