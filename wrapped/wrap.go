package wrapped

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/storage"
)

// Every record begins with its version and suite, of which there is one: AES-256-GCM with a nonce in front.
const (
	recordVersion = 1
	recordSuite   = 1
)

// NonceSize is how many bytes a nonce has.
const NonceSize = 12

// What records are bound to begins with one of these, so that none passes for another.
const (
	labelEpoch              = "lethe/epoch/1"
	labelKeyring            = "lethe/keyring/1"
	labelTombstone          = "lethe/tombstone/1"
	labelRetention          = "lethe/retention/1"
	labelRetentionTombstone = "lethe/retention-tombstone/1"
	labelLookup             = "lethe/lookup/1"
	labelSuppression        = "lethe/suppression/1"
)

// newAEAD expands a key of 32 bytes.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal makes a record of its plaintext, under a nonce that is never used again.
func Seal(aead cipher.AEAD, nonce [NonceSize]byte, aad, plain []byte) []byte {
	b := make([]byte, 2+NonceSize, 2+NonceSize+len(plain)+aead.Overhead())
	b[0], b[1] = recordVersion, recordSuite
	copy(b[2:], nonce[:])
	return aead.Seal(b, nonce[:], plain, aad)
}

// Open opens what seal made. what names the record in errors.
func Open(aead cipher.AEAD, aad, record []byte, what string) ([]byte, error) {
	if len(record) < 2 {
		return nil, Unreadable(what)
	}
	if record[0] != recordVersion || record[1] != recordSuite {
		return nil, event.Errorf(event.ErrFormat, "open %s: its record has version %d and suite %d", what, record[0],
			record[1]).Hint("use a newer version of Lethe")
	}
	if len(record) < 2+NonceSize+aead.Overhead() {
		return nil, Unreadable(what)
	}
	plain, err := aead.Open(nil, record[2:][:NonceSize], record[2+NonceSize:], aad)
	if err != nil {
		return nil, Unreadable(what)
	}
	return plain, nil
}

// Unreadable says that a record does not open; what names it.
func Unreadable(what string) error {
	e := &event.Error{
		Sentinel: event.ErrCorrupt, Code: "record_unreadable",
		Message: "open " + what + ": its record is damaged or another's",
	}
	return e.Hint("restore the keystore from a backup")
}

// EpochAAD is what the record of an epoch is bound to.
func EpochAAD(store event.StoreID, epoch uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(labelEpoch), store[:]...), epoch)
}

// KeyringAAD is what a person's record is bound to; its state tells a live one from a tombstone.
func KeyringAAD(store event.StoreID, r *storage.Keyring) []byte {
	label := labelKeyring
	if r.State == storage.KeyDestroyed {
		label = labelTombstone
	}
	b := make([]byte, 0, len(label)+len(store)+len(r.KRID)+12)
	b = append(append(append(b, label...), store[:]...), r.KRID[:]...)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, r.Version), r.Epoch)
}

// RetentionAAD is what the record of a retention key is bound to, likewise.
func RetentionAAD(store event.StoreID, r *storage.RetentionKey) []byte {
	label := labelRetention
	if r.State == storage.KeyDestroyed {
		label = labelRetentionTombstone
	}
	b := append(append(make([]byte, 0, 128), label...), store[:]...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(r.Class))), r.Class...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Bucket))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, r.Version), r.Epoch)
}

// token stands for a reference under a key: the first half of an HMAC.
func token(key []byte, label string, r Reference) storage.LookupToken {
	b := make([]byte, 0, 128)
	b = append(binary.BigEndian.AppendUint16(append(b, label...), uint16(len(r.Kind))), r.Kind...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(r.Ref))), r.Ref...)
	sum := mac((*[32]byte)(key), b)
	return storage.LookupToken(sum[:len(storage.LookupToken{})])
}

// short is how many bytes are hashed on the stack.
const short = 1024 - ledger.Block

// mac is HMAC-SHA256 under a key of 32 bytes. It allocates nothing for data that is short.
func mac(key *[32]byte, data []byte) [32]byte {
	if len(data) > short {
		h := hmac.New(sha256.New, key[:])
		h.Write(data)
		return [32]byte(h.Sum(nil))
	}
	var b [ledger.Block + short]byte
	sum := ledger.MAC(b[:ledger.Block+copy(b[ledger.Block:], data)], key)
	clear(b[:])
	return sum
}

// expand derives a key from one that is uniformly random.
func expand(key []byte, info string) ([]byte, error) {
	return hkdf.Expand(sha256.New, key, info, 32)
}

// Extract is HKDF-Extract with SHA-256 (RFC 5869), HMAC under salt over ikm. It is the one derivation of every opening
// and allocates nothing.
func Extract(salt, ikm *[32]byte) (prk [32]byte) {
	var b [ledger.Block + len(prk)]byte
	copy(b[ledger.Block:], ikm[:])
	prk = ledger.MAC(b[:], salt)
	clear(b[:])
	return prk
}
