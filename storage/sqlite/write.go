package sqlite

import (
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
	"zombiezen.com/go/sqlite"
)

// write stores a batch within the open transaction.
func (t *commit) write(b *storage.Batch) error {
	switch {
	case len(b.Records)+len(b.Streams)+len(b.Tiles)+len(b.Fences) == 0 && b.Life == nil:
		return nil
	case len(b.Records)+len(b.Fences) > 0 && t.head.Life.Sealed():
		return fmt.Errorf("%w: it moves to %s", storage.ErrRefused, t.head.Life.Place)
	}
	if err := t.records(b.Records); err != nil {
		return err
	}
	for i := range b.Streams {
		if err := t.changeStream(&b.Streams[i]); err != nil {
			return err
		}
	}
	for i := range b.Tiles {
		tile := &b.Tiles[i]
		err := t.c.Exec("INSERT INTO tile VALUES (?, ?, ?)", int64(tile.ID.Level), int64(tile.ID.N), tile.Hashes)
		if err != nil {
			return refuse(err, "tile %d/%d", tile.ID.Level, tile.ID.N)
		}
	}
	if err := t.fences(b.Fences); err != nil {
		return err
	}
	t.head.Position += event.Position(len(b.Records))
	if b.System != 0 {
		t.head.System = b.System
	}
	if b.Frontier != nil {
		t.head.Frontier = slices.Clone(b.Frontier)
	}
	if b.Life != nil {
		t.head.Life = *b.Life
	}
	if err := t.maintain(len(b.Records)); err != nil {
		return err
	}
	indexed := t.store.index.indexed
	if t.flushed != nil {
		indexed = t.flushed.Last
	}
	return t.c.Exec(`UPDATE head SET position = ?, system = ?, fence = ?, indexed = ?, frontier = ?, life = ?, place = ?
		WHERE one = 1`, int64(t.head.Position), int64(t.head.System), int64(t.head.Fence), int64(indexed), t.head.Frontier,
		int64(t.head.Life.State), t.head.Life.Place)
}

// refuse makes a broken constraint a defect of the batch.
func refuse(err error, format string, args ...any) error {
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultConstraint {
		return fmt.Errorf("%w: %s is there already", storage.ErrRefused, fmt.Sprintf(format, args...))
	}
	return err
}

// rowOverhead is about what a row takes beside its blobs, in its table and in the index of ids.
const rowOverhead = 100

