package postgres

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Streams lists streams ordered by kind, then id.
func (s *Store) Streams(ctx context.Context, q storage.StreamQuery) (found []storage.StreamState, err error) {
	if q.Limit <= 0 {
		return nil, event.Invalid("malformed_limit", "list streams: the limit must be above 0")
	}
	text := `SELECT kind, name, closed, truncated, pruned,
		coalesce((SELECT max(version) FROM event WHERE stream = s.id), 0)
		FROM stream s WHERE (kind, name) > ($1, $2)`
	args := []any{q.After.Kind, q.After.ID, q.Limit}
	if q.Kind != "" {
		text += ` AND kind = $4`
		args = append(args, q.Kind)
	}
	if q.Pending {
		text += ` AND truncated > pruned`
	}
	text += ` ORDER BY kind, name LIMIT $3`
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		found = nil
		rows, err := s.pool.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x storage.StreamState
			var truncated, pruned, version int64
			if err := rows.Scan(&x.Stream.Kind, &x.Stream.ID, &x.Closed, &truncated, &pruned, &version); err != nil {
				return err
			}
			x.Truncated, x.Pruned, x.Version = event.Version(truncated), event.Version(pruned), event.Version(version)
			found = append(found, x)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return found, nil
}

// Tiles returns full tiles.
func (s *Store) Tiles(ctx context.Context, ids []storage.TileID) (tiles [][]byte, err error) {
	levels, numbers := make([]int64, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		levels[i], numbers[i] = int64(id.Level), int64(id.N)
	}
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		tiles = make([][]byte, len(ids))
		rows, err := s.pool.Query(ctx, `SELECT u.i, t.hashes FROM unnest($1::bigint[], $2::bigint[])
			WITH ORDINALITY u(level, n, i) JOIN tile t ON t.level = u.level AND t.n = u.n`, levels, numbers)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i int64
			var hashes []byte
			if err := rows.Scan(&i, &hashes); err != nil {
				return err
			}
			tiles[i-1] = hashes
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	for i, id := range ids {
		if tiles[i] == nil {
			return nil, event.Errorf(event.ErrNotFound, "read tile %d/%d: it is not stored", id.Level, id.N)
		}
	}
	return tiles, nil
}
