package keyring_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// rig is a keystore, a key service and a clock, which Keepers share.
type rig struct {
	t       testing.TB
	keys    *faultyKeys
	service *kmstest.Faulty
	clock   *kmstest.Clock
	store   event.StoreID
	options keyring.Options
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{
		t: t, keys: &faultyKeys{Keys: memory.NewKeys()}, service: kmstest.NewFaulty(kmstest.New(t)),
		clock: kmstest.NewClock(time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)), store: event.StoreID{0x5f, 0x0c},
	}
	r.options = keyring.Options{Store: r.store, Clock: r.clock, Rand: rand.Reader}
	return r
}

func (r *rig) open() *keyring.Keeper {
	r.t.Helper()
	k, err := keyring.Open(r.t.Context(), r.keys, r.service, r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(k.Close)
	keyring.CalmForTest(k)
	return k
}

// faultyKeys fails calls that a test asks to fail.
type faultyKeys struct {
	storage.Keys
	mu       sync.Mutex
	changes  int // calls of ChangeKeys so far
	fail     func(call int) keyFault
	headless bool // the head cannot be read
}

type keyFault uint8

const (
	keysWell    keyFault = iota
	keysRefuse           // nothing is done
	keysUnknown          // it is done, but the answer does not arrive
)

var errKeys = event.Errorf(event.ErrUnknown, "change keys: the connection was lost")

func (f *faultyKeys) ChangeKeys(ctx context.Context, c []storage.KeyChange) ([]storage.KeyOutcome, error) {
	f.mu.Lock()
	f.changes++
	fault := keysWell
	if f.fail != nil {
		fault = f.fail(f.changes)
	}
	f.mu.Unlock()
	if fault == keysRefuse {
		return nil, errKeys
	}
	outcomes, err := f.Keys.ChangeKeys(ctx, c)
	if fault == keysUnknown {
		return nil, errKeys
	}
	return outcomes, err
}

func (f *faultyKeys) KeyHead(ctx context.Context) (storage.KeyHead, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.headless {
		return storage.KeyHead{}, errKeys
	}
	return f.Keys.KeyHead(ctx)
}

// behead has the head be unreadable, or readable again.
func (f *faultyKeys) behead(headless bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.headless = headless
}

func (f *faultyKeys) set(fail func(call int) keyFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes, f.fail = 0, fail
}

func (f *faultyKeys) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

func customer(i int) keyring.Reference {
	return keyring.Reference{Kind: "customer", Ref: fmt.Sprintf("c-%06d", i)}
}

func mint(t testing.TB, k *keyring.Keeper, refs ...keyring.Reference) []event.KRID {
	t.Helper()
	krids, err := k.Resolve(t.Context(), refs, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, krid := range krids {
		if krid.IsZero() {
			t.Fatalf("reference %d got nobody", i)
		}
	}
	return krids
}

func sealKey(t testing.TB, k *keyring.Keeper, w keyring.Want) keyring.Key {
	t.Helper()
	var dst [1]keyring.Key
	if err := k.ForSealing(t.Context(), []keyring.Want{w}, dst[:]); err != nil {
		t.Fatal(err)
	}
	return dst[0]
}

func openKey(t testing.TB, k *keyring.Keeper, w keyring.Want, generation uint32) keyring.Opened {
	t.Helper()
	var dst [1]keyring.Opened
	if err := k.ForOpening(t.Context(), []keyring.OpenWant{{Want: w, Generation: generation}}, dst[:]); err != nil {
		t.Fatal(err)
	}
	return dst[0]
}

func want(krid event.KRID, group string) keyring.Want {
	return keyring.Want{KRID: krid, Group: group, Class: "contract", Bucket: 20290331}
}

// wantError checks class and code.
func wantError(t testing.TB, err, class error, code string) {
	t.Helper()
	if !errors.Is(err, class) || event.Code(err) != code {
		t.Fatalf("got %v (%s), want %v with code %s", err, event.Code(err), class, code)
	}
}

// counting is randomness that a test can tell in advance.
type counting struct {
	mu   sync.Mutex
	next byte
}

func (c *counting) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range b {
		b[i] = c.next
		c.next++
	}
	return len(b), nil
}

var (
	_ io.Reader = (*counting)(nil)
	_ kms.KMS   = (*kmstest.Faulty)(nil)
)
