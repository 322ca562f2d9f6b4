// Package sealed holds the bytes of sealed values: boxes as they lie in a store, what a box is bound to, and the
// layout of what is inside. It holds no keys and does no cryptography; package privacy does.
//
// A box is the sealed values of one event that belong to one person (or jointly to several), are of one data group,
// and end with one bucket of one retention class. Its header is in clear: alias, group, generation, class, bucket and
// the context of collection. docs/format/box.md specifies every byte.
//
//	boxes, err := sealed.Parse(record.Boxes)
//	for _, b := range boxes { fmt.Println(b.Group, b.Owners[0].KRID) }
package sealed

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
)

const (
	format      = 1
	suiteAESGCM = 1 // AES-256-GCM, HKDF-SHA256, SHA-256
)

// The shapes of boxes.
const (
	shapeSingle = 1
	shapeJoint  = 2
)

// Sizes of what is in a box, in bytes.
const (
	NonceBytes   = 12
	KeyBytes     = 32
	WrappedBytes = NonceBytes + KeyBytes + 16 // a joint box's key for one owner: nonce, key, tag
	MaxBoxes     = 4096                       // in one event
	MaxOwners    = 255
	maxName      = 64
)

// Box is sealed values of one event.
type Box struct {
	Group      string
	Class      string // retention class; empty: none
	Bucket     int64  // last day as yyyymmdd; 0: no fixed end
	Collection string // context in which the values were collected; empty: none was named
	Commitment [32]byte
	Joint      bool
	Owners     []Owner // one; of a joint box two or more, by KRID
	Nonce      [NonceBytes]byte
	Cipher     []byte // with its tag; nil: the bytes were removed
}

// Owner is a person whose box it is.
type Owner struct {
	KRID       event.KRID
	Generation uint32
	Wrapped    [WrappedBytes]byte // the box's key, sealed for this owner; only of joint boxes
}

// Compare is the order of the boxes of an event: that of a leaf.
func (b *Box) Compare(o *Box) int {
	return cmp.Or(strings.Compare(b.Group, o.Group), cmp.Compare(b.Bucket, o.Bucket),
		bytes.Compare(b.Commitment[:], o.Commitment[:]))
}

// Append encodes the boxes of one event, which must be in order; no boxes are no bytes.
func Append(b []byte, boxes []Box) []byte {
	if len(boxes) == 0 {
		return b
	}
	size := 4
	for i := range boxes {
		size += boxes[i].size()
	}
	b = append(slices.Grow(b, size), format, suiteAESGCM)
	b = binary.BigEndian.AppendUint16(b, uint16(len(boxes)))
	for i := range boxes {
		b = boxes[i].append(b)
	}
	return b
}

// size is how many bytes the box takes, at most.
func (x *Box) size() int {
	each := len(event.KRID{}) + 4
	if x.Joint {
		each += WrappedBytes
	}
	return 1 + 3 + len(x.Group) + len(x.Class) + len(x.Collection) + 8 + len(x.Commitment) + 1 + len(x.Owners)*each +
		NonceBytes + 4 + len(x.Cipher)
}

func (x *Box) append(b []byte) []byte {
	if x.Joint {
		b = append(b, shapeJoint)
	} else {
		b = append(b, shapeSingle)
	}
	b = appendName(appendName(b, x.Group), x.Class)
	b = binary.BigEndian.AppendUint64(b, uint64(x.Bucket))
	b = appendName(b, x.Collection)
	b = append(b, x.Commitment[:]...)
	if x.Joint {
		b = append(b, byte(len(x.Owners)))
	}
	for i := range x.Owners {
		o := &x.Owners[i]
		b = append(b, o.KRID[:]...)
		b = binary.BigEndian.AppendUint32(b, o.Generation)
		if x.Joint {
			b = append(b, o.Wrapped[:]...)
		}
	}
	b = append(b, x.Nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(x.Cipher)))
	return append(b, x.Cipher...)
}

