package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
	"zombiezen.com/go/sqlite"
)

// Commit answers the probe, calls decide, and makes its batch durable or nothing.
func (s *Store) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	if err := ctx.Err(); err != nil {
		return storage.Head{}, fmt.Errorf("commit: %w", err)
	}
	s.write.Lock()
	defer s.write.Unlock()
	switch {
	case s.head.closed:
		return storage.Head{}, sqlink.ErrClosed()
	case s.head.rebuilding:
		return storage.Head{}, errRebuilding()
	case s.failed != nil:
		return storage.Head{}, s.failed
	}
	if err := s.writer.MoveLog(&s.fill); err != nil {
		s.failed = sqlink.ErrFailedBefore()
		return storage.Head{}, fmt.Errorf("commit: move the write-ahead log: %w", err)
	}
	t := &commit{store: s, c: s.writer, head: s.head.head.Clone(), streams: make(map[event.StreamID]*streamEntry)}
	if err := t.run(p, decide); err != nil {
		if t.merging {
			s.index.abandonMerge()
		}
		if errors.Is(err, event.ErrFailed) {
			s.failed = sqlink.ErrFailedBefore()
		}
		return storage.Head{}, err
	}
	s.fill.Add(t.bytes)
	changed := t.head.Life != s.head.head.Life
	s.publish(t.takeOver)
	if changed {
		s.models.become(t.head.Life)
	}
	return s.head.head.Clone(), nil
}

// commit is one transaction of the writer: what it adds to memory is kept apart until it is durable.
type commit struct {
	store *Store
	c     *sqlink.Conn
	head  storage.Head

	bytes   int                             // about how much it writes
	streams map[event.StreamID]*streamEntry // as this commit leaves them
	names   map[string]int64                // new in this commit
	added   postings.Added
	flushed *postings.Segment // the run this commit wrote of the whole tail
	merging bool              // this commit went on with a merge
	merged  *postings.Merge   // the merge this commit finished
}

func (t *commit) run(p storage.Probe, decide func(storage.Head, storage.Found) (storage.Batch, error)) error {
	return t.c.Transaction(func() error {
		found, err := t.answer(p)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		batch, err := decide(t.head.Clone(), found)
		if err != nil {
			return err
		}
		if err := t.write(&batch); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	})
}

// view is what the writer sees: no one changes the index meanwhile.
func (s *Store) writerView() *view {
	x := s.index
	return &view{
		c: s.writer, names: s.names, View: postings.View{
			Rows: sqlink.IndexRows{Conn: s.writer}, Head: s.head.head.Position, Indexed: x.indexed,
			Segments: x.segments, Tail: x.tail.List,
		},
	}
}

func (t *commit) answer(p storage.Probe) (storage.Found, error) {
	found := storage.Found{
		IDs: make([]storage.Existing, len(p.IDs)), Streams: make([]storage.StreamState, len(p.Streams)),
		Hits: make([]event.Position, len(p.Conditions)),
	}
	for i, id := range p.IDs {
		if err := t.existing(id, &found.IDs[i]); err != nil {
			return found, err
		}
	}
	for i, name := range p.Streams {
		entry, err := t.stream(name)
		if err != nil {
			return found, err
		}
		found.Streams[i] = entry.state
	}
	for i := range p.Conditions {
		var err error
		if found.Hits[i], err = t.hit(&p.Conditions[i]); err != nil {
			return found, err
		}
	}
	var err error
	found.Leaves, err = t.leaves(p.Leaves)
	return found, err
}

// leaves are those from a position to the head, which somebody else appended.
func (t *commit) leaves(from event.Position) (found [][32]byte, err error) {
	if from == 0 || from > t.head.Position || t.head.Position-from >= storage.MaxLeaves {
		return nil, nil
	}
	err = t.c.Rows("SELECT hashes FROM event WHERE position >= ? ORDER BY position", func(s *sqlite.Stmt) error {
		var leaf [32]byte
		if s.ColumnBytes(0, leaf[:]) < len(leaf) {
			return event.Errorf(event.ErrCorrupt, "read event at %d: its row is damaged", from+event.Position(len(found)))
		}
		found = append(found, leaf)
		return nil
	}, int64(from))
	return found, err
}

func (t *commit) existing(id event.ID, out *storage.Existing) error {
	return t.c.Rows("SELECT position, stream, version, hashes FROM event WHERE id = ?", func(s *sqlite.Stmt) error {
		var hashes [hashesBytes]byte
		if s.ColumnBytes(3, hashes[:]) < hashesBytes {
			return event.Errorf(event.ErrCorrupt, "read event %s: its row is damaged", id)
		}
		stream, err := t.store.names.stream(t.c, s.ColumnInt64(1))
		*out = storage.Existing{
			Position: event.Position(s.ColumnInt64(0)), Stream: stream, Version: event.Version(s.ColumnInt64(2)),
			Request: [32]byte(hashes[32:]),
		}
		return err
	}, id[:])
}

// hit is the first event that fails a condition.
func (t *commit) hit(c *event.Condition) (event.Position, error) {
	p, scan, err := postings.NewPlan(t.store.index.terms, c.Filter)
	if err != nil || c.After >= t.head.Position {
		return 0, err
	}
	b := &pageBuilder{
		store: t.store, ctx: context.Background(),
		q:       storage.Query{Filter: c.Filter, From: uint64(c.After) + 1, Limit: 1},
		reading: &reading{view: *t.store.writerView(), stream: make(map[event.StreamID]int64)},
	}
	for _, name := range p.Streams {
		entry, err := t.stream(name)
		if err != nil {
			return 0, err
		}
		b.reading.stream[name] = entry.id
	}
	for !b.page.Done && len(b.page.Records) == 0 {
		if scan {
			err = b.scan()
		} else {
			err = b.byPosition(p)
		}
		if err != nil {
			return 0, err
		}
		b.q.From, b.looked = b.page.Scanned+1, 0
	}
	if len(b.page.Records) == 0 {
		return 0, nil
	}
	return b.page.Records[0].Position, nil
}

// stream is this commit's own copy of what is known of a stream.
func (t *commit) stream(name event.StreamID) (*streamEntry, error) {
	if e := t.streams[name]; e != nil {
		return e, nil
	}
	if known, ok := t.store.names.streams.Get(name); ok {
		e := *known
		t.streams[name] = &e
		return &e, nil
	}
	e, err := streamRow(t.c, name)
	if err != nil {
		return nil, err
	}
	if e.id != 0 {
		last, found, err := t.store.writerView().events(e.id).AtOrBefore(t.head.Position)
		if err != nil {
			return nil, err
		}
		if found {
			e.state.Version = event.Version(last.Aux)
		}
	}
	t.streams[name] = &e
	return &e, nil
}

// takeOver makes a durable commit the state in memory; Store.publish calls it.
func (t *commit) takeOver(head *storage.Head) {
	s := t.store
	*head = t.head
	s.names.add(t.names)
	for name, e := range t.streams {
		if e.id != 0 {
			s.names.streams.Add(name, e)
			s.names.lastStream = max(s.names.lastStream, e.id)
		}
	}
	x := s.index
	if t.flushed != nil {
		x.segments = append(slices.Clip(x.segments), *t.flushed)
		x.tail, x.indexed = make(postings.Tail, len(x.tail)), t.flushed.Last
	} else {
		x.tail.Add(&t.added)
	}
	if t.merged != nil {
		x.replace(t.merged)
	}
	if x.merge == nil {
		x.merge = postings.PlanMerge(x.segments)
	}
}
