package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
)

// Prepared is an open commitment that waits for the version. It holds hashes only: the slots may change or go.
// The zero Prepared is the commitment of an event with no slot but its version, under the zero salt.
type Prepared struct {
	salt     Hash   // of the version slot
	siblings []Hash // audit path of slot 0, from the leaf up
}

// Seal is the open commitment of the event as this version of its stream.
func (p *Prepared) Seal(version uint64) Hash {
	var value [8]byte
	binary.BigEndian.PutUint64(value[:], version)
	s := Slot{Kind: KindVersion, State: Value}
	var stack [128]byte
	b := appendSlotHead(stack[:0], p.salt, &s)
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(len(value)))
	h := sha256.Sum256(append(b, value[:]...))
	for i := range p.siblings {
		h = nodeHash(&h, &p.siblings[i])
	}
	return h
}

// Scratch holds what Prepare reuses from call to call. The zero Scratch is ready; it serves one goroutine at a
// time and keeps, between calls, hashes of the last event but none of its values.
type Scratch struct {
	buf    []byte
	nodes  []Hash
	paths  []Hash // room for the paths of many events, so that one allocation serves them
	digest hash.Hash
}

// streamFrom is the size from which a value is hashed where it lies instead of being copied first.
const streamFrom = 1024

// Prepare does all hashing of an open commitment that does not need the version: slots are all slots but the
// version slot, in canonical order (see Canonical). Prepare(seed, slots, s).Seal(v) equals Root over
// VersionSlot(v) and slots. With a scratch it allocates once for many events; nil is allowed.
func Prepare(seed Hash, slots []Slot, scratch *Scratch) (p Prepared) {
	if scratch == nil {
		scratch = new(Scratch)
	}
	p.salt = scratch.salt(&seed, KindVersion, "")
	nodes := scratch.hash(&seed, slots)
	// Slot i of the event is nodes[i-1]. The siblings of slot 0 cover the slots [1,2) [2,4) [4,8) … [2^k, n).
	p.siblings = scratch.path(bits.Len(uint(len(nodes))))
	for level := range p.siblings {
		first := 1 << level
		p.siblings[level] = fold(nodes[first-1 : min(2*first-1, len(nodes))])
	}
	return p
}

// pathsRoom is how many hashes are allocated at once for the paths of events to come.
const pathsRoom = 256

// path is room for n hashes that no other event shares.
func (s *Scratch) path(n int) []Hash {
	if len(s.paths) < n {
		s.paths = make([]Hash, max(n, pathsRoom))
	}
	p := s.paths[:n:n]
	s.paths = s.paths[n:]
	return p
}

// hash makes the hashes of slots. They are overwritten by the next.
func (s *Scratch) hash(seed *Hash, slots []Slot) []Hash {
	s.nodes = s.nodes[:0]
	for i := range slots {
		slot := &slots[i]
		s.nodes = append(s.nodes, s.slotHash(s.salt(seed, slot.Kind, slot.Path), slot))
	}
	return s.nodes
}

// salt is Salt with memory that is used again.
func (s *Scratch) salt(seed *Hash, kind SlotKind, path string) Hash {
	var room [Block]byte
	s.buf = append(appendSaltInfo(append(s.buf[:0], room[:]...), kind, path), 0x01)
	return MAC(s.buf, seed)
}

// slotHash is SlotHash with memory that is used again.
func (s *Scratch) slotHash(salt Hash, slot *Slot) Hash {
	s.buf = appendSlotHead(s.buf[:0], salt, slot)
	if slot.State != Value {
		return sha256.Sum256(s.buf)
	}
	if len(slot.Value) < streamFrom {
		s.buf = append(s.buf, slot.Value...)
		return sha256.Sum256(s.buf)
	}
	if s.digest == nil {
		s.digest = sha256.New()
	}
	s.digest.Reset()
	s.digest.Write(s.buf)
	s.digest.Write(slot.Value)
	s.buf = s.digest.Sum(s.buf[:0])
	return Hash(s.buf)
}

// Root is the function Root with memory that is used again: what a box commitment is made with. It keeps nothing of the
// values.
func (s *Scratch) Root(seed Hash, slots []Slot) Hash {
	if len(slots) == 0 {
		return root(nil)
	}
	defer func() { clear(s.buf[:cap(s.buf)]) }()
	return fold(s.hash(&seed, slots))
}
