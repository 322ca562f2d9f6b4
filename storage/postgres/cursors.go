package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

func readCheckpoint(row pgx.Row) (p storage.NamedCheckpoint, err error) {
	var position string
	var revision int64
	if err := row.Scan(&p.Follower, &revision, &position, &p.Note); err != nil {
		return p, err
	}
	if p.Revision = uint64(revision); len(p.Note) == 0 {
		p.Note = nil
	}
	if p.Cursor, err = event.ParseCursor(position); err != nil {
		return p, event.Errorf(event.ErrCorrupt, "read checkpoint of %s: its cursor is damaged", p.Follower)
	}
	return p, nil
}

// Checkpoint is the last one stored for a follower.
func (s *Store) Checkpoint(ctx context.Context, follower string) (found storage.Checkpoint, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		p, err := readCheckpoint(s.pool.QueryRow(ctx,
			`SELECT follower, revision, position, note FROM cursor WHERE follower = $1`, follower))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		found = p.Checkpoint
		return err
	})
	if err != nil {
		return storage.Checkpoint{}, fmt.Errorf("read checkpoint of %s: %w", follower, err)
	}
	return found, nil
}

// Advance stores a checkpoint if the follower's is still from. Where the connection breaks at the commit, it asks
// whether what is stored now is what it stored.
func (s *Store) Advance(ctx context.Context, follower string, from, to storage.Checkpoint) (storage.Checkpoint, error) {
	to.Revision = from.Revision + 1
	if to.Note = slices.Clone(to.Note); len(to.Note) == 0 {
		to.Note = nil
	}
	tried := false
	err := s.change(ctx, sharing, func(ctx context.Context, tx pgx.Tx, h changing) error {
		if err := h.life.Check(""); err != nil {
			return err
		}
		done, err := advance(ctx, tx, follower, from.Revision, to)
		if err == nil && !done && tried {
			done, err = stands(ctx, tx, follower, to)
		}
		tried = true
		if err == nil && !done {
			err = event.Errorf(event.ErrConflict, "compare revision %d: another process advanced it", from.Revision).
				Hint("run each follower in one process")
		}
		return err
	})
	if err != nil {
		return storage.Checkpoint{}, fmt.Errorf("store checkpoint of %s: %w", follower, err)
	}
	return to, nil
}

func advance(ctx context.Context, tx pgx.Tx, follower string, from uint64, to storage.Checkpoint) (bool, error) {
	text := `UPDATE cursor SET revision = $2, position = $3, note = $4 WHERE follower = $1 AND revision = $2 - 1`
	if from == 0 {
		text = `INSERT INTO cursor VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	}
	tag, err := tx.Exec(ctx, text, follower, int64(to.Revision), to.Cursor.String(), to.Note)
	return tag.RowsAffected() == 1, err
}

// stands reports whether a checkpoint is what is stored.
func stands(ctx context.Context, tx pgx.Tx, follower string, want storage.Checkpoint) (bool, error) {
	p, err := readCheckpoint(tx.QueryRow(ctx,
		`SELECT follower, revision, position, note FROM cursor WHERE follower = $1`, follower))
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return p.Revision == want.Revision && p.Cursor == want.Cursor && slices.Equal(p.Note, want.Note), err
}

// Checkpoints lists all, by follower name.
func (s *Store) Checkpoints(ctx context.Context) (all []storage.NamedCheckpoint, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		all = nil
		rows, err := s.pool.Query(ctx, `SELECT follower, revision, position, note FROM cursor ORDER BY follower`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			p, err := readCheckpoint(rows)
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	return all, nil
}
