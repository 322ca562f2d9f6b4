package keyring

import (
	"context"
	"crypto/cipher"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// epochFormat begins an epoch's record; what follows is the key service's.
const epochFormat = 1

// epoch is the keys of one epoch, in clear.
type epoch struct {
	*wrapped.Keys
	users   int  // who may not be surprised by a wipe; guarded by Keeper.mu
	retired bool // wiped as soon as nobody uses it; likewise
}

// newEpoch makes an epoch of its keys, which it takes over.
func newEpoch(number uint32, raw []byte) (*epoch, error) {
	keys, err := wrapped.NewKeys(number, raw)
	return &epoch{Keys: keys}, err
}

// wrap makes a record of its plaintext, which it overwrites.
func (k *Keeper) wrap(aead cipher.AEAD, aad, plain []byte) ([]byte, error) {
	defer clear(plain)
	var nonce [wrapped.NonceSize]byte
	if err := k.random(nonce[:]); err != nil {
		return nil, err
	}
	return wrapped.Seal(aead, nonce, aad, plain), nil
}

// rootName is what the key service calls the root key of an epoch.
func rootName(store event.StoreID, number uint32) string {
	return fmt.Sprintf("lethe-%s-%d", store, number)
}

// unwrapEpoch asks the key service for the keys of an epoch.
func (k *Keeper) unwrapEpoch(ctx context.Context, e storage.Epoch) ([]byte, error) {
	if len(e.Record) < 2 {
		return nil, wrapped.Unreadable(fmt.Sprintf("epoch %d", e.Number))
	}
	if e.Record[0] != epochFormat {
		return nil, event.Errorf(event.ErrFormat, "open epoch %d: its record has version %d", e.Number, e.Record[0]).
			Hint("use a newer version of Lethe")
	}
	item := kms.Item{Bytes: e.Record[1:], AAD: wrapped.EpochAAD(k.o.Store, e.Number)}
	opened, err := k.service.Unwrap(ctx, e.Name, []kms.Item{item})
	if err != nil {
		return nil, kmsFault(err, "open", e.Number)
	}
	if len(opened) != 1 || len(opened[0]) != wrapped.KeysSize {
		return nil, wrapped.Unreadable(fmt.Sprintf("epoch %d", e.Number))
	}
	return opened[0], nil
}

// makeEpoch creates the epoch with a number, of new keys but for the one that every epoch shares, which comes from the
// epoch before; nil: there is none. Nobody uses it yet: who does unwraps what was stored, and so proves it.
func (k *Keeper) makeEpoch(ctx context.Context, number uint32, before *epoch) (storage.Epoch, *epoch, error) {
	fail := func(err error) (storage.Epoch, *epoch, error) { return storage.Epoch{}, nil, err }
	stored := storage.Epoch{
		Number: number, Version: 1, State: storage.KeyLive, Created: event.Micros(k.o.Clock.Now()),
		Name: rootName(k.o.Store, number),
	}
	if err := k.service.Create(ctx, stored.Name); err != nil {
		return fail(kmsFault(err, "create", number))
	}
	raw := make([]byte, wrapped.KeysSize)
	if err := k.random(raw); err != nil {
		return fail(err)
	}
	if before != nil {
		before.Share(raw)
	}
	e, err := newEpoch(number, raw)
	if err != nil {
		return fail(err)
	}
	item := kms.Item{Bytes: raw, AAD: wrapped.EpochAAD(k.o.Store, number)}
	wrapped, err := k.service.Wrap(ctx, stored.Name, []kms.Item{item})
	if err == nil && len(wrapped) != 1 {
		err = event.Errorf(event.ErrCorrupt, "%d items for one", len(wrapped))
	}
	if err != nil {
		e.Wipe()
		return fail(kmsFault(err, "wrap", number))
	}
	stored.Record = append([]byte{epochFormat}, wrapped[0]...)
	return stored, e, nil
}
