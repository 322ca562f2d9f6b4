package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
	"zombiezen.com/go/sqlite"
)

// rebuildTail brings the index in memory to the head by a scan of the rows after the last segment. It runs when the
// store opens, before anyone else uses it. What is more than a tail is written out on the way.
func (s *Store) rebuildTail(ctx context.Context) error {
	head := s.head.head.Position
	for from := s.index.indexed + 1; from <= head; {
		to := min(head, from+event.Position(s.flush)-1)
		a, err := s.postingsOf(ctx, from, to)
		if err != nil {
			return fmt.Errorf("rebuild index: %w", err)
		}
		if int(to-from)+1 < s.flush {
			s.index.tail.Add(&a)
			break
		}
		if err := s.writeSegment(to, &a); err != nil {
			return fmt.Errorf("rebuild index: %w", err)
		}
		from = to + 1
	}
	s.index.merge = postings.PlanMerge(s.index.segments)
	return nil
}

// writeSegment writes postings up to a position as a segment, in a transaction of its own.
func (s *Store) writeSegment(to event.Position, a *postings.Added) error {
	t := &commit{store: s, c: s.writer, head: s.head.head.Clone(), added: *a}
	t.head.Position = to
	if err := s.writer.MoveLog(&s.fill); err != nil {
		return err
	}
	err := t.c.Transaction(func() error {
		if err := t.writeTail(); err != nil {
			return err
		}
		return t.c.Exec("UPDATE head SET indexed = ? WHERE one = 1", int64(to))
	})
	if err != nil {
		return err
	}
	t.head.Position = s.head.head.Position
	s.fill.Add(t.bytes)
	s.publish(t.takeOver)
	return nil
}

// postingsOf computes the postings of stored rows, whose roles all have a number since their commit.
func (s *Store) postingsOf(ctx context.Context, from, to event.Position) (postings.Added, error) {
	t := &commit{store: s, c: s.writer}
	b := &pageBuilder{store: s, ctx: ctx, q: storage.Query{Limit: s.flush}, reading: &reading{view: view{c: s.writer}}}
	var terms []storage.Term
	err := s.writer.Rows(`SELECT `+rowColumns+` FROM event
		WHERE position BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY position`,
		func(row *sqlite.Stmt) error {
			b.arena = b.arena[:0]
			r, err := b.record(row)
			if err != nil {
				return err
			}
			e, err := r.Event()
			if err != nil {
				return err
			}
			terms = s.index.terms.Append(terms[:0], r.Stream, &e.Draft)
			r.Terms = terms
			return t.index(&r, row.ColumnInt64(2))
		}, int64(from), int64(to))
	return t.added, err
}

// Reindex drops the inverted index and builds it anew from the rows. Until it is done, and for good if it fails,
// reading and appending are event.ErrUnavailable: half an index would hide events. Opening the store goes on with it.
func (s *Store) Reindex(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.head.closed {
		return sqlink.ErrClosed()
	}
	s.setRebuilding(true)
	if err := s.redeclare(s.head.head.Indexed); err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	if err := s.rebuildTail(ctx); err != nil {
		return err
	}
	s.setRebuilding(false)
	return nil
}

func (s *Store) setRebuilding(on bool) {
	s.head.mu.Lock()
	defer s.head.mu.Unlock()
	s.head.rebuilding = on
}

func errRebuilding() error {
	return event.Errorf(event.ErrUnavailable, "use store: its index is being rebuilt").Hint("try again when that is done")
}

// redeclare empties the index and sets which metadata keys it knows.
func (s *Store) redeclare(keys []string) error {
	keys = storage.IndexedKeys(keys)
	if err := storage.CheckIndexed(keys); err != nil {
		return err
	}
	err := s.writer.Transaction(func() error {
		return errors.Join(
			s.writer.Exec("DELETE FROM segment"),
			s.writer.Exec("UPDATE head SET metadata = ?, indexed = 0 WHERE one = 1", marshalIndexed(keys)))
	})
	if err != nil {
		return err
	}
	garbage, err := sqlink.Orphans(s.writer)
	if err != nil {
		return err
	}
	s.publish(func(h *storage.Head) {
		h.Indexed = keys
		s.index = &index{tail: make(postings.Tail), terms: storage.NewTerms(h.Identity), garbage: garbage}
	})
	return nil
}
