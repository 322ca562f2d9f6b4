package pgkeys

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// newUses is one call of RecordUses.
type newUses struct {
	at      []int64
	records [][]byte
	bytes   int
}

func (u *newUses) weight() int { return u.bytes }

// RecordUses implements storage.Uses.
func (k *Keystore) RecordUses(ctx context.Context, uses []storage.Use) error {
	n := new(newUses)
	for i := range uses {
		u := uses[i]
		if err := u.Check(); err != nil {
			return err
		}
		u.Entries = slices.Clone(u.Entries) // the caller's stay as they are
		u.Canonical()
		record := storage.AppendUse(nil, &u)
		n.at, n.records, n.bytes = append(n.at, u.At), append(n.records, record), n.bytes+len(record)+64
	}
	if len(uses) == 0 {
		return k.calls.Usable(ctx)
	}
	if err := k.uses.submit(ctx, n); err != nil {
		return fmt.Errorf("record uses: %w", err)
	}
	return nil
}

const (
	// insertUses numbers them under the lock; numbers of uses that were pruned are not given again.
	insertUses = `INSERT INTO key_use SELECT h.last + u.n, u.at, u.record
		FROM (SELECT greatest(pruned, (SELECT max(number) FROM key_use)) AS last FROM key_uses) h,
		unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY u(at, record, n)`
	// foundUses looks for the first of them, and for the others in a row after it.
	foundUses = `SELECT EXISTS (SELECT FROM key_use f WHERE f.at = ($1::bigint[])[1] AND f.record = ($2::bytea[])[1]
		AND NOT EXISTS (SELECT FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY u(at, record, n)
			LEFT JOIN key_use s ON s.number = f.number + u.n - 1
			WHERE s.at IS DISTINCT FROM u.at OR s.record IS DISTINCT FROM u.record))`
)

// writeUses is the transaction of the uses of several callers, in one round trip.
func writeUses(group []*newUses) attempt {
	var all newUses
	for _, u := range group {
		all.at, all.records = append(all.at, u.at...), append(all.records, u.records...)
	}
	return func(ctx context.Context, link *pglink.Link, conn *pgx.Conn, doubt *bool) error {
		var b pgx.Batch
		if !*doubt {
			b.Queue("BEGIN")
			b.Queue("SELECT FROM key_uses FOR NO KEY UPDATE")
			all.queue(&b)
			return link.Commit(&b)
		}
		found, err := all.found(ctx, conn)
		switch {
		case err != nil:
			return err
		case found:
			// They are visible, and may not yet be where commits wait to be: a commit that writes waits for it too.
			b.Queue(`UPDATE key_uses SET one = true`)
		default:
			*doubt = false
			all.queue(&b)
		}
		return link.Commit(&b)
	}
}

func (u *newUses) queue(b *pgx.Batch) {
	for from := 0; from < len(u.at); {
		to, bytes := from, 0
		for to < len(u.at) && bytes < mostBytes {
			bytes += len(u.records[to])
			to++
		}
		b.Queue(insertUses, u.at[from:to], u.records[from:to])
		from = to
	}
}

// found tells under the lock whether the uses of a transaction that nobody heard of again are stored. They follow each
// other as in no other transaction: no two say the same of the same moment.
func (u *newUses) found(ctx context.Context, conn *pgx.Conn) (found bool, err error) {
	var b pgx.Batch
	b.Queue("BEGIN")
	b.Queue("SELECT FROM key_uses FOR NO KEY UPDATE")
	b.Queue(foundUses, u.at, u.records).QueryRow(func(row pgx.Row) error { return row.Scan(&found) })
	return found, conn.SendBatch(ctx, &b).Close()
}
