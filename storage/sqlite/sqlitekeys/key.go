package sqlitekeys

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Keyrings lie in the order in which persons came, one behind the other; only the index by KRID and the lookups, which
// are small, are spread over the file by every new person.
var keysSchema = sqlink.Schema{Steps: []string{`
CREATE TABLE head (
	one INTEGER PRIMARY KEY CHECK (one = 1), store BLOB NOT NULL, applied INTEGER NOT NULL
) STRICT;
CREATE TABLE epoch (
	number INTEGER PRIMARY KEY, version INTEGER NOT NULL, state INTEGER NOT NULL, created INTEGER NOT NULL,
	name TEXT NOT NULL, record BLOB
) STRICT;
CREATE TABLE keyring (
	id INTEGER PRIMARY KEY, krid BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
	state INTEGER NOT NULL, record BLOB
) STRICT;
CREATE TABLE retention (
	class TEXT NOT NULL, bucket INTEGER NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
	state INTEGER NOT NULL, record BLOB, PRIMARY KEY (class, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE lookup (
	token BLOB PRIMARY KEY, state INTEGER NOT NULL, krid BLOB, until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO head VALUES (1, zeroblob(16), 0);
`}}

// KeyHead implements storage.Keys.
func (k *Keystore) KeyHead(ctx context.Context) (head storage.KeyHead, err error) {
	err = k.keys.read(ctx, func(c *sqlink.Conn) error {
		if err := readHead(c, &head); err != nil {
			return err
		}
		return c.Query("SELECT "+epochColumns+" FROM epoch ORDER BY number", func(r sqlink.Row) error {
			head.Epochs = append(head.Epochs, readEpoch(r))
			return nil
		})
	})
	if err != nil {
		return storage.KeyHead{}, fmt.Errorf("read head of keystore: %w", err)
	}
	return head, nil
}

func readHead(c *sqlink.Conn, head *storage.KeyHead) error {
	return c.Query("SELECT store, applied FROM head", func(r sqlink.Row) error {
		copy(head.Store[:], r.Bytes(0))
		head.Applied = event.Position(r.Int64(1))
		return nil
	})
}

const epochColumns = "number, version, state, created, name, record"

func readEpoch(r sqlink.Row) storage.Epoch {
	return storage.Epoch{
		Number: uint32(r.Int64(0)), Version: uint64(r.Int64(1)), State: storage.KeyState(r.Int64(2)),
		Created: r.Int64(3), Name: r.Text(4), Record: r.Bytes(5),
	}
}

const keyringColumns = "krid, version, epoch, state, record"

func readKeyring(r sqlink.Row) storage.Keyring {
	k := storage.Keyring{
		Version: uint64(r.Int64(1)), Epoch: uint32(r.Int64(2)), State: storage.KeyState(r.Int64(3)), Record: r.Bytes(4),
	}
	r.Stmt.ColumnBytes(0, k.KRID[:])
	return k
}

// Keyrings implements storage.Keys.
func (k *Keystore) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	found := make([]storage.Keyring, len(krids))
	err := k.keys.read(ctx, func(c *sqlink.Conn) error {
		for i := range krids {
			if err := selectKeyring(c, &krids[i], &found[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read keyrings: %w", err)
	}
	return found, nil
}

func selectKeyring(c *sqlink.Conn, krid *event.KRID, out *storage.Keyring) error {
	return c.Query("SELECT "+keyringColumns+" FROM keyring WHERE krid = ?", func(r sqlink.Row) error {
		*out = readKeyring(r)
		return nil
	}, krid[:])
}

// Lookups implements storage.Keys.
func (k *Keystore) Lookups(ctx context.Context, tokens []storage.LookupToken) ([]storage.Lookup, error) {
	found := make([]storage.Lookup, len(tokens))
	err := k.keys.read(ctx, func(c *sqlink.Conn) error {
		for i := range tokens {
			if err := selectLookup(c, &tokens[i], &found[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up tokens: %w", err)
	}
	return found, nil
}

func selectLookup(c *sqlink.Conn, token *storage.LookupToken, out *storage.Lookup) error {
	return c.Query("SELECT state, krid, until FROM lookup WHERE token = ?", func(r sqlink.Row) error {
		*out = storage.Lookup{Token: *token, State: storage.KeyState(r.Int64(0)), Until: r.Int64(2)}
		r.Stmt.ColumnBytes(1, out.KRID[:])
		return nil
	}, token[:])
}

// Retentions implements storage.Keys.
func (k *Keystore) Retentions(ctx context.Context, ids []storage.RetentionID) ([]storage.RetentionKey, error) {
	found := make([]storage.RetentionKey, len(ids))
	err := k.keys.read(ctx, func(c *sqlink.Conn) error {
		for i := range ids {
			if err := selectRetention(c, ids[i], &found[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read retention keys: %w", err)
	}
	return found, nil
}

func selectRetention(c *sqlink.Conn, id storage.RetentionID, out *storage.RetentionKey) error {
	return c.Query("SELECT version, epoch, state, record FROM retention WHERE class = ? AND bucket = ?",
		func(r sqlink.Row) error {
			*out = storage.RetentionKey{
				RetentionID: id, Version: uint64(r.Int64(0)), Epoch: uint32(r.Int64(1)),
				State: storage.KeyState(r.Int64(2)), Record: r.Bytes(3),
			}
			return nil
		}, id.Class, id.Bucket)
}

// scanStep is how many records one read transaction of a scan looks at.
const scanStep = 4096

// ScanKeyrings implements storage.Keys. A scan that finds few looks at many records, in short transactions.
func (k *Keystore) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	if err := limit("scan keyrings", q.Limit); err != nil {
		return nil, err
	}
	step := scanStep
	if q.Before == 0 && !q.Live {
		step = min(step, q.Limit)
	}
	var found []storage.Keyring
	for after, looked := q.After, step; looked == step && len(found) < q.Limit; {
		looked = 0
		err := k.keys.read(ctx, func(c *sqlink.Conn) error {
			return c.Query("SELECT "+keyringColumns+" FROM keyring WHERE krid > ? ORDER BY krid LIMIT ?",
				func(r sqlink.Row) error {
					looked++
					r.Stmt.ColumnBytes(0, after[:])
					epoch, state := uint32(r.Int64(2)), storage.KeyState(r.Int64(3))
					if len(found) < q.Limit && (q.Before == 0 || epoch < q.Before) && (!q.Live || state == storage.KeyLive) {
						found = append(found, readKeyring(r))
					}
					return nil
				}, bytes.Clone(after[:]), step)
		})
		if err != nil {
			return nil, fmt.Errorf("scan keyrings: %w", err)
		}
	}
	return found, nil
}
