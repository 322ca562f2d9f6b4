package postings

import (
	"encoding/binary"
	"slices"

	"github.com/lethe-es/lethe/event"
)

// The inverted index is a set of segments, each covering a range of positions, each a sorted run of posting lists
// cut into rows of about rowBytes. A row holds entries; an entry is one list, or a part of one that is too long
// for a row:
//
//	term 8 bytes ‖ count ‖ bytes of what follows ‖ position ‖ aux ‖ { position - previous ‖ aux - previous }…
//
// with counts and positions as varints and aux deltas as zig-zag varints (encoding/binary). A row's key is the term
// and position its first entry begins with. Aux is the version in lists of streams and the role in lists of terms.

// rowBytes is the size at which a row is full: rows of a little less than a page would leave half of the page
// empty, these fill it and its overflow pages.
const rowBytes = 7600

// Row is a part of a segment: lists from the posting (Key, First) on.
type Row struct {
	Key   Key
	First event.Position
	Bytes []byte
}

// Packer cuts a sorted sequence of lists into rows.
type Packer struct {
	open    Row
	entry   []byte // postings of the list at hand
	key     Key
	count   int
	first   event.Position
	last    Posting
	written []Row
}

// Add appends a posting; lists come in key order, postings in position order.
func (c *Packer) Add(key Key, p Posting) {
	full := len(c.entry) >= rowBytes-64 && p.Position != c.last.Position // one event's postings stay together
	if c.count > 0 && (c.key != key || full) {
		c.endEntry()
	}
	if c.count == 0 {
		c.key, c.first, c.last = key, p.Position, Posting{}
	}
	c.entry = binary.AppendUvarint(c.entry, uint64(p.Position-c.last.Position))
	c.entry = binary.AppendVarint(c.entry, p.Aux-c.last.Aux)
	c.last = p
	c.count++
}

func (c *Packer) endEntry() {
	if c.count == 0 {
		return
	}
	needed := 8 + 2*binary.MaxVarintLen32 + len(c.entry)
	if len(c.open.Bytes) > 0 && (len(c.open.Bytes)+needed > rowBytes || c.open.Key.Space != c.key.Space) {
		c.endRow()
	}
	if len(c.open.Bytes) == 0 {
		c.open = Row{Key: c.key, First: c.first, Bytes: make([]byte, 0, rowBytes+64)}
	}
	b := binary.BigEndian.AppendUint64(c.open.Bytes, uint64(c.key.Term))
	b = binary.AppendUvarint(b, uint64(c.count))
	b = binary.AppendUvarint(b, uint64(len(c.entry)))
	c.open.Bytes = append(b, c.entry...)
	c.entry, c.count = c.entry[:0], 0
}

func (c *Packer) endRow() {
	if len(c.open.Bytes) > 0 {
		c.written = append(c.written, c.open)
		c.open = Row{}
	}
}

// Take gives the rows that are full; with end, all of them.
func (c *Packer) Take(end bool) []Row {
	if end {
		c.endEntry()
		c.endRow()
	}
	rows := c.written
	c.written = nil
	return rows
}

var errRow = event.Errorf(event.ErrCorrupt, "read index: a row is damaged").Hint(reindex)

// entries walks the entries of a row: term, and the bytes of its postings with their count.
func entries(b []byte, each func(term int64, count int, postings []byte) (bool, error)) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errRow
		}
		term := int64(binary.BigEndian.Uint64(b))
		count, n := binary.Uvarint(b[8:])
		if n <= 0 {
			return errRow
		}
		b = b[8+n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) || count == 0 || count > size/2 {
			return errRow
		}
		more, err := each(term, int(count), b[n:n+int(size)])
		if err != nil || !more {
			return err
		}
		b = b[n+int(size):]
	}
	return nil
}

// decodePostings appends the postings of an entry to list.
func decodePostings(list []Posting, count int, b []byte) ([]Posting, error) {
	list = slices.Grow(list, count)
	var last Posting
	for i := range count {
		delta, n := binary.Uvarint(b)
		if n <= 0 || delta == 0 && i == 0 {
			return nil, errRow
		}
		aux, m := binary.Varint(b[n:])
		if m <= 0 {
			return nil, errRow
		}
		last = Posting{last.Position + event.Position(delta), last.Aux + aux}
		list = append(list, last)
		b = b[n+m:]
	}
	if len(b) > 0 {
		return nil, errRow
	}
	return list, nil
}

// findList gives the postings of one list in a row: nil if it holds none. last reports that the row ends with this
// list or before it, so that the list may go on in the next row.
func findList(b []byte, term int64) (list []Posting, last bool, err error) {
	last = true
	err = entries(b, func(t int64, count int, postings []byte) (bool, error) {
		if t == term {
			list, err = decodePostings(list, count, postings)
			return true, err
		}
		last = t < term
		return last, nil
	})
	return list, last, err
}
