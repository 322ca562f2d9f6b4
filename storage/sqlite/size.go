package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Sizes measures the store by part, with SQLite's dbstat table, after the write-ahead logs are emptied: a page that is
// both in a log and in its file would count twice.
func (s *Store) Sizes(ctx context.Context) ([]storage.Size, error) {
	if err := s.emptyLogs(ctx); err != nil {
		return nil, fmt.Errorf("measure store: %w", err)
	}
	bytes := make(map[string]int64)
	err := s.read(ctx, nil, nil, func(r *reading) error {
		err := r.c.Query("SELECT name, sum(pgsize) FROM dbstat GROUP BY name", func(row sqlink.Row) error {
			if part := parts[row.Text(0)]; part != "" {
				bytes[part] += row.Int64(1)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return r.c.Query("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size",
			func(row sqlink.Row) error { bytes["free"] = row.Int64(0); return nil })
	})
	if err != nil {
		return nil, fmt.Errorf("measure store: %w", err)
	}
	known := int64(0)
	for _, n := range bytes {
		known += n
	}
	wal := fileSize(s.dir, "events.db-wal") + fileSize(s.dir, "models.db-wal")
	bytes["wal"], bytes["other"] = wal, fileSize(s.dir, "events.db")+fileSize(s.dir, "models.db")-known
	sizes := make([]storage.Size, 0, len(bytes))
	for _, part := range []string{"events", "ids", "streams", "postings", "tiles", "other", "free", "wal"} {
		sizes = append(sizes, storage.Size{Part: part, Bytes: bytes[part]})
	}
	return sizes, nil
}

// parts of Sizes by table; what is not named is "other".
var parts = map[string]string{
	"event": "events", "sqlite_autoindex_event_1": "ids", "stream": "streams", "stream_pending": "streams",
	"sqlite_autoindex_stream_1": "streams", "run": "postings", "segment": "postings", "tile": "tiles",
}

func (s *Store) emptyLogs(ctx context.Context) error {
	if _, err := s.Scrub(ctx); err != nil {
		return err
	}
	return s.models.use(ctx, func(c *sqlink.Conn) error {
		_, err := c.Checkpoint("TRUNCATE")
		return err
	})
}

// fileSize asks for a size without opening the file, which would be a danger to SQLite's locks.
func fileSize(dir, name string) int64 {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return 0 // SQLite makes and removes its logs as it needs them
	}
	return info.Size()
}
