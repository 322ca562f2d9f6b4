package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	aeadsubtle "github.com/tink-crypto/tink-go/v2/aead/subtle"
	macsubtle "github.com/tink-crypto/tink-go/v2/mac/subtle"
	"github.com/tink-crypto/tink-go/v2/subtle"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// stream is the randomness of the example: AES-256-CTR of zeros, under a key of zeros and from a counter of zero.
type stream struct{ cipher.Stream }

func newStream(t *testing.T) stream {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return stream{cipher.NewCTR(block, make([]byte, 16))}
}

func (s stream) Read(b []byte) (int, error) {
	clear(b)
	s.XORKeyStream(b, b)
	return len(b), nil
}

// bare is a key service that hides nothing: it puts the AAD in front. Nothing else can be the same each time.
type bare struct{ kms.KMS }

func (bare) Create(context.Context, string) error { return nil }

func (bare) Wrap(_ context.Context, _ string, items []kms.Item) ([][]byte, error) {
	return [][]byte{append(bytes.Clone(items[0].AAD), items[0].Bytes...)}, nil
}

func (bare) Unwrap(_ context.Context, _ string, items []kms.Item) ([][]byte, error) {
	raw, ok := bytes.CutPrefix(items[0].Bytes, items[0].AAD)
	if !ok {
		return nil, kms.NotOpened("lethe", 0)
	}
	return [][]byte{bytes.Clone(raw)}, nil
}

// page shows bytes with their labels, and takes them off what is laid out.
type page struct {
	pagetest.Layout
	t    *testing.T
	rest []byte
}

// cut shows the next n bytes.
func (p *page) cut(n int, label string) []byte {
	p.t.Helper()
	if n > len(p.rest) {
		p.t.Fatalf("%s: %d bytes are wanted, %d are left", label, n, len(p.rest))
	}
	b := p.rest[:n]
	p.Part(label, b)
	p.rest = p.rest[n:]
	return b
}

// text shows a length of one byte and a text.
func (p *page) text(what string) {
	n := int(p.rest[0])
	p.cut(1, "length of "+what)
	p.cut(n, fmt.Sprintf("%s %q", what, p.rest[:n]))
}

func (p *page) end() {
	p.t.Helper()
	if len(p.rest) > 0 {
		p.t.Fatalf("%x is left", p.rest)
	}
	p.WriteString("\n")
}

// example is a keystore whose bytes are known in advance, and what another implementation makes of it.
type example struct {
	*page
	rig  *rig
	k    *keyring.Keeper
	keys []byte // the epoch's
}

func (x *example) key(i int) []byte { return x.keys[32*i:][:32] }

// tinkMAC is HMAC-SHA256 by the other implementation.
func (x *example) tinkMAC(key, data []byte) []byte {
	mac, err := macsubtle.NewHMAC("SHA256", key, 32)
	if err != nil {
		x.t.Fatal(err)
	}
	sum, err := mac.ComputeMAC(data)
	if err != nil {
		x.t.Fatal(err)
	}
	return sum
}

// record shows a record, opens it with the other implementation, and lays its plaintext out.
func (x *example) record(title string, key, aad, record []byte) {
	x.t.Helper()
	fmt.Fprintf(x, "%s\n", title)
	x.Part("key", key)
	x.Part("AAD", aad)
	x.rest = record
	x.cut(1, "format version 1")
	x.cut(1, "suite 1: AES-256-GCM")
	x.cut(12, "nonce")
	x.cut(len(x.rest), "ciphertext and tag")
	x.end()
	gcm, err := aeadsubtle.NewAESGCM(key)
	if err != nil {
		x.t.Fatal(err)
	}
	plain, err := gcm.Decrypt(record[2:], aad)
	if err != nil {
		x.t.Fatalf("%s: the other implementation does not open it: %v", title, err)
	}
	x.rest = plain
	x.WriteString("plaintext\n")
}

// again has the other implementation make the record of a keyring or period anew, puts it in the place of ours, and
// sees what a Keeper reads in it.
func (x *example) again(key, aad []byte, c storage.KeyChange) *keyring.Keeper {
	x.t.Helper()
	record := func(b []byte) []byte {
		gcm, err := aeadsubtle.NewAESGCM(key)
		if err != nil {
			x.t.Fatal(err)
		}
		plain, err := gcm.Decrypt(b[2:], aad)
		if err != nil {
			x.t.Fatal(err)
		}
		sealed, err := gcm.Encrypt(plain, aad)
		if err != nil {
			x.t.Fatal(err)
		}
		return append([]byte{1, 1}, sealed...)
	}
	tampered := &tamperedKeys{Keys: x.rig.keys, keyring: func(k *storage.Keyring) {
		if c.Keyring != nil && k.KRID == c.Keyring.KRID {
			k.Record = record(k.Record)
		}
	}, retention: func(p *storage.RetentionKey) {
		if c.Retention != nil {
			p.Record = record(p.Record)
		}
	}}
	k, err := keyring.Open(x.t.Context(), tampered, bare{kms.None}, x.rig.options)
	x.do(err)
	x.t.Cleanup(k.Close)
	return k
}

