package keyring_test

import (
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/storage"
)

// TestStoreFirst seals for the store before anybody was minted, by two Keepers at once.
func TestStoreFirst(t *testing.T) {
	r := newRig(t)
	k, other := r.open(), r.open()
	own := keyring.OfStore(r.store)
	if err := k.Check(t.Context(), []event.KRID{own}); err != nil {
		t.Error(err)
	}
	stranger := want(event.KRID{1}, "contact")
	wants := []keyring.Want{want(own, "contact"), stranger}
	err := k.ForSealing(t.Context(), wants, make([]keyring.Key, 2))
	wantError(t, err, event.ErrCorrupt, "key_missing")
	if n := r.keys.calls(); n != 0 {
		t.Errorf("a refused sealing changed the keystore %d times", n)
	}
	var keys [2]keyring.Key
	var group sync.WaitGroup
	for i, k := range []*keyring.Keeper{k, other} {
		group.Go(func() { keys[i] = sealKey(t, k, want(own, "contact")) })
	}
	group.Wait()
	if keys[0] != keys[1] || keys[0].Generation != 1 {
		t.Errorf("the store has two keys, or none: generations %d and %d", keys[0].Generation, keys[1].Generation)
	}
	if o := openKey(t, r.open(), want(own, "contact"), 1); o.State != keyring.Live || o.PRK != keys[0].PRK {
		t.Errorf("the store's key reads as state %d", o.State)
	}
	err = k.Check(t.Context(), []event.KRID{own, {1}})
	wantError(t, err, event.ErrNotFound, "unknown_person")
}

// TestStoreLost: a keystore that has epochs, but not the store's keyring, is not taken for a new one.
func TestStoreLost(t *testing.T) {
	r := newRig(t)
	own := keyring.OfStore(r.store)
	sealKey(t, r.open(), want(own, "contact"))
	lost := &tamperedKeys{Keys: r.keys, keyring: func(s *storage.Keyring) {
		if s.KRID == own {
			*s = storage.Keyring{}
		}
	}}
	k, err := keyring.Open(t.Context(), lost, r.service, r.options)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	wantError(t, k.Check(t.Context(), []event.KRID{own}), event.ErrNotFound, "unknown_person")
	err = k.ForSealing(t.Context(), []keyring.Want{want(own, "contact")}, make([]keyring.Key, 1))
	wantError(t, err, event.ErrCorrupt, "key_missing")
}
