package ledger

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// SlotKind says what part of an event a slot commits. The numbers are on disk for ever.
type SlotKind uint8

// The kinds of slots, in canonical order. What each holds as path and value: docs/format/commitment.md.
const (
	KindVersion     SlotKind = 1  // version in the stream; always slot 0, added by Seal
	KindStream      SlotKind = 2  // the stream's name
	KindRelation    SlotKind = 3  // one per relation
	KindMetadata    SlotKind = 4  // one per metadata key
	KindProperty    SlotKind = 5  // one per top-level open property of the data
	KindOccurred    SlotKind = 6  // occurred_at
	KindCorrelation SlotKind = 7  // correlation id
	KindCausation   SlotKind = 8  // id of the causing event
	KindTraceparent SlotKind = 9  // W3C trace context
	KindProducer    SlotKind = 10 // producing component
	KindData        SlotKind = 11 // open data that is not JSON, whole
)

// SlotState says whether a slot has a value. The numbers are on disk for ever.
type SlotState uint8

// The states of a slot.
const (
	Absent SlotState = 0 // declared, but not there
	Null   SlotState = 1 // there, and null
	Value  SlotState = 2 // there, with the bytes of Slot.Value
)

// Slot is one value of an event to be committed by itself, so that it can be disclosed, or erased, by itself.
// Path and Value are each shorter than 4 GiB.
type Slot struct {
	Kind  SlotKind
	Path  string
	State SlotState
	Value []byte // counts for State Value only
}

const (
	saltLabel = "lethe/salt/1"
	slotLabel = "lethe/slot/1"
)

// VersionSlot is the slot 0 of an open commitment: kind version, no path, the version in 8 bytes big-endian.
func VersionSlot(version uint64) Slot {
	return Slot{Kind: KindVersion, State: Value, Value: binary.BigEndian.AppendUint64(nil, version)}
}

// Root is the commitment over slots in the given order: the RFC 6962 root over their leaves, each under its own
// salt. For an open commitment slot 0 is VersionSlot. It is the plain form of Prepare and Seal, and what a box
// commitment, which has no version slot, is made with. Without slots it is the root of the empty tree.
func Root(seed Hash, slots []Slot) Hash {
	return root(slotHashes(seed, slots))
}

func slotHashes(seed Hash, slots []Slot) []Hash {
	hashes := make([]Hash, len(slots))
	for i, s := range slots {
		hashes[i] = SlotHash(Salt(seed, s.Kind, s.Path), s)
	}
	return hashes
}

// Salt is the salt of the slot (kind, path) under an event's seed:
// HKDF-Expand-SHA256(seed, "lethe/salt/1" ‖ kind ‖ u32 len(path) ‖ path, 32), RFC 5869.
// The salt of one slot tells nothing about the salt of another.
func Salt(seed Hash, kind SlotKind, path string) Hash {
	mac := hmac.New(sha256.New, seed[:])
	mac.Write(append(appendSaltInfo(nil, kind, path), 0x01))
	return Hash(mac.Sum(nil))
}

// SlotHash is the leaf hash of a slot under its salt; see docs/format/commitment.md for the bytes.
func SlotHash(salt Hash, s Slot) Hash {
	b := appendSlotHead(make([]byte, 0, 256), salt, &s)
	if s.State == Value {
		b = append(b, s.Value...)
	}
	return sha256.Sum256(b)
}

func appendSaltInfo(b []byte, kind SlotKind, path string) []byte {
	b = append(b, saltLabel...)
	b = append(b, byte(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(path)))
	return append(b, path...)
}

// appendSlotHead appends everything that is hashed of a slot, except the bytes of its value.
func appendSlotHead(b []byte, salt Hash, s *Slot) []byte {
	b = append(b, leafPrefix)
	b = append(b, slotLabel...)
	b = append(b, byte(s.Kind))
	b = append(b, salt[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Path)))
	b = append(b, s.Path...)
	b = append(b, byte(s.State))
	if s.State == Value {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s.Value)))
	}
	return b
}

// Canonical reports the first fault of a list of slots: an unknown kind or state, bytes that no state covers, or
// an order that does not strictly ascend by kind, then path. A strictly ascending list commits one set of values
// in one way, and gives no two slots the same salt. Give it the whole list, with VersionSlot first for an open
// commitment. Prepare and Root do not check: they hash what they are given.
func Canonical(slots []Slot) error {
	for i := range slots {
		s := &slots[i]
		switch {
		case s.Kind < KindVersion || s.Kind > KindData:
			return fmt.Errorf("check slot %d: kind %d: %w", i, s.Kind, ErrUnknownFormat)
		case s.State > Value:
			return fmt.Errorf("check slot %d: state %d: %w", i, s.State, ErrUnknownFormat)
		case s.State != Value && len(s.Value) > 0:
			return fmt.Errorf("check slot %d: %d bytes in a slot without value: %w", i, len(s.Value), ErrMalformed)
		case i > 0 && slots[i-1].compare(s) >= 0:
			return fmt.Errorf("check slot %d: not after slot %d in order of kind and path: %w", i, i-1, ErrMalformed)
		}
	}
	return nil
}

func (s *Slot) compare(o *Slot) int {
	if c := cmp.Compare(s.Kind, o.Kind); c != 0 {
		return c
	}
	return cmp.Compare(s.Path, o.Path)
}