// agree compares what two Keepers make of the same person.
func (x *example) agree(k *keyring.Keeper, krid event.KRID) {
	x.t.Helper()
	w := want(krid, "contact")
	if openKey(x.t, k, w, 1).PRK != openKey(x.t, x.k, w, 1).PRK {
		x.t.Error("what the other implementation wrote reads otherwise")
	}
}

func (x *example) aad(label string, krid event.KRID, version uint64, epoch uint32) []byte {
	b := append([]byte(label), x.rig.store[:]...)
	b = binary.BigEndian.AppendUint64(append(b, krid[:]...), version)
	return binary.BigEndian.AppendUint32(b, epoch)
}

func (x *example) periodAAD(label, class string, bucket int64, version uint64, epoch uint32) []byte {
	b := append([]byte(label), x.rig.store[:]...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(class))), class...)
	b = binary.BigEndian.AppendUint64(b, uint64(bucket))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, version), epoch)
}

func (x *example) stored(krid event.KRID) storage.Keyring {
	x.t.Helper()
	found, err := x.rig.keys.Keyrings(x.t.Context(), []event.KRID{krid})
	if err != nil {
		x.t.Fatal(err)
	}
	return found[0]
}

func (x *example) period(class string, bucket int64) storage.RetentionKey {
	x.t.Helper()
	found, err := x.rig.keys.Retentions(x.t.Context(), []storage.RetentionID{{Class: class, Bucket: bucket}})
	if err != nil {
		x.t.Fatal(err)
	}
	return found[0]
}

