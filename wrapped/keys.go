package wrapped

import (
	"crypto/cipher"
	"crypto/subtle"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// An epoch has 260 keys of 32 bytes: 256 that wrap keyrings, by the last byte of the KRID, and these.
const (
	keyRetention   = 256 // wraps retention keys
	keyIndex       = 257 // makes lookup tokens
	keySuppression = 258 // makes suppression tokens and, derived, wraps tombstones; the same in every epoch
	keyRequest     = 259 // makes request digests
)

// KeysSize is how many bytes the keys of an epoch have.
const KeysSize = 260 * 32

// Keys is the keys of one epoch, in clear.
type Keys struct {
	Number    uint32 // of the epoch
	Raw       []byte // all of them, one after the other
	rings     [256]cipher.AEAD
	Retention cipher.AEAD // wraps retention keys
	Tombstone cipher.AEAD // wraps tombstones; the same in every epoch
}

// NewKeys expands the keys of an epoch, which it takes over.
func NewKeys(number uint32, raw []byte) (*Keys, error) {
	e := &Keys{Number: number, Raw: raw}
	var err error
	for i := range e.rings {
		if e.rings[i], err = newAEAD(e.key(i)); err != nil {
			return nil, err
		}
	}
	if e.Retention, err = newAEAD(e.key(keyRetention)); err != nil {
		return nil, err
	}
	derived, err := expand(e.key(keySuppression), labelTombstone)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	e.Tombstone, err = newAEAD(derived)
	return e, err
}

func (e *Keys) key(i int) []byte { return e.Raw[32*i:][:32] }

// Ring wraps the keyring of a person.
func (e *Keys) Ring(krid event.KRID) cipher.AEAD { return e.rings[krid[len(krid)-1]] }

// Lookup is the token by which a reference is found.
func (e *Keys) Lookup(r Reference) storage.LookupToken {
	return token(e.key(keyIndex), labelLookup, r)
}

// Suppression is the token by which the reference of a person who was erased is known again.
func (e *Keys) Suppression(r Reference) storage.LookupToken {
	return token(e.key(keySuppression), labelSuppression, r)
}

// Wipe overwrites the keys; the AES keys expanded from them are dropped.
func (e *Keys) Wipe() {
	clear(e.Raw)
	clear(e.rings[:])
	e.Retention, e.Tombstone = nil, nil
}

// Request is the digest of a request.
func (e *Keys) Request(data []byte) [32]byte { return mac((*[32]byte)(e.key(keyRequest)), data) }

// Share copies the key that every epoch has to the keys of another one.
func (e *Keys) Share(raw []byte) {
	copy(raw[32*keySuppression:][:32], e.key(keySuppression))
}

// Same reports whether these are the keys.
func (e *Keys) Same(raw []byte) bool { return subtle.ConstantTimeCompare(e.Raw, raw) == 1 }
