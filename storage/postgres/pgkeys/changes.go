package pgkeys

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// keyChanges is one call of ChangeKeys.
type keyChanges struct {
	changes  []storage.KeyChange
	outcomes []storage.KeyOutcome // once done
}

func (c *keyChanges) weight() int {
	n := 0
	for i := range c.changes {
		x := &c.changes[i]
		n += 64 + 64*(len(x.Add)+len(x.Replace)+len(x.Remove))
		if x.Keyring != nil {
			n += len(x.Keyring.Record)
		}
		if x.Retention != nil {
			n += len(x.Retention.Record)
		}
		if x.Epoch != nil {
			n += len(x.Epoch.Record)
		}
	}
	return n
}

// ChangeKeys implements storage.Keys. A change that a broken connection left unanswered is recognised by what is
// stored: records have versions, so what was to be stored is there, or is not, or was changed again since.
func (k *Keystore) ChangeKeys(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	for i := range changes {
		if err := check(&changes[i]); err != nil {
			return nil, err
		}
	}
	if len(changes) == 0 {
		return nil, k.calls.Usable(ctx)
	}
	c := &keyChanges{changes: changes}
	if err := k.changes.submit(ctx, c); err != nil {
		return nil, fmt.Errorf("change keys: %w", err)
	}
	return c.outcomes, nil
}

// check adds to KeyChange.Check what the database cannot hold.
func check(c *storage.KeyChange) error {
	if err := c.Check(); err != nil {
		return err
	}
	if r := c.Retention; r != nil && !pglink.Storable(r.Class) || c.Epoch != nil && !pglink.Storable(c.Epoch.Name) {
		return event.Invalid("malformed_key_change", "change keys: a name is not UTF-8 without zero bytes")
	}
	return nil
}

// writeChanges is the transaction of what several callers want: it locks the keystore, reads what they name, decides in
// their order, and writes.
func writeChanges(group []*keyChanges) attempt {
	asked := namesOf(group)
	var last *plan // of the attempt before
	return func(ctx context.Context, link *pglink.Link, conn *pgx.Conn, doubt *bool) error {
		now, err := asked.lock(ctx, conn)
		if err != nil {
			return err
		}
		if *doubt {
			switch last.fateOf(now) {
			case done:
				// It is visible, and may not yet be where commits wait to be: a commit that writes waits for it too.
				var b pgx.Batch
				b.Queue(`UPDATE keystore SET one = true`)
				return link.Commit(&b)
			case unsure:
				return errUnsettled
			case undone:
				*doubt = false
			}
		}
		for _, c := range group {
			c.outcomes = make([]storage.KeyOutcome, len(c.changes))
			for i := range c.changes {
				c.outcomes[i] = now.apply(&c.changes[i])
			}
		}
		if last = now; now.empty() {
			link.Rollback()
			return nil
		}
		var b pgx.Batch
		now.queue(&b)
		return link.Commit(&b)
	}
}

// names are what changes name.
type names struct {
	krids      []event.KRID
	retentions []storage.RetentionID
	epochs     []int64
	tokens     []storage.LookupToken
}

func namesOf(group []*keyChanges) *names {
	krids, retentions := make(map[event.KRID]bool), make(map[storage.RetentionID]bool)
	epochs, tokens := make(map[int64]bool), make(map[storage.LookupToken]bool)
	for _, c := range group {
		for i := range c.changes {
			x := &c.changes[i]
			if x.Keyring != nil {
				krids[x.Keyring.KRID] = true
			}
			if x.Retention != nil {
				retentions[x.Retention.RetentionID] = true
			}
			if x.Epoch != nil {
				epochs[int64(x.Epoch.Number)] = true
			}
			for _, l := range slices.Concat(x.Add, x.Replace) {
				tokens[l.Token] = true
			}
			for _, token := range x.Remove {
				tokens[token] = true
			}
		}
	}
	return &names{
		krids: slices.Collect(maps.Keys(krids)), retentions: slices.Collect(maps.Keys(retentions)),
		epochs: slices.Collect(maps.Keys(epochs)), tokens: slices.Collect(maps.Keys(tokens)),
	}
}

// lock begins a transaction, locks the keystore, and reads what is stored, in one round trip. Each statement answers as
// of after the lock was given.
func (n *names) lock(ctx context.Context, conn *pgx.Conn) (*plan, error) {
	p := newPlan()
	var b pgx.Batch
	b.Queue("BEGIN")
	b.Queue(`SELECT store, applied FROM keystore FOR NO KEY UPDATE`).QueryRow(func(row pgx.Row) error {
		var store []byte
		var applied int64
		err := row.Scan(&store, &applied)
		if err == nil {
			p.store, p.applied, err = headOf(store, applied)
		}
		return err
	})
	if len(n.krids) > 0 {
		b.Queue(keyringsQuery, uuids(n.krids)).Query(func(rows pgx.Rows) error {
			return each(rows, scanKeyring, func(_ int, k storage.Keyring) { p.keyrings.now[k.KRID] = k })
		})
	}
	if len(n.retentions) > 0 {
		b.Queue(retentionsQuery, retentionArgs(n.retentions)...).Query(func(rows pgx.Rows) error {
			return each(rows, scanRetention, func(_ int, r storage.RetentionKey) { p.retentions.now[r.RetentionID] = r })
		})
	}
	if len(n.epochs) > 0 {
		b.Queue(`SELECT 1::bigint, `+epochColumns+` FROM key_epoch e WHERE number = ANY($1)`, n.epochs).Query(
			func(rows pgx.Rows) error {
				return each(rows, scanEpoch, func(_ int, e storage.Epoch) { p.epochs.now[e.Number] = e })
			})
	}
	if len(n.tokens) > 0 {
		b.Queue(lookupsQuery, uuids(n.tokens)).Query(func(rows pgx.Rows) error {
			return each(rows, scanLookup, func(_ int, l storage.Lookup) { p.lookups.now[l.Token] = l })
		})
	}
	return p, conn.SendBatch(ctx, &b).Close()
}