func (x *example) do(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

func TestKeyringExample(t *testing.T) {
	r := newRig(t)
	r.store = event.StoreID(ascending(0x10))
	r.options.Store, r.options.Rand = r.store, newStream(t)
	x := &example{page: &page{t: t}, rig: r}
	k, err := keyring.Open(t.Context(), r.keys, bare{kms.None}, r.options)
	x.do(err)
	defer k.Close()
	x.k = k
	ref := keyring.Reference{Kind: "customer", Ref: "4711"}
	krid := mint(t, k, ref)[0]
	first := want(krid, "contact")
	key := sealKey(t, k, first)

	x.epoch(krid)
	x.tokens(ref, krid)
	secret, salt := x.person(krid), x.retention()
	x.derive(salt, secret, key.PRK)
	x.register()
	x.changed(krid)
	x.tombstones(ref, krid)
	pagetest.Compare(t, "../docs/format/keyring.md", "", strings.TrimSuffix(x.String(), "\n"))
}

func ascending(first byte) (b [16]byte) {
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// epoch shows what is wrapped by the key service, in parts.
func (x *example) epoch(krid event.KRID) {
	head, err := x.rig.keys.KeyHead(x.t.Context())
	x.do(err)
	e := head.Epochs[0]
	aad := append(append([]byte("lethe/epoch/1"), x.rig.store[:]...), 0, 0, 0, 1)
	if e.Record[0] != 1 || !bytes.HasPrefix(e.Record[1:], aad) || len(e.Record) != 1+len(aad)+260*32 {
		x.t.Fatalf("the epoch's record is laid out otherwise: %x…", e.Record[:64])
	}
	x.keys = e.Record[1+len(aad):]
	fmt.Fprintf(x, "epoch 1, root key %s\n", e.Name)
	x.Part("AAD: label, store, epoch 1", aad)
	sum := sha256.Sum256(x.keys)
	x.Part("SHA-256 of the 8,320 bytes that are wrapped", sum[:])
	shard := krid[15]
	x.Part(fmt.Sprintf("key %d, wraps the person's keyring", shard), x.key(int(shard)))
	for i, label := range []string{
		"wraps retention keys", "makes lookup tokens", "makes suppression tokens", "makes request digests",
	} {
		x.Part(fmt.Sprintf("key %d, %s", 256+i, label), x.key(256+i))
	}
	x.WriteString("\n")
	digests, err := x.k.RequestDigests(x.t.Context(), nil, []byte("request"))
	x.do(err)
	sum = digests[0].Sum
	if !bytes.Equal(sum[:], x.tinkMAC(x.key(259), []byte("request"))) {
		x.t.Error("the other implementation makes another request digest")
	}
	x.WriteString("request digest of the 7 bytes \"request\"\n")
	x.Part("", sum[:])
	x.WriteString("\n")
}

// token lays out what is hashed for a reference, and shows the token.
func (x *example) token(label string, key []byte, ref keyring.Reference) storage.LookupToken {
	b := binary.BigEndian.AppendUint16([]byte(label), uint16(len(ref.Kind)))
	b = binary.BigEndian.AppendUint32(append(b, ref.Kind...), uint32(len(ref.Ref)))
	x.rest = append(b, ref.Ref...)
	token := storage.LookupToken(x.tinkMAC(key, x.rest))
	x.cut(len(label), fmt.Sprintf("%q", label))
	x.cut(2, "length of kind")
	x.cut(len(ref.Kind), fmt.Sprintf("kind %q", ref.Kind))
	x.cut(4, "length of reference")
	x.cut(len(ref.Ref), fmt.Sprintf("reference %q", ref.Ref))
	x.Part("token: first 16 bytes of HMAC-SHA256", token[:])
	x.end()
	return token
}

func (x *example) tokens(ref keyring.Reference, krid event.KRID) {
	x.WriteString("lookup token under key 257\n")
	token := x.token("lethe/lookup/1", x.key(257), ref)
	found, err := x.rig.keys.Lookups(x.t.Context(), []storage.LookupToken{token})
	x.do(err)
	if found[0] != (storage.Lookup{Token: token, State: storage.KeyLive, KRID: krid}) {
		x.t.Errorf("the keystore holds %+v", found[0])
	}
}

// person shows the keyring as it is after the first sealing, and returns its only key.
func (x *example) person(krid event.KRID) []byte {
	s := x.stored(krid)
	shard, aad := x.key(int(krid[15])), x.aad("lethe/keyring/1", krid, 2, 1)
	if s.Version != 2 || s.Epoch != 1 || s.State != storage.KeyLive {
		x.t.Fatalf("got %+v", s)
	}
	x.record(fmt.Sprintf("keyring %s, version 2, epoch 1", krid), shard, aad, s.Record)
	x.cut(1, "born in epoch 1")
	x.cut(1, "1 reference")
	x.cut(1, "kind: name 2")
	x.text("reference")
	x.cut(1, "1 group")
	x.cut(1, "name 3, short form")
	secret := x.cut(32, "key of generation 1, begun in epoch 1")
	x.cut(1, "0 bytes of standing")
	x.end()
	k := x.again(shard, aad, storage.KeyChange{Keyring: &s})
	x.agree(k, krid)
	return secret
}

func (x *example) retention() []byte {
	s := x.period("contract", 20290331)
	aad := x.periodAAD("lethe/retention/1", "contract", 20290331, 1, 1)
	x.record("retention key contract/20290331, version 1, epoch 1", x.key(256), aad, s.Record)
	salt := x.cut(32, "retention key")
	x.end()
	k := x.again(x.key(256), aad, storage.KeyChange{Retention: &s})
	krid := mint(x.t, k, keyring.Reference{Kind: "customer", Ref: "4711"})[0]
	x.agree(k, krid)
	return salt
}

func (x *example) derive(salt, secret []byte, prk [32]byte) {
	x.WriteString("prk of generation 1 of group contact, in period contract/20290331\n")
	x.Part("HKDF-Extract of retention key and group key", prk[:])
	x.WriteString("\n")
	if !bytes.Equal(prk[:], x.tinkMAC(salt, secret)) {
		x.t.Error("the other implementation extracts another key")
	}
	// Extract and Expand in one, since the other implementation offers HKDF as a whole.
	okm, err := subtle.ComputeHKDF("SHA256", secret, salt, []byte("info"), 32)
	x.do(err)
	if !bytes.Equal(okm, x.tinkMAC(prk[:], []byte("info\x01"))) {
		x.t.Error("the other implementation derives another key")
	}
}

func (x *example) register() {
	krid := keyring.OfStore(x.rig.store)
	s := x.stored(krid)
	shard, aad := x.key(int(krid[15])), x.aad("lethe/keyring/1", krid, s.Version, 1)
	x.record(fmt.Sprintf("the store's own keyring, %s, version %d, epoch 1", krid, s.Version), shard, aad, s.Record)
	x.cut(1, "4 names, from number 1")
	for range 4 {
		x.text("name")
	}
	x.cut(1, "1 retention key")
	x.cut(1, "class: name 4")
	x.cut(8, "bucket 20290331")
	x.cut(1, "born in epoch 1")
	x.cut(1, "1 reference")
	x.cut(1, "kind: name 1")
	x.text("reference")
	x.cut(1, "0 groups")
	x.cut(1, "0 bytes of standing")
	x.end()
}

// changed shows the long form of groups, a standing, and what is left of an erased group.
func (x *example) changed(krid event.KRID) {
	x.rig.clock.Move(time.Hour)
	t, k, ctx := x.t, x.k, x.t.Context()
	keyring.QuietForTest(k, krid, 0)
	sealKey(t, k, want(krid, "contact"))
	sealKey(t, k, want(krid, "identity"))
	x.do(k.Supersede(ctx, krid, "contact", 1))
	x.do(k.DestroyGroup(ctx, krid, "identity", keyring.Ending{Receipt: "1/52"}))
	x.do(k.Amend(ctx, krid, func(s *policy.Standing) (bool, error) {
		s.Restrictions = []policy.Restriction{{ID: event.ID(ascending(0x20)), Groups: []string{"contact"}}}
		return true, nil
	}))
	s := x.stored(krid)
	shard, aad := x.key(int(krid[15])), x.aad("lethe/keyring/1", krid, s.Version, 1)
	x.record(fmt.Sprintf("keyring %s, version %d: generation 1 of contact superseded, identity erased, a restriction",
		krid, s.Version), shard, aad, s.Record)
	x.cut(1, "born in epoch 1")
	x.cut(1, "1 reference")
	x.cut(1, "kind: name 2")
	x.text("reference")
	x.cut(1, "2 groups")
	x.cut(1, "name 3, long form")
	x.cut(1, "erased through 0: nothing")
	x.cut(1, "2 generations, from 1")
	x.cut(1, "generation 1: superseded")
	x.cut(1, "generation 2: begun in epoch 1")
	x.cut(32, "its key")
	x.cut(1, "name 5, long form")
	x.cut(1, "erased through generation 1")
	x.cut(8, "2026-03-02T10:00:00Z")
	x.text("receipt")
	x.cut(1, "0 generations")
	n := int(x.rest[0])
	if n > 127 {
		n = int(x.rest[0]&0x7f) | int(x.rest[1])<<7
		x.cut(2, "length of standing")
	} else {
		x.cut(1, "length of standing")
	}
	if n != len(x.rest) {
		t.Fatalf("%d bytes of standing, %d are left", n, len(x.rest))
	}
	fmt.Fprintf(x, "%s\n", x.rest)
	x.rest = nil
	x.end()
	again := x.again(shard, aad, storage.KeyChange{Keyring: &s})
	if o := openKey(t, again, want(krid, "identity"), 1); o.State != keyring.Erased || o.Receipt != "1/52" ||
		len(o.Standing.Restrictions) != 1 {
		t.Errorf("what the other implementation wrote reads as %+v", o)
	}
}

func (x *example) tombstones(ref keyring.Reference, krid event.KRID) {
	t, k, ctx := x.t, x.k, x.t.Context()
	until := x.rig.clock.Now().Add(400 * 24 * time.Hour)
	x.do(k.DestroyPeriod(ctx, "contract", 20290331, keyring.Ending{Receipt: "1/57"}))
	x.do(k.Destroy(ctx, krid, keyring.Ending{Receipt: "1/61", Until: until}))
	key := x.tinkMAC(x.key(258), []byte("lethe/tombstone/1\x01")) // HKDF-Expand of 32 bytes
	s, p := x.stored(krid), x.period("contract", 20290331)
	aad := x.aad("lethe/tombstone/1", krid, s.Version, 0)
	if s.State != storage.KeyDestroyed || s.Epoch != 0 || p.State != storage.KeyDestroyed || p.Epoch != 0 {
		t.Fatalf("got %+v and %+v", s, p)
	}
	x.record(fmt.Sprintf("tombstone of %s, version %d, no epoch", krid, s.Version), key, aad, s.Record)
	x.cut(1, "last generation of any group: 2")
	x.cut(8, "2026-03-02T10:00:00Z")
	x.text("receipt")
	x.end()
	paad := x.periodAAD("lethe/retention-tombstone/1", "contract", 20290331, p.Version, 0)
	x.record(fmt.Sprintf("tombstone of contract/20290331, version %d, no epoch", p.Version), key, paad, p.Record)
	x.cut(1, "0: a period has no generations")
	x.cut(8, "2026-03-02T10:00:00Z")
	x.text("receipt")
	x.end()
	x.WriteString("suppression token under key 258\n")
	token := x.token("lethe/suppression/1", x.key(258), ref)
	found, err := x.rig.keys.Lookups(ctx, []storage.LookupToken{token})
	x.do(err)
	if found[0] != (storage.Lookup{Token: token, State: storage.KeyDestroyed, Until: event.Micros(until)}) {
		t.Errorf("the keystore holds %+v", found[0])
	}
	again := x.again(key, aad, storage.KeyChange{Keyring: &s})
	if o := openKey(t, again, want(krid, "contact"), 1); o.State != keyring.Erased || o.Receipt != "1/61" {
		t.Errorf("what the other implementation wrote reads as %+v", o)
	}
}
