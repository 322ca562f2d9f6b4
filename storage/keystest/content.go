package keystest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// person is a new KRID.
func person() (k event.KRID) {
	rand.Read(k[:]) // never fails
	return k
}

func token() (k storage.LookupToken) {
	rand.Read(k[:]) // never fails
	return k
}

// ring is the first keyring of a person.
func ring(k event.KRID) storage.Keyring {
	return storage.Keyring{
		KRID: k, Version: 1, Epoch: 1, State: storage.KeyLive, Record: fmt.Appendf(nil, "keyring of %s", k),
	}
}

// next is the version of a keyring after k.
func next(k storage.Keyring, record string) storage.Keyring {
	k.Version++
	k.Record = []byte(record)
	return k
}

// destroyed is the tombstone of a keyring.
func destroyed(k storage.Keyring) storage.Keyring {
	k = next(k, "receipt 7")
	k.State, k.Epoch = storage.KeyDestroyed, 0
	return k
}

func live(k event.KRID) storage.Lookup {
	return storage.Lookup{Token: token(), State: storage.KeyLive, KRID: k}
}

func retention(class string, bucket int64) storage.RetentionKey {
	return storage.RetentionKey{
		RetentionID: storage.RetentionID{Class: class, Bucket: bucket}, Version: 1, Epoch: 1, State: storage.KeyLive,
		Record: fmt.Appendf(nil, "key of %s/%d", class, bucket),
	}
}

func epoch(n uint32) storage.Epoch {
	return storage.Epoch{
		Number: n, Version: 1, State: storage.KeyLive, Created: 1_700_000_000_000_000 + int64(n),
		Name: fmt.Sprintf("lethe-aa-%d", n), Record: fmt.Appendf(nil, "keys of epoch %d", n),
	}
}

// minting is the change by which a person comes to be.
func minting(k event.KRID) (storage.KeyChange, storage.Keyring, storage.Lookup) {
	r, l := ring(k), live(k)
	return storage.KeyChange{Keyring: &r, Add: []storage.Lookup{l}}, r, l
}

// change applies changes and returns what became of them.
func change(t testing.TB, s storage.Keystore, changes ...storage.KeyChange) []storage.KeyOutcome {
	t.Helper()
	outcomes, err := s.ChangeKeys(t.Context(), changes)
	if err != nil {
		t.Fatalf("change keys: %v", err)
	}
	if len(outcomes) != len(changes) {
		t.Fatalf("%d changes have %d outcomes", len(changes), len(outcomes))
	}
	return outcomes
}

// store applies changes that nothing is in the way of.
func store(t testing.TB, s storage.Keystore, changes ...storage.KeyChange) {
	t.Helper()
	for i, o := range change(t, s, changes...) {
		same(t, fmt.Sprintf("outcome of change %d", i), storage.KeyOutcome{Stored: true}, o)
	}
}

// refuse applies a change that something is in the way of, by itself, and holds that nothing changed.
func refuse(t testing.TB, s storage.Keystore, c storage.KeyChange, want storage.KeyOutcome) {
	t.Helper()
	before := read(t, s, c)
	same(t, "outcome of a change that is refused", want, change(t, s, c)[0])
	same(t, "keystore after a change that was refused", before, read(t, s, c))
}

// content is what a keystore tells of itself, of all keyrings and of whatever changes name.
type content struct {
	Head       storage.KeyHead
	Keyrings   []storage.Keyring
	Retentions []storage.RetentionKey
	Lookups    []storage.Lookup
	Uses       []storage.Use
}

func read(t testing.TB, s storage.Keystore, changes ...storage.KeyChange) (c content) {
	t.Helper()
	var err error
	if c.Head, err = s.KeyHead(t.Context()); err != nil {
		t.Fatalf("key head: %v", err)
	}
	if c.Keyrings, err = s.ScanKeyrings(t.Context(), storage.KeyringQuery{Limit: 1 << 20}); err != nil {
		t.Fatalf("scan keyrings: %v", err)
	}
	for _, x := range changes {
		if x.Retention != nil {
			c.Retentions = append(c.Retentions, retentions(t, s, x.Retention.RetentionID)...)
		}
		var tokens []storage.LookupToken
		for _, l := range append(x.Add, x.Replace...) {
			tokens = append(tokens, l.Token)
		}
		c.Lookups = append(c.Lookups, lookups(t, s, append(tokens, x.Remove...)...)...)
	}
	c.Uses = allUses(t, s, storage.UseQuery{Limit: 100})
	return c
}

func keyrings(t testing.TB, s storage.Keystore, krids ...event.KRID) []storage.Keyring {
	t.Helper()
	found, err := s.Keyrings(t.Context(), krids)
	if err != nil {
		t.Fatalf("keyrings: %v", err)
	}
	return found
}

func lookups(t testing.TB, s storage.Keystore, tokens ...storage.LookupToken) []storage.Lookup {
	t.Helper()
	found, err := s.Lookups(t.Context(), tokens)
	if err != nil {
		t.Fatalf("lookups: %v", err)
	}
	return found
}

func retentions(t testing.TB, s storage.Keystore, ids ...storage.RetentionID) []storage.RetentionKey {
	t.Helper()
	found, err := s.Retentions(t.Context(), ids)
	if err != nil {
		t.Fatalf("retentions: %v", err)
	}
	return found
}

func head(t testing.TB, s storage.Keystore) storage.KeyHead {
	t.Helper()
	h, err := s.KeyHead(t.Context())
	if err != nil {
		t.Fatalf("key head: %v", err)
	}
	return h
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	// Whole slices of bytes are compared at once: cmp goes through them one by one, which takes seconds.
	if diff := cmp.Diff(want, got, cmp.Comparer(sameBytes)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sameBytes tells nil from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
