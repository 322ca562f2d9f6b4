package sqlite

import (
	"encoding/binary"
	"slices"

	"github.com/lethe-es/lethe/event"
)

// The inverted index is a set of segments, each covering a range of positions, each a sorted run of posting lists
// cut into rows of about chunkBytes. A row holds entries; an entry is one list, or a part of one that is too long
// for a row:
//
//	term 8 bytes ‖ count ‖ bytes of what follows ‖ position ‖ aux ‖ { position - previous ‖ aux - previous }…
//
// with counts and positions as varints and aux deltas as zig-zag varints (encoding/binary). A row's key is the term
// and position its first entry begins with. Aux is the version in lists of streams and the role in lists of terms.

// space tells lists of streams from lists of terms: the first go by the stream's number and are exact, the second
// by a hash.
type space int64

const (
	streamSpace space = 0
	termSpace   space = 1
)

// listKey names one posting list.
type listKey struct {
	space space
	term  int64 // stream number or term hash, compared as SQLite compares integers
}

func (k listKey) compare(o listKey) int {
	switch {
	case k.space != o.space:
		return int(k.space - o.space)
	case k.term < o.term:
		return -1
	case k.term > o.term:
		return 1
	}
	return 0
}

// posting is one event in a list.
type posting struct {
	position event.Position
	aux      int64
}

// chunkBytes is the size at which a row is full: rows of a little less than a page would leave half of the page
// empty, these fill it and its overflow pages.
const chunkBytes = 7600

// chunk is a row of a run.
type chunk struct {
	key   listKey
	first event.Position
	bytes []byte
}

// chunker cuts a sorted sequence of lists into rows.
type chunker struct {
	open    chunk
	entry   []byte // postings of the list at hand
	key     listKey
	count   int
	first   event.Position
	last    posting
	written []chunk
}

// add appends a posting; lists come in key order, postings in position order.
func (c *chunker) add(key listKey, p posting) {
	full := len(c.entry) >= chunkBytes-64 && p.position != c.last.position // one event's postings stay together
	if c.count > 0 && (c.key != key || full) {
		c.endEntry()
	}
	if c.count == 0 {
		c.key, c.first, c.last = key, p.position, posting{}
	}
	c.entry = binary.AppendUvarint(c.entry, uint64(p.position-c.last.position))
	c.entry = binary.AppendVarint(c.entry, p.aux-c.last.aux)
	c.last = p
	c.count++
}

func (c *chunker) endEntry() {
	if c.count == 0 {
		return
	}
	needed := 8 + 2*binary.MaxVarintLen32 + len(c.entry)
	if len(c.open.bytes) > 0 && (len(c.open.bytes)+needed > chunkBytes || c.open.key.space != c.key.space) {
		c.endChunk()
	}
	if len(c.open.bytes) == 0 {
		c.open = chunk{key: c.key, first: c.first, bytes: make([]byte, 0, chunkBytes+64)}
	}
	b := binary.BigEndian.AppendUint64(c.open.bytes, uint64(c.key.term))
	b = binary.AppendUvarint(b, uint64(c.count))
	b = binary.AppendUvarint(b, uint64(len(c.entry)))
	c.open.bytes = append(b, c.entry...)
	c.entry, c.count = c.entry[:0], 0
}

func (c *chunker) endChunk() {
	if len(c.open.bytes) > 0 {
		c.written = append(c.written, c.open)
		c.open = chunk{}
	}
}

// take gives the rows that are full; with end, all of them.
func (c *chunker) take(end bool) []chunk {
	if end {
		c.endEntry()
		c.endChunk()
	}
	rows := c.written
	c.written = nil
	return rows
}

var errChunk = event.Errorf(event.ErrCorrupt, "read index: a row is damaged").
	Hint("rebuild the index: lethe doctor --reindex")

// entries walks the entries of a row: term, and the bytes of its postings with their count.
func entries(b []byte, each func(term int64, count int, postings []byte) (bool, error)) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errChunk
		}
		term := int64(binary.BigEndian.Uint64(b))
		count, n := binary.Uvarint(b[8:])
		if n <= 0 {
			return errChunk
		}
		b = b[8+n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) || count == 0 || count > size/2 {
			return errChunk
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
func decodePostings(list []posting, count int, b []byte) ([]posting, error) {
	list = slices.Grow(list, count)
	var last posting
	for i := range count {
		delta, n := binary.Uvarint(b)
		if n <= 0 || delta == 0 && i == 0 {
			return nil, errChunk
		}
		aux, m := binary.Varint(b[n:])
		if m <= 0 {
			return nil, errChunk
		}
		last = posting{last.position + event.Position(delta), last.aux + aux}
		list = append(list, last)
		b = b[n+m:]
	}
	if len(b) > 0 {
		return nil, errChunk
	}
	return list, nil
}

// findList gives the postings of one list in a row: nil if it holds none. last reports that the row ends with this
// list or before it, so that the list may go on in the next row.
func findList(b []byte, term int64) (list []posting, last bool, err error) {
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
