package postgres

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// Sizes measures the store by part. What the server keeps beside it (write-ahead log, replicas) is not the store's, nor
// is a keystore in the same schema.
func (s *Store) Sizes(ctx context.Context) (sizes []storage.Size, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) (err error) {
		sizes, err = pglink.Sizes(ctx, s.pool, s.address.Schema, false, parts,
			[]string{"events", "ids", "streams", "postings", "tiles", "other", "free", "wal"})
		return err
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
