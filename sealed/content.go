package sealed

import (
	"encoding/binary"
	"math"

	"github.com/lethe-es/lethe/event"
)

// Content is what is inside a box: the seed of its commitment, and the values. It is plaintext: it stays in package
// privacy.
type Content struct {
	Seed  [32]byte
	Slots []Slot // in the order of the commitment: by kind, then path
}

// Slot is one value. Kind and State are those of the commitment's slot (docs/format/commitment.md).
type Slot struct {
	Kind  uint8
	State uint8
	Path  string
	Hole  uint32 // where in the open data it is put back; 2³²−1: by its path
	Value []byte
}

const (
	contentForm = 1  // a seed for all slots
	padding     = 64 // lengths tell no more than steps of this
	stateValue  = 2
)

// Size is how many bytes AppendContent appends: who makes room for them leaves no plaintext behind where memory grows.
func (c *Content) Size() int {
	n := 1 + len(c.Seed) + 2
	for i := range c.Slots {
		s := &c.Slots[i]
		n += 2 + 4 + 2 + len(s.Path)
		if s.State == stateValue {
			n += 4 + len(s.Value)
		}
	}
	return n + (padding-n%padding)%padding
}

// AppendContent encodes what goes into a box, padded with zeros.
func AppendContent(b []byte, c *Content) []byte {
	start := len(b)
	b = append(b, contentForm)
	b = append(b, c.Seed[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Slots)))
	for i := range c.Slots {
		s := &c.Slots[i]
		b = append(b, s.Kind, s.State)
		b = binary.BigEndian.AppendUint32(b, s.Hole)
		b = binary.BigEndian.AppendUint16(b, uint16(len(s.Path)))
		b = append(b, s.Path...)
		if s.State == stateValue {
			b = binary.BigEndian.AppendUint32(b, uint32(len(s.Value)))
			b = append(b, s.Value...)
		}
	}
	var zeros [padding]byte
	return append(b, zeros[:(padding-(len(b)-start)%padding)%padding]...)
}

// ParseContent reads into c what AppendContent wrote. Values and paths alias b, whose memory is the caller's to
// clear; the room of c.Slots is used again.
func ParseContent(b []byte, c *Content) error {
	c.Slots = c.Slots[:0]
	r := reader{rest: b, ok: true}
	if form := r.byte(); r.ok && form != contentForm {
		return event.Errorf(event.ErrFormat, "parse box: form %d is not known", form).
			Hint("a newer Lethe wrote it: upgrade")
	}
	copy(c.Seed[:], r.take(len(c.Seed)))
	n := r.uint16()
	for range n {
		s := Slot{Kind: r.byte(), State: r.byte(), Hole: r.uint32()}
		s.Path = string(r.take(r.uint16()))
		if s.State == stateValue {
			size := r.uint32()
			if size > math.MaxInt32 {
				r.ok = false
			}
			s.Value = r.take(int(size & math.MaxInt32))
		}
		if !r.ok || s.State > stateValue {
			break
		}
		c.Slots = append(c.Slots, s)
	}
	if !r.ok || len(c.Slots) != n || len(r.rest) >= padding {
		return event.Errorf(event.ErrCorrupt, "parse box: its parts do not add up")
	}
	for _, z := range r.rest {
		if z != 0 {
			return event.Errorf(event.ErrCorrupt, "parse box: its padding is not empty")
		}
	}
	return nil
}
