package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

func readCheckpoint(r sqlink.Row) (p storage.NamedCheckpoint, err error) {
	p.Follower, p.Revision, p.Note = r.Text(0), uint64(r.Int64(1)), r.Bytes(3)
	if len(p.Note) == 0 {
		p.Note = nil
	}
	p.Cursor, err = event.ParseCursor(r.Text(2))
	if err != nil {
		err = event.Errorf(event.ErrCorrupt, "read checkpoint of %s: its cursor is damaged", p.Follower)
	}
	return p, err
}

func readCheckpointOf(c *sqlink.Conn, follower string) (storage.Checkpoint, error) {
	var found storage.NamedCheckpoint
	const text = "SELECT follower, revision, position, note FROM cursor WHERE follower = ?"
	err := c.Query(text, func(r sqlink.Row) (err error) {
		found, err = readCheckpoint(r)
		return err
	}, follower)
	return found.Checkpoint, err
}

// Checkpoint is the last one stored for a follower.
func (s *Store) Checkpoint(ctx context.Context, follower string) (found storage.Checkpoint, err error) {
	err = s.models.use(ctx, func(c *sqlink.Conn) error {
		found, err = readCheckpointOf(c, follower)
		return err
	})
	if err != nil {
		return storage.Checkpoint{}, fmt.Errorf("read checkpoint of %s: %w", follower, err)
	}
	return found, nil
}

// Advance stores a checkpoint if the follower's is still from.
func (s *Store) Advance(ctx context.Context, follower string, from, to storage.Checkpoint) (storage.Checkpoint, error) {
	to.Revision = from.Revision + 1
	err := s.models.write(ctx, func(c *sqlink.Conn) error {
		return s.models.commit(len(to.Note), func() error { return advance(c, follower, from.Revision, to) })
	})
	if err != nil {
		return storage.Checkpoint{}, fmt.Errorf("store checkpoint of %s: %w", follower, err)
	}
	if len(to.Note) == 0 {
		to.Note = nil
	}
	to.Note = slices.Clone(to.Note)
	return to, nil
}

func advance(c *sqlink.Conn, follower string, from uint64, to storage.Checkpoint) error {
	var n int
	var err error
	if from == 0 {
		n, err = c.Changed("INSERT INTO cursor VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			follower, int64(to.Revision), to.Cursor.String(), to.Note)
	} else {
		n, err = c.Changed("UPDATE cursor SET revision = ?, position = ?, note = ? WHERE follower = ? AND revision = ?",
			int64(to.Revision), to.Cursor.String(), to.Note, follower, int64(from))
	}
	if err == nil && n != 1 {
		err = event.Errorf(event.ErrConflict, "compare revision %d: another process advanced it", from).
			Hint("run each follower in one process")
	}
	return err
}

// Checkpoints lists all, by follower name.
func (s *Store) Checkpoints(ctx context.Context) (all []storage.NamedCheckpoint, err error) {
	err = s.models.use(ctx, func(c *sqlink.Conn) error {
		return c.Query("SELECT follower, revision, position, note FROM cursor ORDER BY follower", func(r sqlink.Row) error {
			p, err := readCheckpoint(r)
			all = append(all, p)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	return all, nil
}
