package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// change runs do in a transaction that holds the row of the head, exclusively or shared with others who do not change
// it, and commits. What do does must be such that it may be done twice: when the connection breaks at COMMIT, it is
// done again. The writer's connection is not used, so that nothing here waits in its queue.
func (s *Store) change(ctx context.Context, lock string,
	do func(ctx context.Context, tx pgx.Tx, h changing) error,
) error {
	return s.calls.Try(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			var h changing
			var state int16
			err := tx.QueryRow(ctx, `SELECT fence, state, place FROM head `+lock).Scan(&h.fence, &state, &h.life.Place)
			if err != nil {
				return err
			}
			h.life.State = storage.State(state)
			return do(ctx, tx, h)
		})
	})
}

// How the head is held: by who depends on the life of the log only, who goes on beside commits; by who changes the log,
// one at a time; and by who ends its life, alone.
const (
	sharing   = "FOR KEY SHARE"
	exclusive = "FOR NO KEY UPDATE"
	alone     = "FOR UPDATE"
)

// changing is the part of the head that a change depends on.
type changing struct {
	fence int64
	life  storage.Life
}

// Rewrite prunes every record named by edits, or none.
func (s *Store) Rewrite(ctx context.Context, fence uint64, edits []storage.Edit) error {
	if err := s.calls.Usable(ctx); err != nil {
		return err
	}
	return s.change(ctx, exclusive, func(ctx context.Context, tx pgx.Tx, h changing) error {
		if uint64(h.fence) != fence {
			return event.Errorf(event.ErrConflict, "rewrite: the fence moved from %d to %d", fence, h.fence)
		}
		for some := range slices.Chunk(edits, 1000) {
			if err := prune(ctx, tx, some); err != nil {
				return err
			}
		}
		return nil
	})
}

// prune keeps leaf and request of the hashes: the commitments' seed would let the pruned values be guessed.
func prune(ctx context.Context, tx pgx.Tx, edits []storage.Edit) error {
	positions, leaves := make([]int64, len(edits)), make([][]byte, len(edits))
	ids := make([]event.ID, len(edits))
	for i, e := range edits {
		positions[i], ids[i], leaves[i] = int64(e.Position), e.ID, e.Leaf[:]
	}
	var missing int64
	err := tx.QueryRow(ctx, `SELECT u.position
		FROM unnest($1::bigint[], $2::uuid[], $3::bytea[]) u(position, id, leaf)
		LEFT JOIN event e ON e.position = u.position AND e.id = u.id AND substr(e.hashes, 1, 32) = u.leaf
		WHERE e.position IS NULL LIMIT 1`, positions, uuids(ids), leaves).Scan(&missing)
	switch {
	case err == nil:
		return event.Errorf(event.ErrConflict, "rewrite event at %d: no event with this position, id and leaf", missing)
	case !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE event SET hashes = substr(hashes, 1, 64), body = NULL, boxes = NULL
		WHERE position = ANY($1) AND body IS NOT NULL`, positions)
	return err
}

// Scrub vacuums the events' table, so that what Rewrite took away may be overwritten. PostgreSQL writes a changed row
// to a new place, and neither clears the old one nor its log: what still holds old bytes is named.
func (s *Store) Scrub(ctx context.Context) (storage.Residue, error) {
	vacuumed := false
	err := s.calls.Try(ctx, func(ctx context.Context) (err error) {
		if vacuumed, err = pglink.MayVacuum(ctx, s.pool, "event"); err == nil && vacuumed {
			_, err = s.pool.Exec(ctx, `VACUUM event`)
		}
		return err
	})
	if err != nil {
		return storage.Residue{}, fmt.Errorf("scrub events: %w", err)
	}
	var remains []string
	if !vacuumed {
		remains = append(remains,
			"dead rows of table event, which this user may not vacuum: until autovacuum or VACUUM by its owner frees them")
	}
	return storage.Residue{Remains: append(remains,
		"free space in the files of table event: until new rows fill it, or VACUUM FULL rewrites it",
		"write-ahead log, archives of it, replicas and backups of the server: as long as its operator keeps them",
	)}, nil
}
