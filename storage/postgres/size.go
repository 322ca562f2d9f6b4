package postgres

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/storage"
)

// Sizes measures the store by part. What the server keeps beside it (write-ahead log, replicas) is not the store's, nor
// is a keystore in the same schema, whose tables begin with key.
func (s *Store) Sizes(ctx context.Context) (sizes []storage.Size, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		bytes := make(map[string]int64)
		rows, err := s.pool.Query(ctx, `SELECT c.relname::text, pg_relation_size(c.oid)
				+ CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) - pg_relation_size(c.oid) ELSE 0 END
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relkind IN ('r', 'i', 'S') AND c.relname NOT LIKE 'key%'`, s.address.Schema)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var n int64
			if err := rows.Scan(&name, &n); err != nil {
				return err
			}
			part, ok := parts[name]
			if !ok {
				part = "other"
			}
			bytes[part] += n
		}
		sizes = nil
		for _, part := range []string{"events", "ids", "streams", "postings", "tiles", "other", "free", "wal"} {
			sizes = append(sizes, storage.Size{Part: part, Bytes: bytes[part]})
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("measure store: %w", err)
	}
	return sizes, nil
}

// parts of Sizes by table or index; what is not named is "other".
var parts = map[string]string{
	"event": "events", "event_pkey": "events", "event_id_key": "ids", "event_stream_version_key": "streams",
	"stream": "streams", "stream_pkey": "streams", "stream_kind_name_key": "streams", "stream_pending": "streams",
	"run": "postings", "run_pkey": "postings", "segment": "postings", "segment_pkey": "postings",
	"batch": "postings", "batch_pkey": "postings", "tile": "tiles", "tile_pkey": "tiles",
}
