package privacy_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	aead "github.com/tink-crypto/tink-go/v2/aead/subtle"
	mac "github.com/tink-crypto/tink-go/v2/mac/subtle"
	tink "github.com/tink-crypto/tink-go/v2/subtle"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/sealed"
)

// counting is randomness that counts up: 00 01 02 …
type counting struct{ next byte }

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.next
		c.next++
	}
	return len(b), nil
}

// sequence is n bytes that count up from first.
func sequence(first byte, n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(&counting{first}, b)
	return b
}

// fixture is what the example seals: the retention key and group keys of two persons, and two boxes of one event.
type fixture struct {
	retention     [32]byte
	groups        [2][32]byte // of the group "contact" of each person
	place         sealed.Place
	single, joint sealed.Box
	content       [2]sealed.Content
}

func newFixture() *fixture {
	f := &fixture{retention: [32]byte(sequence(0x20, 32)),
		groups: [2][32]byte{[32]byte(sequence(0x40, 32)), [32]byte(sequence(0x60, 32))},
		place: sealed.Place{Context: sealed.InEvent, Store: event.StoreID(sequence(0x01, 16)),
			ID: event.ID(sequence(0x11, 16)), Type: "AddressGiven", Schema: event.SchemaID(sequence(0x80, 32))},
	}
	first, second := event.KRID(sequence(0xa0, 16)), event.KRID(sequence(0xb0, 16))
	f.single = sealed.Box{Group: "contact", Class: "contract-3y", Bucket: 20290331, Collection: "web-form",
		Owners: []sealed.Owner{{KRID: first, Generation: 1}}}
	f.content[0] = sealed.Content{Seed: [32]byte(sequence(0xc0, 32)), Slots: []sealed.Slot{
		{Kind: uint8(ledger.KindMetadata), State: uint8(ledger.Value), Path: "x-auth-email", Hole: ^uint32(0),
			Value: []byte("ada@example.org")},
		{Kind: uint8(ledger.KindProperty), State: uint8(ledger.Value), Path: "/email", Hole: 9,
			Value: []byte(`"ada@example.org"`)},
		{Kind: uint8(ledger.KindProperty), State: uint8(ledger.Absent), Path: "/phone", Hole: ^uint32(0)},
	}}
	f.joint = sealed.Box{Group: "contact", Joint: true,
		Owners: []sealed.Owner{{KRID: first, Generation: 1}, {KRID: second, Generation: 7}}}
	f.content[1] = sealed.Content{Seed: [32]byte(sequence(0xe0, 32)), Slots: []sealed.Slot{
		{Kind: uint8(ledger.KindProperty), State: uint8(ledger.Null), Path: "/home", Hole: 33},
	}}
	return f
}

// oracle is HKDF and AES-GCM of another hand: Tink.
func oracle(t testing.TB, retention, group [32]byte, info []byte) *aead.AESGCM {
	t.Helper()
	key, err := tink.ComputeHKDF("SHA256", group[:], retention[:], info, 32)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := aead.NewAESGCM(key)
	if err != nil {
		t.Fatal(err)
	}
	return gcm
}

// prk is HKDF-Extract of the retention key and a group key, by the definition of RFC 5869: HMAC.
func prk(t testing.TB, retention, group [32]byte) [32]byte {
	t.Helper()
	h, err := mac.NewHMAC("SHA256", retention[:], 32)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := h.ComputeMAC(group[:])
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(sum)
}

func (f *fixture) seal(t testing.TB) {
	t.Helper()
	keys := [][32]byte{prk(t, f.retention, f.groups[0]), prk(t, f.retention, f.groups[1])}
	rand := new(counting)
	if err := privacy.SealBox(&f.single, &f.place, &f.content[0], keys[:1], rand); err != nil {
		t.Fatal(err)
	}
	if err := privacy.SealBox(&f.joint, &f.place, &f.content[1], keys, rand); err != nil {
		t.Fatal(err)
	}
}

