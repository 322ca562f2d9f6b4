package wrapped_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// TestRecordsAreExact: what a decoder takes is written the same again, and nothing makes it panic.
func TestRecordsAreExact(t *testing.T) {
	names := &wrapped.Register{Names: []string{"lethe", "customer", "contact"}}
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 120).Draw(t, "plaintext")
		if rapid.Bool().Draw(t, "likely") { // a keyring with one byte changed
			plain = append([]byte{1, 1, 2, 4, '4', '7', '1', '1', 1, 6}, make([]byte, 33)...)
			plain[rapid.IntRange(0, len(plain)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		var r wrapped.Keyring
		own := rapid.Bool().Draw(t, "own")
		dir := wrapped.NewDirectory(1, names)
		if _, err := r.Decode(plain, dir, own); err != nil {
			return
		}
		if own {
			dir = wrapped.NewDirectory(1, r.Register)
		}
		again, err := r.Encode(dir)
		if err != nil || !bytes.Equal(plain, again) {
			t.Fatalf("%x is written as %x: %v", plain, again, err)
		}
	})
}

// TestUnknownName: a name that others just added is told from damage.
func TestUnknownName(t *testing.T) {
	plain := []byte{1, 1, 3, 1, 'x', 0, 0}
	dir := wrapped.NewDirectory(1, &wrapped.Register{Names: []string{"lethe", "customer"}})
	var r wrapped.Keyring
	if known, err := r.Decode(plain, dir, false); known || event.Code(err) != "record_unreadable" {
		t.Errorf("an unknown name: %t, %v", known, err)
	}
	if known, err := r.Decode(plain[:6], dir, false); known || err == nil {
		t.Errorf("an unknown name before the end: %t, %v", known, err)
	}
	dir = wrapped.NewDirectory(2, &wrapped.Register{Names: []string{"lethe", "customer", "employee"}})
	r = wrapped.Keyring{}
	if known, err := r.Decode(plain[:6], dir, false); !known || event.Code(err) != "record_unreadable" {
		t.Errorf("a record that ends too early: %t, %v", known, err)
	}
	r = wrapped.Keyring{}
	if known, err := r.Decode(plain, dir, false); !known || err != nil || r.References[0].Kind != "employee" {
		t.Errorf("got %t, %+v, %v", known, r, err)
	}
	if _, err := r.Encode(wrapped.NewDirectory(1, &wrapped.Register{})); err == nil {
		t.Error("a reference was written whose kind has no number")
	}
}

// TestExtract compares with the standard library.
func TestExtract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		salt := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt"))
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		want, err := hkdf.Extract(sha256.New, key[:], salt[:])
		if err != nil {
			t.Fatal(err)
		}
		g := wrapped.Generation{Key: key}
		for _, serial := range []uint64{0, 1, 1, 0} {
			if got := g.Extract(&salt, serial); !bytes.Equal(got[:], want) {
				t.Fatalf("got %x, want %x", got, want)
			}
		}
		salt[0]++
		if bytes.Equal(want, extracted(&g, &salt, 2)) {
			t.Fatal("the key of another period is the same")
		}
	})
}

func extracted(g *wrapped.Generation, salt *[32]byte, serial uint64) []byte {
	prk := g.Extract(salt, serial)
	return prk[:]
}

// TestOpen: a record opens under its own key and for its own place only.
func TestOpen(t *testing.T) {
	raw := make([]byte, wrapped.KeysSize)
	for i := range raw {
		raw[i] = byte(i % 251)
	}
	keys, err := wrapped.NewKeys(1, raw)
	if err != nil {
		t.Fatal(err)
	}
	store, krid := event.StoreID{1}, event.KRID{15: 7}
	s := storage.Keyring{KRID: krid, Version: 3, Epoch: 1, State: storage.KeyLive}
	record := wrapped.Seal(keys.Ring(krid), [wrapped.NonceSize]byte{9}, wrapped.KeyringAAD(store, &s), []byte("plain"))
	open := func(s storage.Keyring, store event.StoreID, record []byte) error {
		plain, err := wrapped.Open(keys.Ring(s.KRID), wrapped.KeyringAAD(store, &s), record, "keyring")
		if err == nil && string(plain) != "plain" {
			t.Errorf("opened as %q", plain)
		}
		return err
	}
	if err := open(s, store, record); err != nil {
		t.Fatal(err)
	}
	for i := range record {
		b := bytes.Clone(record)
		b[i] ^= 1
		if err := open(s, store, b); !errors.Is(err, event.ErrCorrupt) && (i > 1 || !errors.Is(err, event.ErrFormat)) {
			t.Errorf("with byte %d changed: %v", i, err)
		}
		if err := open(s, store, record[:i]); event.Code(err) != "record_unreadable" {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	for what, change := range map[string]func(*storage.Keyring, *event.StoreID){
		"KRID":       func(s *storage.Keyring, _ *event.StoreID) { s.KRID[0]++ },
		"key":        func(s *storage.Keyring, _ *event.StoreID) { s.KRID[15]++ },
		"version":    func(s *storage.Keyring, _ *event.StoreID) { s.Version++ },
		"epoch":      func(s *storage.Keyring, _ *event.StoreID) { s.Epoch++ },
		"state":      func(s *storage.Keyring, _ *event.StoreID) { s.State = storage.KeyDestroyed },
		"store's id": func(_ *storage.Keyring, id *event.StoreID) { id[0]++ },
	} {
		other, id := s, store
		change(&other, &id)
		if err := open(other, id, record); event.Code(err) != "record_unreadable" {
			t.Errorf("with another %s: %v", what, err)
		}
	}
	keys.Wipe()
	if !bytes.Equal(raw, make([]byte, len(raw))) {
		t.Error("keys are left in memory")
	}
}

// TestRequest compares the digest of requests of any length with the standard library's.
func TestRequest(t *testing.T) {
	raw := make([]byte, wrapped.KeysSize)
	for i := range raw {
		raw[i] = byte(i % 251)
	}
	keys, err := wrapped.NewKeys(1, raw)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte{1, 2, 3, 0xff, 0}, 500)
	for n := range data {
		mac := hmac.New(sha256.New, raw[259*32:])
		mac.Write(data[:n])
		if got := keys.Request(data[:n]); !bytes.Equal(got[:], mac.Sum(nil)) {
			t.Fatalf("of %d bytes it is %x", n, got)
		}
	}
}
