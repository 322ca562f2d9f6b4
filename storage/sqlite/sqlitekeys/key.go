package sqlitekeys

import (
	"context"
	"fmt"
	"math"
	"strconv"

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
const scanStep = 16_384

// ScanKeyrings implements storage.Keys, in the order of rows. A scan that finds few looks at many records, in short
// transactions. No row is ever removed, so steps are counted by row ids.
func (k *Keystore) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	if err := limit("scan keyrings", q.Limit); err != nil {
		return nil, err
	}
	text := "SELECT " + keyringColumns + " FROM keyring WHERE id > ? AND id <= ? AND epoch < ?"
	if q.Live {
		text += " AND state = " + strconv.Itoa(int(storage.KeyLive))
	}
	before := int64(q.Before)
	if before == 0 {
		before = math.MaxInt64
	}
	var found []storage.Keyring
	after, last := int64(-1), int64(0) // row ids; -1: not known yet
	for after < last && len(found) < q.Limit {
		err := k.keys.read(ctx, func(c *sqlink.Conn) (err error) {
			if after < 0 {
				if after, last, err = scanned(c, q.After); err != nil {
					return err
				}
			}
			end := min(after+scanStep, last)
			err = c.Query(text+" ORDER BY id LIMIT ?", func(r sqlink.Row) error {
				found = append(found, readKeyring(r))
				return nil
			}, after, end, before, q.Limit-len(found))
			after = end
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("scan keyrings: %w", err)
		}
	}
	return found, nil
}

// scanned is the row that a walk saw last, and the last there is.
func scanned(c *sqlink.Conn, krid event.KRID) (after, last int64, err error) {
	if !krid.IsZero() {
		err = c.Query("SELECT id FROM keyring WHERE krid = ?", func(r sqlink.Row) error {
			after = r.Int64(0)
			return nil
		}, krid[:])
		if err == nil && after == 0 {
			err = event.Invalid("malformed_after", "scan keyrings: %s is not there", krid)
		}
	}
	if err == nil {
		err = c.Query("SELECT ifnull(max(id), 0) FROM keyring", func(r sqlink.Row) error {
			last = r.Int64(0)
			return nil
		})
	}
	return after, last, err
}
