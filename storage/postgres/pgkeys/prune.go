package pgkeys

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// pruneStep is how many uses are removed in one transaction, so that nobody who records uses waits long.
const pruneStep = 1000

// PruneUses implements storage.Uses. It removes some at a time.
func (k *Keystore) PruneUses(ctx context.Context, before int64) (removed int, err error) {
	for from := int64(math.MinInt64); ; {
		some, err := k.pruneSome(ctx, from, before)
		if err != nil {
			return removed, fmt.Errorf("prune uses: %w", err)
		}
		if removed += len(some); len(some) < pruneStep {
			return removed, nil
		}
		from = some[len(some)-1].At // what lies before is gone, and need not be passed again
	}
}

// old is a use that is to be removed.
type old struct{ Number, At int64 }

// pruneSome removes the oldest of them. Where the connection breaks at COMMIT the same are removed again, if they are
// still there, so that they are counted once.
func (k *Keystore) pruneSome(ctx context.Context, from, before int64) (chosen []old, err error) {
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, k.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT FROM key_uses FOR NO KEY UPDATE"); err != nil {
				return err
			}
			if chosen == nil {
				rows, err := tx.Query(ctx, `SELECT number, at FROM key_use WHERE at >= $1 AND at < $2 ORDER BY at LIMIT $3`,
					from, before, pruneStep)
				if err != nil {
					return err
				}
				if chosen, err = pgx.CollectRows(rows, pgx.RowToStructByPos[old]); err != nil || len(chosen) == 0 {
					return err
				}
			}
			return remove(ctx, tx, chosen)
		})
	})
	return chosen, err
}

// remove deletes uses, and the segments of the index that cover no others, whose rows the next merge deletes.
func remove(ctx context.Context, tx pgx.Tx, uses []old) error {
	numbers := make([]int64, len(uses))
	for i := range uses {
		numbers[i] = uses[i].Number
	}
	var b pgx.Batch
	b.Queue(`UPDATE key_uses SET pruned = greatest(pruned, (SELECT max(number) FROM key_use))`)
	b.Queue(`DELETE FROM key_use WHERE number = ANY($1)`, numbers)
	b.Queue(`DELETE FROM key_segment WHERE last < coalesce((SELECT min(number) FROM key_use),
		(SELECT pruned + 1 FROM key_uses))`)
	return tx.SendBatch(ctx, &b).Close()
}

// scrubbed are the tables in which rows change or go.
var scrubbed = []string{
	"keystore", "key_epoch", "keyring", "key_lookup", "key_retention", "key_uses", "key_use", "key_segment", "key_run",
}

// ScrubKeys implements storage.Keys. It takes pruned uses out of their index, and vacuums, so that what was taken away
// may be overwritten. PostgreSQL writes a changed row to a new place, and neither clears the old one nor its log: what
// still holds old bytes is named.
func (k *Keystore) ScrubKeys(ctx context.Context) (storage.Residue, error) {
	var left []string
	err := k.calls.Try(ctx, func(ctx context.Context) error {
		err := k.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			return pglink.AwaitLease(ctx, c.Conn(), pglink.LockOf(k.address.Schema, "uses"),
				func() error { return k.clean(ctx, c.Conn()) })
		})
		if err != nil {
			return err
		}
		left = nil
		for _, table := range scrubbed {
			may, err := pglink.MayVacuum(ctx, k.pool, table)
			if err == nil && may {
				_, err = k.pool.Exec(ctx, `VACUUM `+table)
			}
			if err != nil {
				return err
			}
			if !may {
				left = append(left, table)
			}
		}
		return nil
	})
	if err != nil {
		return storage.Residue{}, fmt.Errorf("scrub keys: %w", err)
	}
	var remains []string
	if len(left) > 0 {
		remains = append(remains, "dead rows of tables "+strings.Join(left, ", ")+
			", which this user may not vacuum: until autovacuum or VACUUM by their owner frees them")
	}
	return storage.Residue{Remains: append(remains,
		"free space in the files of the keystore's tables: until new rows fill it, or VACUUM FULL rewrites them",
		"write-ahead log, archives of it, replicas and backups of the server: as long as its operator keeps them",
	)}, nil
}

// parts of KeySizes by table and index; what is not named is "other".
var parts = map[string]string{
	"keyring": "keyrings", "keyring_pkey": "keyrings", "key_lookup": "lookups", "key_lookup_pkey": "lookups",
	"key_retention": "retentions", "key_retention_pkey": "retentions",
	"key_use": "uses", "key_use_pkey": "uses", "key_use_at": "uses", "key_uses": "uses", "key_uses_pkey": "uses",
	"key_segment": "uses", "key_segment_pkey": "uses", "key_segment_n": "uses", "key_run": "uses", "key_run_pkey": "uses",
}

// KeySizes implements storage.Keystore. What the server keeps beside it (write-ahead log, replicas) is not the
// keystore's.
func (k *Keystore) KeySizes(ctx context.Context) (sizes []storage.Size, err error) {
	err = k.calls.Try(ctx, func(ctx context.Context) (err error) {
		sizes, err = pglink.Sizes(ctx, k.pool, k.address.Schema, true, parts,
			[]string{"keyrings", "lookups", "retentions", "uses", "other"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("measure keystore: %w", err)
	}
	return sizes, nil
}
