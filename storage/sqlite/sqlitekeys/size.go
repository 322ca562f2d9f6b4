package sqlitekeys

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// parts of KeySizes by table; what is not named is "other".
var parts = map[string]string{
	"keyring": "keyrings", "sqlite_autoindex_keyring_1": "keyrings", "lookup": "lookups", "retention": "retentions",
	"use": "uses", "use_at": "uses", "run": "uses", "segment": "uses",
}

// KeySizes implements storage.Keystore, with SQLite's dbstat table, after the write-ahead logs are emptied: a page that
// is both in a log and in its file would count twice.
func (k *Keystore) KeySizes(ctx context.Context) ([]storage.Size, error) {
	if _, err := k.ScrubKeys(ctx); err != nil {
		return nil, fmt.Errorf("measure keystore: %w", err)
	}
	bytes := make(map[string]int64)
	known := int64(0)
	measure := func(c *sqlink.Conn) error {
		return c.Query("SELECT name, sum(pgsize) FROM dbstat GROUP BY name", func(r sqlink.Row) error {
			if part := parts[r.Text(0)]; part != "" {
				bytes[part] += r.Int64(1)
				known += r.Int64(1)
			}
			return nil
		})
	}
	if err := k.keys.read(ctx, measure); err != nil {
		return nil, fmt.Errorf("measure keystore: %w", err)
	}
	if err := k.uses.file.read(ctx, measure); err != nil {
		return nil, fmt.Errorf("measure keystore: %w", err)
	}
	bytes["other"] = -known
	for _, name := range []string{"keys.db", "keys.db-wal", "uses.db", "uses.db-wal"} {
		if info, err := os.Stat(filepath.Join(k.dir, name)); err == nil { // SQLite makes and removes its logs as it needs
			bytes["other"] += info.Size()
		}
	}
	sizes := make([]storage.Size, 0, 5)
	for _, part := range []string{"keyrings", "lookups", "retentions", "uses", "other"} {
		sizes = append(sizes, storage.Size{Part: part, Bytes: bytes[part]})
	}
	return sizes, nil
}
