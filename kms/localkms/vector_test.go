package localkms_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/localkms"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// counter is a source of bytes that count up from 0.
type counter byte

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(*c)
		*c++
	}
	return len(b), nil
}

// draw is the next bytes of a counter.
func (c *counter) draw(n int) []byte {
	b := make([]byte, n)
	_, _ = c.Read(b)
	return b
}

// pbkdf2 is the function of RFC 8018 with HMAC-SHA-512, for one block or less, written from its text.
func pbkdf2(passphrase, salt []byte, iterations, length int) []byte {
	mac := hmac.New(sha512.New, passphrase)
	mac.Write(binary.BigEndian.AppendUint32(append([]byte(nil), salt...), 1))
	u := mac.Sum(nil)
	sum := append([]byte(nil), u...)
	for range iterations - 1 {
		mac.Reset()
		mac.Write(u)
		u = mac.Sum(u[:0])
		for i := range sum {
			sum[i] ^= u[i]
		}
	}
	return sum[:length]
}

// expand is HKDF-Expand of RFC 5869 with SHA-256 and L = 32.
func expand(secret []byte, label, name string) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s%c%s\x01", label, len(name), name)
	return mac.Sum(nil)
}

// page32 shows bytes with their labels, and gathers them.
type page32 struct {
	text pagetest.Layout
	all  []byte
}

func (p *page32) part(label string, b []byte) {
	p.all = append(p.all, b...)
	p.text.Part(label, b)
}

// end closes a file with its check value.
func (p *page32) end() []byte {
	sum := sha256.Sum256(p.all)
	p.part("check", sum[:8])
	p.text.WriteByte('\n')
	all := p.all
	p.all = nil
	return all
}

// open opens a box by another implementation of AES-GCM.
func tinkOpen(t *testing.T, key, box, aad []byte) []byte {
	t.Helper()
	gcm, err := subtle.NewAESGCM(key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Decrypt(box, aad)
	if err != nil {
		t.Fatalf("the other implementation does not open it: %v", err)
	}
	return plain
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestExample makes a folder, a key, a wrapped item and a tombstone with known randomness, and lays their bytes out by
// hand, from the page and not from the code. What is sealed is opened by another implementation.
func TestExample(t *testing.T) {
	const passphrase, name = "correct horse battery staple", "lethe-1"
	created := time.Date(2026, time.January, 5, 9, 30, 0, 250_000_000, time.UTC)
	clock := kmstest.NewClock(created)
	dir := filepath.Join(t.TempDir(), "keys")
	k := opened(t, dir, &localkms.Options{Clock: clock, Rand: new(counter), Passphrase: []byte(passphrase)})
	if err := k.Create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	item := kms.Item{Bytes: []byte("thirty-two bytes of an epoch key"), AAD: []byte("epoch 1")}
	wrapped, err := k.Wrap(t.Context(), name, []kms.Item{item})
	if err != nil {
		t.Fatal(err)
	}
	folderBytes, keyBytes := read(t, filepath.Join(dir, "folder")), read(t, filepath.Join(dir, name+".key"))
	clock.Move(365 * 24 * time.Hour)
	if _, err := k.Destroy(t.Context(), name); err != nil {
		t.Fatal(err)
	}

	var p page32
	var drawn counter
	same := func(what string, want, got []byte) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the code gives other bytes (-page +code):\n%s", what, diff)
		}
	}
	// sealed takes a box from the code's bytes, because the other implementation draws its own nonces, and opens it.
	sealed := func(got, key, nonce, want, aad []byte) {
		t.Helper()
		box := got[len(p.all)+12 : len(p.all)+12+len(want)+16]
		p.part("nonce", nonce)
		p.part("sealed, with its tag", box)
		same("what is sealed", want, tinkOpen(t, key, append(bytes.Clone(nonce), box...), aad))
	}
	id, secret := drawn.draw(16), drawn.draw(32)
	p.text.WriteString("folder\n")
	p.part("version 1, suite 1, kind 1", []byte{1, 1, 1})
	p.part("folder", id)
	p.part("under a passphrase", []byte{1})
	p.part("600,000 iterations", binary.BigEndian.AppendUint32(nil, 600_000))
	salt := drawn.draw(16)
	p.part("salt", salt)
	stretched := pbkdf2([]byte(passphrase), salt, 600_000, 32)
	sealed(folderBytes, stretched, drawn.draw(12), secret, bytes.Clone(p.all))
	same("folder", p.end(), folderBytes)

	p.text.WriteString(name + ".key\n")
	p.part("version 1, suite 1, kind 2", []byte{1, 1, 2})
	p.part("folder", id)
	p.part("length of name", []byte{byte(len(name))})
	p.part(fmt.Sprintf("name %q", name), []byte(name))
	p.part("created 2026-01-05T09:30:00.25Z", binary.BigEndian.AppendUint64(nil, uint64(created.UnixMicro())))
	nonce, root := drawn.draw(12), drawn.draw(32)
	sealed(keyBytes, expand(secret, "lethe/localkms/key/1", name), nonce, root, bytes.Clone(p.all))
	same("key", p.end(), keyBytes)

	p.text.WriteString("the item \"thirty-two bytes of an epoch key\", bound to \"epoch 1\", wrapped\n")
	p.part("version 1, suite 1", []byte{1, 1})
	wrapKey := expand(root, "lethe/localkms/wrap/1", name)
	sealed(wrapped[0], wrapKey, drawn.draw(12), item.Bytes, append([]byte{1, 1}, item.AAD...))
	same("item", p.all, wrapped[0])
	p.all = nil

	p.text.WriteString("\n" + name + ".destroyed\n")
	p.part("version 1, suite 1, kind 3", []byte{1, 1, 3})
	p.part("folder", id)
	p.part("length of name", []byte{byte(len(name))})
	p.part(fmt.Sprintf("name %q", name), []byte(name))
	p.part("done", []byte{2})
	p.part("2027-01-05T09:30:00.25Z", binary.BigEndian.AppendUint64(nil, uint64(clock.Now().UnixMicro())))
	same("tombstone", p.end(), read(t, filepath.Join(dir, name+".destroyed")))

	text := fmt.Sprintf("randomness: 00 01 02 … in the order in which it is drawn; passphrase %q\n\n%s", passphrase,
		strings.TrimSuffix(p.text.String(), "\n"))
	pagetest.Compare(t, "../../docs/format/localkms.md", "", text)
}

// TestForeignItem opens what another implementation wrapped.
func TestForeignItem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := opened(t, dir, &localkms.Options{Rand: new(counter)})
	if err := k.Create(t.Context(), "lethe-1"); err != nil {
		t.Fatal(err)
	}
	var drawn counter
	drawn.draw(16 + 32 + 12) // folder, its secret, the key's nonce
	gcm, err := subtle.NewAESGCM(expand(drawn.draw(32), "lethe/localkms/wrap/1", "lethe-1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 15, 16, 17, 32, 8320, 1 << 19} {
		plain := new(counter).draw(size)
		box, err := gcm.Encrypt(plain, []byte("\x01\x01place"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := k.Unwrap(t.Context(), "lethe-1", []kms.Item{{Bytes: append([]byte{1, 1}, box...), AAD: []byte("place")}})
		if err != nil || !bytes.Equal(out[0], plain) {
			t.Errorf("an item of %d bytes: %v", size, err)
		}
	}
}
