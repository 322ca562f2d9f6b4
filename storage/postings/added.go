package postings

import (
	"encoding/binary"
	"slices"

	"github.com/lethe-es/lethe/event"
)

// Added are the postings of some events that follow each other.
type Added struct {
	Keys     []Key
	Postings []Posting
}

// Add notes one posting.
func (a *Added) Add(key Key, p Posting) {
	a.Keys, a.Postings = append(a.Keys, key), append(a.Postings, p)
}

// AppendTo appends the form in which the postings of one commit are kept until a segment holds them, if they are all
// of terms: for each
//
//	term 8 bytes ‖ position − previous position ‖ role
//
// with varints (encoding/binary).
func (a *Added) AppendTo(b []byte) []byte {
	b = slices.Grow(b, 12*len(a.Keys))
	last := event.Position(0)
	for i, p := range a.Postings {
		b = binary.BigEndian.AppendUint64(b, uint64(a.Keys[i].Term))
		b = binary.AppendUvarint(b, uint64(p.Position-last))
		b = binary.AppendUvarint(b, uint64(p.Aux))
		last = p.Position
	}
	return b
}

// ParseAdded reads what AppendTo wrote; anything else is event.ErrCorrupt.
func ParseAdded(b []byte) (a Added, err error) {
	last := event.Position(0)
	for len(b) > 0 {
		if len(b) < 8 {
			return Added{}, errRow
		}
		term := int64(binary.BigEndian.Uint64(b))
		delta, n := binary.Uvarint(b[8:])
		if n <= 0 {
			return Added{}, errRow
		}
		role, m := binary.Uvarint(b[8+n:])
		if m <= 0 {
			return Added{}, errRow
		}
		last += event.Position(delta)
		a.Add(Key{TermSpace, term}, Posting{last, int64(role)})
		b = b[8+n+m:]
	}
	return a, nil
}
