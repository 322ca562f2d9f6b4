package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Rewrite prunes every record named by edits, or none.
func (s *Store) Rewrite(ctx context.Context, fence uint64, edits []storage.Edit) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("rewrite: %w", err)
	}
	s.write.Lock()
	defer s.write.Unlock()
	switch {
	case s.head.closed:
		return sqlink.ErrClosed()
	case s.failed != nil:
		return s.failed
	case fence != s.head.head.Fence:
		return event.Errorf(event.ErrConflict, "rewrite: the fence moved from %d to %d", fence, s.head.head.Fence)
	case len(edits) == 0:
		return nil
	}
	err := s.writer.Transaction(func() error {
		for i := range edits {
			if err := pruneEvent(s.writer, &edits[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, event.ErrFailed) {
		s.failed = sqlink.ErrFailedBefore()
	}
	return err
}

// prune keeps leaf and request of the hashes: the commitments' seed would let the pruned values be guessed.
func pruneEvent(c *sqlink.Conn, e *storage.Edit) error {
	n, err := c.Changed(`UPDATE event SET hashes = substr(hashes, 1, 64), body = NULL, boxes = NULL
		WHERE position = ? AND id = ? AND substr(hashes, 1, 32) = ?`, int64(e.Position), e.ID[:], e.Leaf[:])
	if err != nil {
		return fmt.Errorf("rewrite event at %d: %w", e.Position, err)
	}
	if n != 1 {
		return event.Errorf(event.ErrConflict, "rewrite event at %d: no event with this position, id and leaf", e.Position)
	}
	return nil
}

// Tiles returns full tiles.
func (s *Store) Tiles(ctx context.Context, ids []storage.TileID) ([][]byte, error) {
	tiles := make([][]byte, len(ids))
	err := s.read(ctx, nil, nil, func(r *reading) error {
		for i, id := range ids {
			err := r.c.Query("SELECT hashes FROM tile WHERE level = ? AND n = ?",
				func(row sqlink.Row) error { tiles[i] = row.Bytes(0); return nil }, int64(id.Level), int64(id.N))
			if err != nil {
				return err
			}
			if tiles[i] == nil {
				return event.Errorf(event.ErrNotFound, "read tile %d/%d: it is not stored", id.Level, id.N)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tiles, nil
}

// Scrub moves everything from the write-ahead log to the database file, where secure_delete has overwritten what was
// taken away, and empties it.
func (s *Store) Scrub(ctx context.Context) (storage.Residue, error) {
	if err := ctx.Err(); err != nil {
		return storage.Residue{}, fmt.Errorf("scrub: %w", err)
	}
	s.write.Lock()
	defer s.write.Unlock()
	if s.head.closed {
		return storage.Residue{}, sqlink.ErrClosed()
	}
	busy, err := s.writer.Checkpoint("TRUNCATE")
	if err != nil {
		if errors.Is(err, event.ErrFailed) {
			s.failed = sqlink.ErrFailedBefore()
		}
		return storage.Residue{}, fmt.Errorf("scrub: %w", err)
	}
	if busy {
		return storage.Residue{Remains: []string{"write-ahead log: a reader still uses it; scrub again"}}, nil
	}
	return storage.Residue{}, nil
}