// TestBoxAgainstTink opens our boxes with Tink, and Tink's with ours.
func TestBoxAgainstTink(t *testing.T) {
	f := newFixture()
	f.seal(t)
	for i, box := range []*sealed.Box{&f.single, &f.joint} {
		plain := sealed.AppendContent(nil, &f.content[i])
		aad := box.AppendAAD(nil, &f.place)
		for owner := range box.Owners {
			gcm := oracle(t, f.retention, f.groups[owner], box.AppendInfo(nil, &f.place, owner))
			if box.Joint {
				wrapped := box.Owners[owner].Wrapped
				key, err := gcm.Decrypt(wrapped[:], aad)
				if err != nil {
					t.Fatalf("Tink opens the wrapped key of owner %d: %v", owner, err)
				}
				if gcm, err = aead.NewAESGCM(key); err != nil {
					t.Fatal(err)
				}
			}
			got, err := gcm.Decrypt(append(box.Nonce[:], box.Cipher...), aad)
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("box %d, owner %d: Tink opened %x, %v", i, owner, got, err)
			}
			if box.Joint {
				continue
			}
			theirs, err := gcm.Encrypt(plain, aad)
			if err != nil {
				t.Fatal(err)
			}
			other := *box
			copy(other.Nonce[:], theirs)
			other.Cipher = theirs[sealed.NonceBytes:]
			c, err := privacy.OpenBox(&other, &f.place, owner, prk(t, f.retention, f.groups[owner]))
			if err != nil {
				t.Fatalf("open what Tink sealed: %v", err)
			}
			if diff := cmp.Diff(f.content[i], *c); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// page writes the example.
func (f *fixture) page(t testing.TB) string {
	var b pagetest.Layout
	b.Part("retention key of class contract-3y, bucket 20290331 (and here of no class, bucket 0)", f.retention[:])
	b.Part("group key: first person, group contact, generation 1", f.groups[0][:])
	b.Part("group key: second person, group contact, generation 7", f.groups[1][:])
	key := prk(t, f.retention, f.groups[0])
	b.Part("prk of the first = HMAC-SHA256(retention key, group key)", key[:])
	for i, box := range []*sealed.Box{&f.single, &f.joint} {
		fmt.Fprintf(&b, "\nbox %d\n", i+1)
		b.Part("info of the first person's key", box.AppendInfo(nil, &f.place, 0))
		b.Part("additional authenticated data", box.AppendAAD(nil, &f.place))
		b.Part("content", sealed.AppendContent(nil, &f.content[i]))
		b.Part("commitment over the slots of the content", box.Commitment[:])
		for o := range box.Owners {
			if box.Joint {
				b.Part(fmt.Sprintf("key of the box, sealed for person %d: nonce, key, tag", o+1), box.Owners[o].Wrapped[:])
			}
		}
		b.Part("nonce", box.Nonce[:])
		b.Part("ciphertext and tag", box.Cipher)
	}
	b.WriteString("\nthe boxes of the event\n")
	boxes := []sealed.Box{f.joint, f.single}
	b.Part("format 1, suite 1, 2 boxes: by group, bucket, commitment", sealed.Append(nil, boxes))
	return b.String()
}

func TestExampleOfBox(t *testing.T) {
	f := newFixture()
	f.seal(t)
	pagetest.Compare(t, "../docs/format/box.md", "", f.page(t))
}

// TestBoxIsBound changes everything a box is bound to, one thing at a time: nothing may open it then.
func TestBoxIsBound(t *testing.T) {
	f := newFixture()
	f.seal(t)
	keys := [][32]byte{prk(t, f.retention, f.groups[0]), prk(t, f.retention, f.groups[1])}
	changes := map[string]func(b *sealed.Box, p *sealed.Place, key *[32]byte){
		"event":      func(_ *sealed.Box, p *sealed.Place, _ *[32]byte) { p.ID[3]++ },
		"store":      func(_ *sealed.Box, p *sealed.Place, _ *[32]byte) { p.Store[0]++ },
		"context":    func(_ *sealed.Box, p *sealed.Place, _ *[32]byte) { p.Context = sealed.InUse },
		"type":       func(_ *sealed.Box, p *sealed.Place, _ *[32]byte) { p.Type = "AddressTaken" },
		"schema":     func(_ *sealed.Box, p *sealed.Place, _ *[32]byte) { p.Schema[31]++ },
		"person":     func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Owners[0].KRID[15]++ },
		"group":      func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Group = "contacts" },
		"class":      func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Class += "x" },
		"bucket":     func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Bucket++ },
		"generation": func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Owners[0].Generation++ },
		"collection": func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Collection = "letter" },
		"commitment": func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Commitment[0]++ },
		"nonce":      func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Nonce[0]++ },
		"ciphertext": func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Cipher = bytes.Clone(b.Cipher); b.Cipher[7]++ },
		"cut off":    func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Cipher = b.Cipher[:len(b.Cipher)-1] },
		"no bytes":   func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Cipher = nil },
		"key":        func(_ *sealed.Box, _ *sealed.Place, k *[32]byte) { k[0]++ },
		"shape":      func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) { b.Joint = !b.Joint },
		"owners": func(b *sealed.Box, _ *sealed.Place, _ *[32]byte) {
			b.Owners = append(b.Owners, sealed.Owner{KRID: event.KRID{0xff}, Generation: 1})
		},
	}
	for name, change := range changes {
		for i, original := range []sealed.Box{f.single, f.joint} {
			if name == "owners" && i == 0 {
				continue // a single box has one
			}
			box, place, key := original, f.place, keys[0]
			box.Owners = append([]sealed.Owner(nil), original.Owners...)
			change(&box, &place, &key)
			c, err := privacy.OpenBox(&box, &place, 0, key)
			if err == nil || c != nil {
				t.Errorf("box %d with another %s opened", i+1, name)
			}
			if err != nil && (event.Code(err) != "box_damaged" || strings.Contains(err.Error(), "ada@")) {
				t.Errorf("box %d with another %s: %v", i+1, name, err)
			}
		}
	}
	joint := f.joint // each owner opens with his own key, and not with the other's
	if _, err := privacy.OpenBox(&joint, &f.place, 1, keys[1]); err != nil {
		t.Errorf("the second owner cannot open: %v", err)
	}
	if _, err := privacy.OpenBox(&joint, &f.place, 1, keys[0]); err == nil {
		t.Error("the first owner's key opened the second's share")
	}
}

