package sqlitekeys

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// keyRequest is one call of ChangeKeys.
type keyRequest struct {
	changes  []storage.KeyChange
	outcomes []storage.KeyOutcome
}

// ChangeKeys implements storage.Keys.
func (k *Keystore) ChangeKeys(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	for i := range changes {
		if err := changes[i].Check(); err != nil {
			return nil, err
		}
	}
	r := &request[keyRequest]{want: keyRequest{changes: changes}, weight: len(changes)}
	if err := k.keys.submit(ctx, r, k.commit); err != nil {
		return nil, fmt.Errorf("change keys: %w", err)
	}
	return r.want.outcomes, nil
}

// commit applies the changes of several callers in one transaction. Each change is judged before anything of it is
// written, so that a transaction ends with nothing that was refused in it.
func (k *Keystore) commit(group []*request[keyRequest]) error {
	return k.keys.transaction(func() (written int, err error) {
		for _, r := range group {
			r.want.outcomes = make([]storage.KeyOutcome, len(r.want.changes))
			for i := range r.want.changes {
				n, err := change(k.keys.c, &r.want.changes[i], &r.want.outcomes[i])
				if err != nil {
					return 0, err
				}
				written += n
			}
		}
		return written, nil
	})
}

// change applies one change if nothing is in its way, and says what became of it.
func change(c *sqlink.Conn, x *storage.KeyChange, o *storage.KeyOutcome) (written int, err error) {
	if done, err := swap(c, x); err != nil || done {
		o.Stored = done
		return len(x.Keyring.Record), err
	}
	if err := refusal(c, x, o); err != nil || *o != (storage.KeyOutcome{}) {
		return 0, err
	}
	o.Stored = true
	return apply(c, x)
}

// swap applies a change of one live keyring and nothing else, if nothing is in its way. It is the usual one where
// everybody's keyring is changed, and finds the row but once.
func swap(c *sqlink.Conn, x *storage.KeyChange) (done bool, err error) {
	r := x.Keyring
	if r == nil || r.Version == 1 || len(x.Add)+len(x.Replace)+len(x.Remove) > 0 || x.Retention != nil ||
		x.Epoch != nil || x.Store != (event.StoreID{}) || x.Applied != 0 {
		return false, nil
	}
	n, err := c.Changed(`UPDATE keyring SET version = ?, epoch = ?, state = ?, record = ?
		WHERE krid = ? AND version = ? AND state = ?`, int64(r.Version), int64(r.Epoch), int64(r.State), record(r.Record),
		r.KRID[:], int64(r.Version-1), int64(storage.KeyLive))
	return n == 1, err
}

// refusal finds what is in the way of a change.
func refusal(c *sqlink.Conn, x *storage.KeyChange, o *storage.KeyOutcome) error {
	if x.Keyring != nil {
		var now storage.Keyring
		if err := selectKeyring(c, &x.Keyring.KRID, &now); err != nil {
			return err
		}
		if !x.Keyring.Follows(now.Version, now.State) {
			o.Keyring = &now
			return nil
		}
	}
	if x.Retention != nil {
		var now storage.RetentionKey
		if err := selectRetention(c, x.Retention.RetentionID, &now); err != nil {
			return err
		}
		if !x.Retention.Follows(now.Version, now.State) {
			o.Retention = &now
			return nil
		}
	}
	for i := range x.Add {
		var now storage.Lookup
		if err := selectLookup(c, &x.Add[i].Token, &now); err != nil {
			return err
		}
		if now.State != 0 {
			o.Lookup = &now
			return nil
		}
	}
	if x.Epoch != nil {
		var now storage.Epoch
		err := c.Query("SELECT "+epochColumns+" FROM epoch WHERE number = ?", func(r sqlink.Row) error {
			now = readEpoch(r)
			return nil
		}, int64(x.Epoch.Number))
		if err != nil {
			return err
		}
		if !x.Epoch.Follows(now.Version, now.State) {
			o.Epoch = &now
			return nil
		}
	}
	if x.Store == (event.StoreID{}) {
		return nil
	}
	var head storage.KeyHead
	err := readHead(c, &head)
	if head.Store != x.Store {
		o.Store = head.Store // zero: nobody's, and nothing is in the way
	}
	return err
}

// About how many bytes a row takes beside its record, and a lookup all in all, with the pages that are changed for it.
const (
	rowBytes    = 3000
	lookupBytes = 3000
)

// apply writes a change that nothing is in the way of, and tells about how many bytes that were.
func apply(c *sqlink.Conn, x *storage.KeyChange) (written int, err error) {
	if r := x.Keyring; r != nil {
		err = writeKeyring(c, r)
		written += len(r.Record) + rowBytes
	}
	if r := x.Retention; r != nil && err == nil {
		err = c.Exec(`INSERT INTO retention VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version,
			epoch = excluded.epoch, state = excluded.state, record = excluded.record`,
			r.Class, r.Bucket, int64(r.Version), int64(r.Epoch), int64(r.State), record(r.Record))
		written += len(r.Record) + rowBytes
	}
	if err == nil {
		err = writeLookups(c, x)
		written += lookupBytes * (len(x.Add) + len(x.Replace) + len(x.Remove))
	}
	if e := x.Epoch; e != nil && err == nil {
		err = c.Exec("INSERT OR REPLACE INTO epoch VALUES (?, ?, ?, ?, ?, ?)", int64(e.Number), int64(e.Version),
			int64(e.State), e.Created, e.Name, record(e.Record))
		written += len(e.Record) + rowBytes
	}
	if x.Store != (event.StoreID{}) && err == nil {
		err = c.Exec("UPDATE head SET store = ? WHERE one = 1", x.Store[:])
	}
	if x.Applied > 0 && err == nil {
		err = c.Exec("UPDATE head SET applied = max(applied, ?) WHERE one = 1", int64(x.Applied))
	}
	return written, err
}

func writeKeyring(c *sqlink.Conn, r *storage.Keyring) error {
	if r.Version == 1 {
		return c.Exec("INSERT INTO keyring (krid, version, epoch, state, record) VALUES (?, ?, ?, ?, ?)",
			r.KRID[:], int64(r.Version), int64(r.Epoch), int64(r.State), record(r.Record))
	}
	return c.Exec("UPDATE keyring SET version = ?, epoch = ?, state = ?, record = ? WHERE krid = ?",
		int64(r.Version), int64(r.Epoch), int64(r.State), record(r.Record), r.KRID[:])
}

func writeLookups(c *sqlink.Conn, x *storage.KeyChange) error {
	for i := range x.Remove {
		if err := c.Exec("DELETE FROM lookup WHERE token = ?", x.Remove[i][:]); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		list []storage.Lookup
		text string
	}{
		{x.Add, "INSERT INTO lookup VALUES (?, ?, ?, ?)"}, {x.Replace, "INSERT OR REPLACE INTO lookup VALUES (?, ?, ?, ?)"},
	} {
		for i := range part.list {
			l := &part.list[i]
			var krid []byte
			if !l.KRID.IsZero() {
				krid = l.KRID[:]
			}
			if err := c.Exec(part.text, l.Token[:], int64(l.State), krid, l.Until); err != nil {
				return err
			}
		}
	}
	return nil
}

// record is how a record is stored: NULL if there is nothing in it.
func record(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
