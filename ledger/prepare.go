package ledger

import (
	"crypto/sha256"
	"encoding"
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
	digest digest
	inner  []byte // state of the digest after the inner pad of HMAC under the current seed
	outer  []byte // and after the outer pad
}

// digest is what crypto/sha256 documents its hashes to be.
type digest interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
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
	scratch.key(&seed)
	p.salt = scratch.salt(KindVersion, "")
	nodes := scratch.nodes[:0]
	for i := range slots {
		slot := &slots[i]
		nodes = append(nodes, scratch.slotHash(scratch.salt(slot.Kind, slot.Path), slot))
	}
	scratch.nodes = nodes
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

// key puts the digest states of HMAC-SHA256 under seed in place: two blocks are hashed here instead of two for
// every slot.
func (s *Scratch) key(seed *Hash) {
	if s.digest == nil {
		s.digest = sha256.New().(digest)
	}
	s.inner = s.padded(s.inner, seed, 0x36)
	s.outer = s.padded(s.outer, seed, 0x5c)
}

func (s *Scratch) padded(state []byte, seed *Hash, pad byte) []byte {
	var block [sha256.BlockSize]byte
	copy(block[:], seed[:])
	for i := range block {
		block[i] ^= pad
	}
	s.buf = append(s.buf[:0], block[:]...)
	s.digest.Reset()
	s.digest.Write(s.buf)
	state, err := s.digest.AppendBinary(state[:0])
	if err != nil {
		panic("ledger: SHA-256 does not give its state")
	}
	return state
}

// salt is Salt under the seed of the last key.
func (s *Scratch) salt(kind SlotKind, path string) Hash {
	s.buf = append(appendSaltInfo(s.buf[:0], kind, path), 0x01)
	s.resume(s.inner)
	s.buf = s.digest.Sum(s.buf[:0])
	s.resume(s.outer)
	s.buf = s.digest.Sum(s.buf[:0])
	return Hash(s.buf)
}

// resume continues from a saved state with the bytes of buf.
func (s *Scratch) resume(state []byte) {
	if err := s.digest.UnmarshalBinary(state); err != nil {
		panic("ledger: SHA-256 does not take its own state")
	}
	s.digest.Write(s.buf)
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
	s.digest.Reset()
	s.digest.Write(s.buf)
	s.digest.Write(slot.Value)
	s.buf = s.digest.Sum(s.buf[:0])
	return Hash(s.buf)
}

// few is up to how many slots states that are kept do not pay.
const few = 2

// Root is the function Root with memory that is used again: what a box commitment is made with. It keeps nothing of the
// values.
func (s *Scratch) Root(seed Hash, slots []Slot) Hash {
	if len(slots) == 0 {
		return root(nil)
	}
	if len(slots) > few {
		s.key(&seed)
	}
	nodes := s.nodes[:0]
	for i := range slots {
		slot := &slots[i]
		var salt Hash
		if len(slots) > few {
			salt = s.salt(slot.Kind, slot.Path)
		} else {
			var room [Block]byte
			s.buf = append(appendSaltInfo(append(s.buf[:0], room[:]...), slot.Kind, slot.Path), 0x01)
			salt = MAC(s.buf, &seed)
		}
		nodes = append(nodes, s.slotHash(salt, slot))
	}
	clear(s.buf[:cap(s.buf)])
	s.nodes = nodes
	return fold(nodes)
}
