package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Leaf is what the log's tree commits of one event: its header in clear, everything else as commitments. It stays
// when the event's content is pruned or erased.
type Leaf struct {
	Store       [16]byte
	Incarnation uint64 // of the store when it appended the event
	Position    uint64 // from 1
	ID          [16]byte
	Type        string // 1 to 65,535 bytes of UTF-8
	Schema      Hash   // fingerprint of the schema version; zero: none
	RecordedAt  int64  // microseconds since 1970-01-01 UTC
	Open        Hash   // open commitment, from Prepared.Seal
	Boxes       []BoxCommitment
}

// BoxCommitment stands in a leaf for one box of sealed values. Two persons' boxes of one group and bucket differ
// in their commitment.
type BoxCommitment struct {
	Group      string // 1 to 65,535 bytes of UTF-8
	Bucket     int64
	Commitment Hash
}

// Compare is the canonical order of boxes in a leaf: group, bucket, commitment. Use it with slices.SortFunc.
func (b BoxCommitment) Compare(o BoxCommitment) int {
	return cmp.Or(strings.Compare(b.Group, o.Group), cmp.Compare(b.Bucket, o.Bucket),
		bytes.Compare(b.Commitment[:], o.Commitment[:]))
}

// Check reports what has no canonical encoding: position 0, a type or group that is empty, too long or not UTF-8,
// more than 65,535 boxes, boxes that do not strictly ascend. It is an ErrMalformed.
func (l *Leaf) Check() error {
	switch {
	case l.Position == 0:
		return fmt.Errorf("check leaf: position 0: %w", ErrMalformed)
	case !validName(l.Type):
		return fmt.Errorf("check leaf %d: the type has %d bytes or is not UTF-8: %w",
			l.Position, len(l.Type), ErrMalformed)
	case len(l.Boxes) > math.MaxUint16:
		return fmt.Errorf("check leaf %d: %d boxes: %w", l.Position, len(l.Boxes), ErrMalformed)
	}
	for i, b := range l.Boxes {
		if !validName(b.Group) {
			return fmt.Errorf("check leaf %d: group of box %d has %d bytes or is not UTF-8: %w",
				l.Position, i, len(b.Group), ErrMalformed)
		}
		if i > 0 && l.Boxes[i-1].Compare(b) >= 0 {
			return fmt.Errorf("check leaf %d: box %d not after box %d: %w", l.Position, i, i-1, ErrMalformed)
		}
	}
	return nil
}

func validName(s string) bool { return s != "" && len(s) <= math.MaxUint16 && utf8.ValidString(s) }

// AppendTo appends the canonical bytes of a leaf that passes Check; docs/format/leaf.md gives them byte by byte.
func (l *Leaf) AppendTo(b []byte) []byte {
	b = append(b, formatVersion, suiteSHA256)
	b = append(b, l.Store[:]...)
	b = binary.BigEndian.AppendUint64(b, l.Incarnation)
	b = binary.BigEndian.AppendUint64(b, l.Position)
	b = append(b, l.ID[:]...)
	b = appendName(b, l.Type)
	b = append(b, l.Schema[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.RecordedAt))
	b = append(b, l.Open[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Boxes)))
	for i := range l.Boxes {
		b = appendName(b, l.Boxes[i].Group)
		b = binary.BigEndian.AppendUint64(b, uint64(l.Boxes[i].Bucket))
		b = append(b, l.Boxes[i].Commitment[:]...)
	}
	return b
}

func appendName(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// ParseLeaf reads the canonical bytes of a leaf and nothing else: what it returns passes Check and encodes to b
// again. ErrUnknownFormat for another version or suite, ErrMalformed for everything else. The leaf keeps no part
// of b.
func ParseLeaf(b []byte) (Leaf, error) {
	r := reader{rest: b}
	if err := r.header("leaf"); err != nil {
		return Leaf{}, err
	}
	l := Leaf{
		Store:       [16]byte(r.take(16)),
		Incarnation: r.uint64(),
		Position:    r.uint64(),
		ID:          [16]byte(r.take(16)),
		Type:        r.name(),
		Schema:      r.hash(),
		RecordedAt:  int64(r.uint64()),
		Open:        r.hash(),
	}
	for range r.uint16() {
		box := BoxCommitment{Group: r.name(), Bucket: int64(r.uint64()), Commitment: r.hash()}
		if r.short {
			break // do not collect 65,535 empty boxes from a few bytes
		}
		l.Boxes = append(l.Boxes, box)
	}
	if r.short || len(r.rest) > 0 {
		return Leaf{}, fmt.Errorf("parse leaf of %d bytes: %w", len(b), ErrMalformed)
	}
	if err := l.Check(); err != nil {
		return Leaf{}, fmt.Errorf("parse leaf: %w", err)
	}
	l.Boxes = slices.Clip(l.Boxes)
	return l, nil
}
