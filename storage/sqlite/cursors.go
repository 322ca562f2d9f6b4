package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"zombiezen.com/go/sqlite"
)

// cursors keeps checkpoints in a file of their own, so that followers do not wait for appends, nor appends for them.
type cursors struct {
	mu     sync.Mutex
	c      *conn
	failed error // a failed sync ends all writing
	fill   walFill
	closed bool
}

const modelsSchema = `
CREATE TABLE cursor (
	follower TEXT PRIMARY KEY, revision INTEGER NOT NULL, position TEXT NOT NULL, note BLOB
) STRICT, WITHOUT ROWID;
`

func openCursors(path string) (*cursors, error) {
	c, err := openConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, err
	}
	if err := c.prepareFile(modelsSchema); err != nil {
		return nil, joinClose(err, c)
	}
	return &cursors{c: c}, nil
}

func (k *cursors) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return k.c.Close()
}

// use runs do with the connection.
func (k *cursors) use(ctx context.Context, do func(*conn) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return errClosed()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return do(k.c)
}

func readCheckpoint(r row) (p storage.NamedCheckpoint, err error) {
	p.Follower, p.Revision, p.Note = r.text(0), uint64(r.int64(1)), r.bytes(3)
	if len(p.Note) == 0 {
		p.Note = nil
	}
	p.Cursor, err = event.ParseCursor(r.text(2))
	if err != nil {
		err = event.Errorf(event.ErrCorrupt, "read checkpoint of %s: its cursor is damaged", p.Follower)
	}
	return p, err
}

func (k *cursors) checkpoint(c *conn, follower string) (storage.Checkpoint, error) {
	var found storage.NamedCheckpoint
	err := c.query("SELECT follower, revision, position, note FROM cursor WHERE follower = ?", func(r row) (err error) {
		found, err = readCheckpoint(r)
		return err
	}, follower)
	return found.Checkpoint, err
}

// Checkpoint is the last one stored for a follower.
func (s *Store) Checkpoint(ctx context.Context, follower string) (found storage.Checkpoint, err error) {
	err = s.cursors.use(ctx, func(c *conn) error {
		found, err = s.cursors.checkpoint(c, follower)
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
	err := s.cursors.use(ctx, func(c *conn) error {
		if s.cursors.failed != nil {
			return s.cursors.failed
		}
		err := c.moveLog(&s.cursors.fill)
		if err == nil {
			err = c.transaction(func() error { return advance(c, follower, from.Revision, to) })
			s.cursors.fill.add(len(to.Note))
		}
		if errors.Is(err, event.ErrFailed) {
			s.cursors.failed = errFailedBefore()
		}
		return err
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

func advance(c *conn, follower string, from uint64, to storage.Checkpoint) error {
	var n int
	var err error
	if from == 0 {
		n, err = c.changed("INSERT INTO cursor VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			follower, int64(to.Revision), to.Cursor.String(), to.Note)
	} else {
		n, err = c.changed("UPDATE cursor SET revision = ?, position = ?, note = ? WHERE follower = ? AND revision = ?",
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
	err = s.cursors.use(ctx, func(c *conn) error {
		return c.query("SELECT follower, revision, position, note FROM cursor ORDER BY follower", func(r row) error {
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