// TestNoncesDiffer seals the same content often: nothing repeats.
func TestNoncesDiffer(t *testing.T) {
	f := newFixture()
	seen := map[string]bool{}
	keys := [][32]byte{prk(t, f.retention, f.groups[0])}
	rand := &lcg{}
	for range 10_000 {
		if err := privacy.SealBox(&f.single, &f.place, &f.content[0], keys, rand); err != nil {
			t.Fatal(err)
		}
		n := hex.EncodeToString(f.single.Nonce[:])
		if seen[n] {
			t.Fatal("a nonce came twice")
		}
		seen[n] = true
	}
}

// TestMemoryLeftBehind seals more and more on one bench: what it grows out of holds nothing any more.
func TestMemoryLeftBehind(t *testing.T) {
	f := newFixture()
	var contents []sealed.Content
	for n := range 20 {
		contents = append(contents, sealed.Content{Seed: f.content[0].Seed, Slots: []sealed.Slot{
			{Kind: uint8(ledger.KindProperty), State: uint8(ledger.Value), Path: "/email", Hole: 9,
				Value: bytes.Repeat([]byte("ada@example.org"), n*n)}}})
	}
	n, err := privacy.LeftBehind(f.single, &f.place, contents, new(lcg))
	if err != nil || n != 0 {
		t.Errorf("%d bytes of values or keys are left behind, %v", n, err)
	}
}

// lcg is a source that does not repeat for long (Knuth's constants for 64 bits).
type lcg struct{ state uint64 }

func (l *lcg) Read(b []byte) (int, error) {
	for i := range b {
		l.state = l.state*6364136223846793005 + 1442695040888963407
		b[i] = byte(l.state >> 56)
	}
	return len(b), nil
}
