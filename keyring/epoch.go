package keyring

import (
	"context"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
)

// An epoch has 260 keys of 32 bytes: 256 that wrap keyrings, by the last byte of the KRID, and these.
const (
	keyRetention   = 256 // wraps retention keys
	keyIndex       = 257 // makes lookup tokens
	keySuppression = 258 // makes suppression tokens and, derived, wraps tombstones; the same in every epoch
	keyRequest     = 259 // makes request digests
	epochKeys      = 260
	epochSize      = epochKeys * 32
)

// epochFormat begins an epoch's record; what follows is the key service's.
const epochFormat = 1

// epoch is the keys of one epoch, in clear.
type epoch struct {
	number    uint32
	raw       []byte
	rings     [256]cipher.AEAD
	retention cipher.AEAD
	tombstone cipher.AEAD
	users     int  // who may not be surprised by a wipe; guarded by Keeper.mu
	retired   bool // wiped as soon as nobody uses it; likewise
}

// newEpoch makes an epoch of its keys, which it takes over.
func newEpoch(number uint32, raw []byte) (*epoch, error) {
	e := &epoch{number: number, raw: raw}
	var err error
	for i := range e.rings {
		if e.rings[i], err = newAEAD(e.key(i)); err != nil {
			return nil, err
		}
	}
	if e.retention, err = newAEAD(e.key(keyRetention)); err != nil {
		return nil, err
	}
	derived, err := expand(e.key(keySuppression), labelTombstone)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	e.tombstone, err = newAEAD(derived)
	return e, err
}

func (e *epoch) key(i int) []byte { return e.raw[32*i:][:32] }

// ring wraps the keyring of a person.
func (e *epoch) ring(krid event.KRID) cipher.AEAD { return e.rings[krid[len(krid)-1]] }

func (e *epoch) lookup(r Reference) storage.LookupToken {
	return token(e.key(keyIndex), labelLookup, r)
}

func (e *epoch) suppression(r Reference) storage.LookupToken {
	return token(e.key(keySuppression), labelSuppression, r)
}

func (e *epoch) wipe() {
	clear(e.raw)
	clear(e.rings[:])
	e.retention, e.tombstone = nil, nil
}

// rootName is what the key service calls the root key of an epoch.
func rootName(store event.StoreID, number uint32) string {
	return fmt.Sprintf("lethe-%s-%d", store, number)
}

// unwrapEpoch asks the key service for the keys of an epoch.
func (k *Keeper) unwrapEpoch(ctx context.Context, e storage.Epoch) ([]byte, error) {
	if len(e.Record) < 2 {
		return nil, unreadable(fmt.Sprintf("epoch %d", e.Number))
	}
	if e.Record[0] != epochFormat {
		return nil, event.Errorf(event.ErrFormat, "open epoch %d: its record has version %d", e.Number, e.Record[0]).
			Hint("use a newer version of Lethe")
	}
	item := kms.Item{Bytes: e.Record[1:], AAD: epochAAD(k.o.Store, e.Number)}
	opened, err := k.service.Unwrap(ctx, e.Name, []kms.Item{item})
	if err != nil {
		return nil, kmsFault(err, "open", e.Number)
	}
	if len(opened) != 1 || len(opened[0]) != epochSize {
		return nil, unreadable(fmt.Sprintf("epoch %d", e.Number))
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
	raw := make([]byte, epochSize)
	if err := k.random(raw); err != nil {
		return fail(err)
	}
	if before != nil {
		copy(raw[32*keySuppression:][:32], before.key(keySuppression))
	}
	e, err := newEpoch(number, raw)
	if err != nil {
		return fail(err)
	}
	item := kms.Item{Bytes: raw, AAD: epochAAD(k.o.Store, number)}
	wrapped, err := k.service.Wrap(ctx, stored.Name, []kms.Item{item})
	if err == nil && len(wrapped) != 1 {
		err = event.Errorf(event.ErrCorrupt, "%d items for one", len(wrapped))
	}
	if err != nil {
		e.wipe()
		return fail(kmsFault(err, "wrap", number))
	}
	stored.Record = append([]byte{epochFormat}, wrapped[0]...)
	return stored, e, nil
}

// same reports whether an epoch has these keys.
func (e *epoch) same(raw []byte) bool { return subtle.ConstantTimeCompare(e.raw, raw) == 1 }