const insertEvent = `INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (t *commit) records(records []storage.Record) error {
	insert, err := t.c.Stmt(insertEvent)
	if err != nil {
		return err
	}
	var hashes []byte
	for i := range records {
		r := &records[i]
		e, err := t.place(r, t.head.Position+event.Position(i)+1)
		if err != nil {
			return err
		}
		typ, err := t.name(r.Type)
		if err != nil {
			return err
		}
		insert.BindInt64(1, int64(r.Position))
		insert.BindBytes(2, r.ID[:])
		insert.BindInt64(3, e.id)
		insert.BindInt64(4, int64(r.Version))
		insert.BindInt64(5, typ)
		insert.BindInt64(6, r.Recorded)
		hashes = append(append(append(hashes[:0], r.Leaf[:]...), r.Request[:]...), r.Commitments...)
		insert.BindBytes(7, hashes)
		t.bytes += len(hashes) + len(r.Body) + len(r.Boxes) + rowOverhead
		bindBlob(insert, 8, r.Body)
		bindBlob(insert, 9, r.Boxes)
		_, err = insert.Step()
		if reset := insert.Reset(); err == nil {
			err = reset
		}
		if err != nil {
			return refuse(sqlink.Classify(err), "event %s", r.ID)
		}
		if err := t.index(r, e.id); err != nil {
			return err
		}
	}
	return nil
}

func bindBlob(s *sqlite.Stmt, i int, b []byte) {
	if len(b) == 0 {
		s.BindNull(i)
		return
	}
	s.BindBytes(i, b)
}

// place checks that a record continues the log and its stream, and numbers a new stream.
func (t *commit) place(r *storage.Record, position event.Position) (*streamEntry, error) {
	e, err := t.stream(r.Stream)
	if err != nil {
		return nil, err
	}
	if r.Position != position || r.Version != e.state.Version+1 || e.state.Closed || r.ID.IsZero() {
		return nil, fmt.Errorf("%w: position %d for %d, version %d after %d of %s", storage.ErrRefused,
			r.Position, position, r.Version, e.state.Version, r.Stream)
	}
	if e.id == 0 {
		if err := t.number(e); err != nil {
			return nil, err
		}
	}
	e.state.Version = r.Version
	return e, nil
}

// number gives a stream its row.
func (t *commit) number(e *streamEntry) error {
	err := t.c.Exec("INSERT INTO stream (kind, name) VALUES (?, ?)", e.state.Stream.Kind, e.state.Stream.ID)
	e.id = t.c.LastInsertRowID()
	return err
}

// name is the number of a type or role, new ones included.
func (t *commit) name(text string) (int64, error) {
	if id, ok := t.store.names.id(text); ok {
		return id, nil
	}
	if id, ok := t.names[text]; ok {
		return id, nil
	}
	if err := t.c.Exec("INSERT INTO name (name) VALUES (?)", text); err != nil {
		return 0, err
	}
	if t.names == nil {
		t.names = make(map[string]int64)
	}
	id := t.c.LastInsertRowID()
	t.names[text] = id
	return id, nil
}

// index notes what the index shall know of a record.
func (t *commit) index(r *storage.Record, stream int64) error {
	t.added.Add(streamKey(stream), postings.Posting{Position: r.Position, Aux: int64(r.Version)})
	for _, term := range r.Terms {
		role := int64(postings.AnyRole)
		if term.Role != "" {
			var err error
			if role, err = t.name(term.Role); err != nil {
				return err
			}
		}
		key := postings.Key{Space: postings.TermSpace, Term: int64(term.Hash)}
		t.added.Add(key, postings.Posting{Position: r.Position, Aux: role})
	}
	return nil
}

// changeStream stores what a batch changes of a stream's life.
func (t *commit) changeStream(state *storage.StreamState) error {
	e, err := t.stream(state.Stream)
	if err != nil {
		return err
	}
	if e.id == 0 {
		if err := t.number(e); err != nil {
			return err
		}
	}
	err = t.c.Exec("UPDATE stream SET closed = ?, truncated = ?, pruned = ? WHERE id = ?",
		boolean(state.Closed), int64(state.Truncated), int64(state.Pruned), e.id)
	if err != nil {
		return err
	}
	e.state.Closed, e.state.Truncated, e.state.Pruned = state.Closed, state.Truncated, state.Pruned
	return nil
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// maintain keeps the index in shape: it writes the tail out when it is long enough, goes on with a merge, or
// deletes rows of dropped segments. events is how many the commit adds, to which the steps are in proportion.
func (t *commit) maintain(events int) error {
	x := t.store.index
	if int(t.head.Position-x.indexed) >= t.store.flush {
		return t.writeTail()
	}
	if x.merge != nil {
		t.merging = true
		return t.mergeStep(1 + events/32)
	}
	if len(x.garbage) > 0 {
		return t.dropRows(x)
	}
	return nil
}

// writeTail writes the tail and what this commit adds as one segment.
func (t *commit) writeTail() error {
	x := t.store.index
	n, err := sqlink.NextSegment(t.c, x.merge)
	if err != nil {
		return err
	}
	t.flushed = &postings.Segment{N: n, First: x.indexed + 1, Last: t.head.Position}
	bytes, err := sqlink.AddRows(t.c, n, x.tail.Rows(&t.added))
	t.bytes += bytes
	if err != nil {
		return err
	}
	return sqlink.AddSegment(t.c, *t.flushed)
}

// dropStep is how many rows of a dropped segment one commit deletes.
const dropStep = 16

func (t *commit) dropRows(x *index) error {
	done, err := sqlink.DropRows(t.c, x.garbage[0], dropStep)
	if done && err == nil {
		x.garbage = x.garbage[1:] // if this commit fails, the rows are found again when the store opens
	}
	return err
}
