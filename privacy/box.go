package privacy

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/sealed"
)

// prk is the pseudorandom key of a person's group and a retention bucket, from which the keys of boxes are expanded.
type prk = [32]byte

// bench is memory and tools for sealing and opening boxes, one goroutine at a time. It holds plaintext while it works
// and clears it when it is done.
type bench struct {
	ledger   ledger.Scratch
	slots    []ledger.Slot
	content  sealed.Content
	plain    []byte
	cipher   []byte       // of the boxes of one event
	boxes    []sealed.Box // likewise
	info     []byte
	aad      []byte
	key      [32]byte         // of the box at hand
	prks     []prk            // of its owners
	values   []schema.Filling // of one event
	findings schema.Findings  // in what is open of one event
}

// clear overwrites what the bench held of plaintext.
func (w *bench) clear() {
	clear(w.plain[:cap(w.plain)])
	w.key = [32]byte{}
	clear(w.prks[:cap(w.prks)])
	clear(w.content.Slots[:cap(w.content.Slots)])
	clear(w.slots[:cap(w.slots)])
	w.content = sealed.Content{Slots: w.content.Slots[:0]}
	w.slots, w.cipher = w.slots[:0], w.cipher[:0]
}

// commit makes the commitment over the content. Slots must be in canonical order.
func (w *bench) commit(c *sealed.Content) [32]byte {
	w.slots = w.slots[:0]
	for i := range c.Slots {
		s := &c.Slots[i]
		w.slots = append(w.slots, ledger.Slot{Kind: ledger.SlotKind(s.Kind), Path: s.Path,
			State: ledger.SlotState(s.State), Value: s.Value})
	}
	return w.ledger.Root(c.Seed, w.slots)
}

// seal puts content into box, whose header and commitment are complete, for the owners with these keys. Its cipher is
// memory of the bench.
func (w *bench) seal(box *sealed.Box, place *sealed.Place, c *sealed.Content, keys []prk, rand io.Reader) error {
	w.room(c.Size())
	w.plain = sealed.AppendContent(w.plain, c)
	w.aad = box.AppendAAD(w.aad[:0], place)
	defer clear(w.key[:])
	if !box.Joint {
		w.key = w.expand(&keys[0], box, place, 0)
	} else if err := w.wrap(box, place, keys, rand); err != nil {
		return err
	}
	gcm, err := newGCM(&w.key)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(rand, box.Nonce[:]); err != nil {
		return fmt.Errorf("seal: read randomness: %w", err)
	}
	at := len(w.cipher)
	w.cipher = gcm.Seal(slices.Grow(w.cipher, len(w.plain)+gcm.Overhead()), box.Nonce[:], w.plain, w.aad)
	box.Cipher = w.cipher[at:len(w.cipher):len(w.cipher)]
	return nil
}

// wrap makes the key of a joint box and seals it for each owner.
func (w *bench) wrap(box *sealed.Box, place *sealed.Place, keys []prk, rand io.Reader) error {
	if _, err := io.ReadFull(rand, w.key[:]); err != nil {
		return fmt.Errorf("seal: read randomness: %w", err)
	}
	for i := range box.Owners {
		own := w.expand(&keys[i], box, place, i)
		gcm, err := newGCM(&own)
		clear(own[:])
		if err != nil {
			return err
		}
		wrapped := &box.Owners[i].Wrapped
		if _, err := io.ReadFull(rand, wrapped[:sealed.NonceBytes]); err != nil {
			return fmt.Errorf("seal: read randomness: %w", err)
		}
		gcm.Seal(wrapped[sealed.NonceBytes:sealed.NonceBytes], wrapped[:sealed.NonceBytes], w.key[:], w.aad)
	}
	return nil
}

// open reads the content of a box with the key of one of its owners. The content aliases memory of the bench, behind
// that of boxes before.
func (w *bench) open(box *sealed.Box, place *sealed.Place, owner int, key *prk) (*sealed.Content, error) {
	w.aad = box.AppendAAD(w.aad[:0], place)
	w.key = w.expand(key, box, place, owner)
	defer clear(w.key[:])
	if box.Joint {
		gcm, err := newGCM(&w.key)
		if err != nil {
			return nil, err
		}
		wrapped := &box.Owners[owner].Wrapped
		opened, err := gcm.Open(w.key[:0], wrapped[:sealed.NonceBytes], wrapped[sealed.NonceBytes:], w.aad)
		if err != nil || len(opened) != len(w.key) {
			return nil, damagedBox(box, place)
		}
	}
	gcm, err := newGCM(&w.key)
	if err != nil {
		return nil, err
	}
	at := len(w.plain)
	opened, err := gcm.Open(w.plain, box.Nonce[:], box.Cipher, w.aad)
	if err != nil {
		return nil, damagedBox(box, place)
	}
	w.plain = opened
	if err := sealed.ParseContent(w.plain[at:], &w.content); err != nil {
		return nil, fmt.Errorf("open event %s: %w", place.ID, err)
	}
	return &w.content, nil
}

// room makes the bench ready for so many bytes of plaintext, so that what grows leaves none behind.
func (w *bench) room(n int) {
	if n > cap(w.plain) {
		clear(w.plain[:cap(w.plain)])
		w.plain = make([]byte, 0, n+n/2)
	}
	w.plain = w.plain[:0]
}

// owners are the keys of a box's owners, in memory of the bench until the next box.
func (w *bench) owners(keys []keyring.Key) []prk {
	clear(w.prks)
	w.prks = slices.Grow(w.prks[:0], len(keys)) // at once: what grows leaves keys behind
	for i := range keys {
		w.prks = append(w.prks, keys[i].PRK)
	}
	return w.prks
}

// damagedBox says that a box does not open with the key it should open with: it was changed, or copied from elsewhere.
func damagedBox(box *sealed.Box, place *sealed.Place) error {
	return &event.Error{Sentinel: event.ErrCorrupt, Code: "box_damaged",
		Message: fmt.Sprintf("open event %s: the box of group %s is damaged or is not of this event", place.ID, box.Group),
		Next:    "run lethe doctor, and restore a backup"}
}

// expand is HKDF-Expand (RFC 5869) for one block of output, which is HMAC-SHA256(key, info ‖ 0x01).
func (w *bench) expand(key *prk, box *sealed.Box, place *sealed.Place, owner int) [32]byte {
	var room [ledger.Block]byte
	w.info = append(box.AppendInfo(append(w.info[:0], room[:]...), place, owner), 0x01)
	return ledger.MAC(w.info, key)
}

func newGCM(key *[32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return cipher.NewGCM(block)
}
