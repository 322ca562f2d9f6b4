package sqlite

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Streams lists streams ordered by kind, then id.
func (s *Store) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	if q.Limit <= 0 {
		return nil, event.Invalid("malformed_limit", "list streams: the limit must be above 0")
	}
	var found []storage.StreamState
	ids := make([]int64, 0, q.Limit)
	err := s.read(ctx, nil, nil, func(r *reading) error {
		text := `SELECT id, kind, name, closed, truncated, pruned FROM stream
			WHERE (kind, name) > (?1, ?2) AND (?3 = '' OR kind = ?3) AND (?4 = 0 OR truncated > pruned)
			ORDER BY kind, name LIMIT ?5`
		if q.Kind != "" {
			text = `SELECT id, kind, name, closed, truncated, pruned FROM stream
			WHERE kind = ?3 AND (kind, name) > (?1, ?2) AND (?4 = 0 OR truncated > pruned)
			ORDER BY kind, name LIMIT ?5`
		}
		if q.Pending {
			text = `SELECT id, kind, name, closed, truncated, pruned FROM stream INDEXED BY stream_pending
			WHERE truncated > pruned AND (kind, name) > (?1, ?2) AND (?3 = '' OR kind = ?3) AND ?4 = 1
			ORDER BY kind, name LIMIT ?5`
		}
		err := r.c.Query(text, func(row sqlink.Row) error {
			ids = append(ids, row.Int64(0))
			found = append(found, storage.StreamState{
				Stream: event.StreamID{Kind: row.Text(1), ID: row.Text(2)}, Closed: row.Int64(3) != 0,
				Truncated: event.Version(row.Int64(4)), Pruned: event.Version(row.Int64(5)),
			})
			return nil
		}, q.After.Kind, q.After.ID, q.Kind, boolean(q.Pending), q.Limit)
		if err != nil {
			return fmt.Errorf("list streams: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.withVersions(ctx, found, ids)
}

// withVersions adds to each stream the version of its last event.
func (s *Store) withVersions(ctx context.Context, streams []storage.StreamState, ids []int64,
) ([]storage.StreamState, error) {
	keys := make([]postings.Key, len(ids))
	for i, id := range ids {
		keys[i] = streamKey(id)
	}
	known := streams[:0]
	err := s.read(ctx, keys, nil, func(r *reading) error {
		for i, key := range keys {
			last, found, err := r.List(key, postings.AnyRole).AtOrBefore(r.Head)
			if err != nil {
				return fmt.Errorf("list streams: %w", err)
			}
			if found {
				streams[i].Version = event.Version(last.Aux)
			}
			if ids[i] <= r.lastStream { // else it is newer than this view
				known = append(known, streams[i])
			}
		}
		return nil
	})
	return known, err
}
