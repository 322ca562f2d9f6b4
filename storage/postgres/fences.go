package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

const insertFences = `INSERT INTO fence SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) ON CONFLICT DO NOTHING`

func fenceColumns(fences []storage.Fence) []any {
	numbers, positions := make([]int64, len(fences)), make([]int64, len(fences))
	krids := make(pgtype.FlatArray[pgtype.UUID], len(fences))
	for i, f := range fences {
		numbers[i], positions[i] = int64(f.Number), int64(f.Position)
		krids[i] = pgtype.UUID{Bytes: f.KRID, Valid: true}
	}
	return []any{numbers, krids, positions}
}

// queueFences raises the head's fence and stores the fences of a batch under it. Other processes hear of it as of
// segments, by another number of changes, in the statement by which they learn of the commit.
func (t *commit) queueFences(out *pgx.Batch, fences []storage.Fence) {
	if len(fences) == 0 {
		return
	}
	t.head.Fence++
	t.changes++
	numbered := make([]storage.Fence, len(fences))
	for i, f := range fences {
		numbered[i] = storage.Fence{Number: t.head.Fence, KRID: f.KRID, Position: f.Position}
	}
	out.Queue(insertFences, fenceColumns(numbered)...)
	out.Queue(`UPDATE head SET fence = $1, changes = $2`, int64(t.head.Fence), t.changes)
}

// Fences returns the fences above a number, and a number whole or not at all.
func (s *Store) Fences(ctx context.Context, after uint64, limit int) (found []storage.Fence, err error) {
	if limit < 1 {
		return nil, event.Invalid("malformed_limit", "list fences: limit %d is below 1", limit)
	}
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, `SELECT number, krid, position FROM fence WHERE number > $1 AND number <= coalesce(
				(SELECT number FROM fence WHERE number > $1 ORDER BY number OFFSET $2 LIMIT 1), $3)
			ORDER BY number, krid, position`, int64(min(after, math.MaxInt64)), limit-1, int64(math.MaxInt64))
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (f storage.Fence, err error) {
			var number, position int64
			err = row.Scan(&number, (*[16]byte)(&f.KRID), &position)
			f.Number, f.Position = uint64(number), event.Position(position)
			return f, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list fences: %w", err)
	}
	return found, nil
}