func appendName(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// Parse reads the boxes of one event; ciphers alias b, names are copies. It is strict: what it accepts encodes to b
// again. event.ErrFormat for another format or suite, event.ErrCorrupt for everything else.
func Parse(b []byte) ([]Box, error) { return ParseInto(nil, b) }

// Count is how many boxes b begins with, for who makes room for them; nothing else of b is looked at.
func Count(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return min(int(binary.BigEndian.Uint16(b[2:])), MaxBoxes)
}

// ParseInto is Parse that appends to boxes. Names that boxes before have are not copied once more.
func ParseInto(boxes []Box, b []byte) ([]Box, error) {
	if len(b) == 0 {
		return boxes, nil
	}
	if len(b) < 4 {
		return boxes, damaged()
	}
	if b[0] != format || b[1] != suiteAESGCM {
		return boxes, event.Errorf(event.ErrFormat, "parse boxes: format %d with suite %d is not known", b[0], b[1]).
			Hint("a newer Lethe wrote it: upgrade")
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	r := reader{rest: b[4:], ok: n > 0 && n <= MaxBoxes, boxes: n}
	first := len(boxes)
	r.known = boxes[max(0, first-remembered):]
	for range n {
		if !r.ok {
			break
		}
		boxes = append(boxes, Box{})
		r.box(&boxes[len(boxes)-1])
		if len(boxes) > first+1 && boxes[len(boxes)-2].Compare(&boxes[len(boxes)-1]) >= 0 {
			r.ok = false
		}
	}
	if !r.ok || len(r.rest) > 0 {
		return boxes[:first], damaged()
	}
	return boxes, nil
}

func damaged() error {
	return event.Errorf(event.ErrCorrupt, "parse boxes: their parts do not add up")
}

// reader takes parts; the first that does not fit turns ok false for good.
type reader struct {
	rest   []byte
	ok     bool
	known  []Box   // some that were parsed before: their names come again
	boxes  int     // that there are, as far as the bytes say
	owners []Owner // room for those of the next
}

// ownersAtOnce is for how many boxes of one event the owners are made together.
const ownersAtOnce = 16

// remembered is how many boxes before are looked at for a name; those of one log have few.
const remembered = 4

func (r *reader) take(n int) []byte {
	if !r.ok || n > len(r.rest) {
		r.ok, r.rest = false, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) name() string {
	b := r.take(int(r.byte()))
	r.ok = r.ok && len(b) <= maxName
	if len(b) == 0 {
		return ""
	}
	for i := range r.known {
		for _, name := range [...]string{r.known[i].Group, r.known[i].Class, r.known[i].Collection} {
			if name == string(b) {
				return name
			}
		}
	}
	return string(b)
}

func (r *reader) box(x *Box) {
	shape := r.byte()
	x.Joint = shape == shapeJoint
	r.ok = r.ok && (shape == shapeSingle || x.Joint)
	x.Group, x.Class, x.Bucket, x.Collection = r.name(), r.name(), r.int64(), r.name()
	copy(x.Commitment[:], r.take(len(x.Commitment)))
	owners := 1
	if x.Joint {
		owners = int(r.byte())
		r.ok = r.ok && owners > 1
	}
	r.ok = r.ok && x.Group != "" && owners*20 <= len(r.rest)
	if !r.ok {
		return
	}
	if len(r.owners) < owners {
		r.owners = make([]Owner, max(owners, min(r.boxes, ownersAtOnce)))
	}
	x.Owners, r.owners = r.owners[:owners:owners], r.owners[owners:]
	for i := range x.Owners {
		r.owner(&x.Owners[i], x.Joint)
		r.ok = r.ok && (i == 0 || bytes.Compare(x.Owners[i-1].KRID[:], x.Owners[i].KRID[:]) < 0)
	}
	copy(x.Nonce[:], r.take(NonceBytes))
	if n := r.uint32(); n > 0 && n <= math.MaxInt32 {
		x.Cipher = r.take(int(n))
	} else {
		r.ok = r.ok && n == 0
	}
}

func (r *reader) owner(o *Owner, joint bool) {
	copy(o.KRID[:], r.take(len(o.KRID)))
	o.Generation = r.uint32()
	if joint {
		copy(o.Wrapped[:], r.take(WrappedBytes))
	}
	r.ok = r.ok && !o.KRID.IsZero() && o.Generation > 0
}

// CheckName says whether a group, class or context fits into a box.
func CheckName(what, name string) error {
	if len(name) > maxName {
		return event.Invalid("malformed_name", "check %s: %d bytes are more than %d", what, len(name), maxName)
	}
	return nil
}
