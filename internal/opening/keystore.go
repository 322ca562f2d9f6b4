package opening

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// Keystore opens the keystore of a store as it is; nil: there is none, and none is made.
func (o *Opener) Keystore(ctx context.Context, p Place) (storage.Keystore, error) {
	place := cmp.Or(p.Keys, o.Settings.Keys, p.Name)
	var keys storage.Keystore
	var err error
	if Database(place) {
		keys, err = pgkeys.Open(ctx, place, &pgkeys.Options{Clock: o.Clock})
	} else if _, err = os.Stat(filepath.Join(place, "keys.db")); err == nil {
		keys, err = sqlitekeys.Open(ctx, place, nil)
	}
	switch {
	case errors.Is(err, event.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return keys, nil
}

// Keyed tells whether the keystore of a store holds keys. One that is not there holds none, and is not made.
func (o *Opener) Keyed(ctx context.Context, p Place) (bool, error) {
	keys, err := o.Keystore(ctx, p)
	if keys == nil || err != nil {
		return false, err
	}
	head, err := keys.KeyHead(ctx)
	return head.Store != (event.StoreID{}), errors.Join(err, keys.Close())
}

// keystore opens the keystore of a store, and makes the one that is not there yet.
func (o *Opener) keystore(ctx context.Context, p Place) (storage.Keystore, error) {
	place := cmp.Or(p.Keys, o.Settings.Keys, p.Name)
	if Database(place) {
		return o.pgkeys(ctx, place)
	}
	if scheme, _, named := strings.Cut(place, "://"); named {
		return nil, event.Errorf(event.ErrUnsupported, "open keystore: %s:// is not a keystore's address", scheme).
			Hint("name a folder, such as --keys ./keys, or a database, such as --keys postgres://lethe@localhost/keys")
	}
	keys, err := sqlitekeys.Open(ctx, place, &sqlitekeys.Options{Address: p.Address})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func (o *Opener) pgkeys(ctx context.Context, address string) (storage.Keystore, error) {
	opts := pgkeys.Options{Clock: o.Clock}
	keys, err := pgkeys.Open(ctx, address, &opts)
	if errors.Is(err, event.ErrNotFound) {
		opts.Create = true
		keys, err = pgkeys.Open(ctx, address, &opts)
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}
