package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// fences stores what a batch narrows, under the next number.
func (t *commit) fences(fences []storage.Fence) error {
	if len(fences) == 0 {
		return nil
	}
	t.head.Fence++
	for _, f := range fences {
		f.Number = t.head.Fence
		if err := insertFence(t.c, f); err != nil {
			return err
		}
	}
	return nil
}

// insertFence stores a fence, once.
func insertFence(c *sqlink.Conn, f storage.Fence) error {
	return c.Exec("INSERT OR IGNORE INTO fence VALUES (?, ?, ?)", int64(f.Number), f.KRID[:], int64(f.Position))
}

// Fences lists fences by number, KRID and position.
func (s *Store) Fences(ctx context.Context, after uint64, limit int) (found []storage.Fence, err error) {
	if limit < 1 {
		return nil, event.Invalid("malformed_limit", "list fences: limit %d is below 1", limit)
	}
	err = s.read(ctx, nil, nil, func(r *reading) error {
		return r.c.Query(`SELECT fence, krid, position FROM fence WHERE fence > ?1 AND fence <= coalesce(
				(SELECT fence FROM fence WHERE fence > ?1 ORDER BY fence LIMIT 1 OFFSET ?2 - 1), 9223372036854775807)
			ORDER BY fence, krid, position`,
			func(row sqlink.Row) error {
				f := storage.Fence{Number: uint64(row.Int64(0)), Position: event.Position(row.Int64(2))}
				copy(f.KRID[:], row.Bytes(1))
				found = append(found, f)
				return nil
			}, int64(min(after, 1<<63-1)), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list fences: %w", err)
	}
	return found, nil
}

// InheritFences takes over fences of another store's log.
func (s *Store) InheritFences(ctx context.Context, upTo uint64, fences []storage.Fence) error {
	err := s.inheritFences(ctx, upTo, fences)
	if err != nil {
		return fmt.Errorf("inherit fences: %w", err)
	}
	return nil
}

func (s *Store) inheritFences(ctx context.Context, upTo uint64, fences []storage.Fence) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	switch {
	case s.head.closed:
		return sqlink.ErrClosed()
	case s.failed != nil:
		return s.failed
	}
	if err := storage.CheckFences(upTo, fences); err != nil {
		return err
	}
	if s.head.head.Life.State != storage.Filling {
		return errNotFilling(s.head.head.Life)
	}
	err := s.writer.MoveLog(&s.fill)
	if err == nil {
		err = s.writer.Transaction(func() error { return takeFences(s.writer, upTo, fences) })
		s.fill.Add(fenceBytes * len(fences))
	}
	if errors.Is(err, event.ErrFailed) {
		s.failed = sqlink.ErrFailedBefore()
	}
	if err != nil {
		return err
	}
	s.publish(func(h *storage.Head) { h.Fence = max(h.Fence, upTo) })
	return nil
}

// fenceBytes is about what a fence takes.
const fenceBytes = 40

func takeFences(c *sqlink.Conn, upTo uint64, fences []storage.Fence) error {
	for _, f := range fences {
		if err := insertFence(c, f); err != nil {
			return err
		}
	}
	return c.Exec("UPDATE head SET fence = max(fence, ?) WHERE one = 1", int64(upTo))
}

func errNotFilling(l storage.Life) error {
	return event.Errorf(event.ErrConflict, "compare states: the store is %s, not filling", l.State).
		Hint("copy into a new store")
}
