// Package postings is the inverted index of an engine without its disk: lists of postings packed into rows, segments
// of such rows, a tail in memory for what no segment covers yet, and walks over all of it. Engines store the rows and
// say which segments there are; what is found here are positions at which something may match, and the engine
// compares them with the events themselves.
//
//	view := &postings.View{Rows: rows, Head: head, Indexed: indexed, Segments: segments, Tail: tail.List}
//	finder := plan.Finder(view, streams, roles, false)
//	position, found, err := finder.Next(1)
//
// A segment covers a range of positions and never changes. Segments cover the positions from 1 to Indexed without gap
// or overlap; what lies beyond is in the tail. Sixteen neighbours of one level are merged into one of the next. The
// form of rows is in docs/format/sqlite.md.
package postings

import (
	"cmp"
	"slices"

	"github.com/lethe-es/lethe/event"
)

// Space tells lists of streams from lists of terms: the first go by the stream's number and are exact, the second by
// a hash.
type Space int64

// The spaces are on disk, for ever.
const (
	StreamSpace Space = 0
	TermSpace   Space = 1
)

// Key names one posting list.
type Key struct {
	Space Space
	Term  int64 // stream number or term hash, compared as signed integers
}

// Compare orders keys by space, then term.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Space, o.Space), cmp.Compare(k.Term, o.Term))
}

// Posting is one event in a list. Aux is the version in lists of streams, and the number of the role in lists of terms.
type Posting struct {
	Position event.Position
	Aux      int64
}

// AnyRole takes every posting; NoRole is a role that no event ever had.
const (
	AnyRole = 0
	NoRole  = -1
)

// Segment is a run of the index that covers positions First to Last.
type Segment struct {
	N     int64
	Level int
	First event.Position
	Last  event.Position
}

// Check reports whether segments cover the positions from 1 to indexed.
func Check(segments []Segment, indexed event.Position) error {
	next := event.Position(1)
	for _, s := range segments {
		if s.First != next {
			return event.Errorf(event.ErrCorrupt, "open index: no segment covers position %d", next).Hint(reindex)
		}
		next = s.Last + 1
	}
	if next != indexed+1 {
		return event.Errorf(event.ErrCorrupt, "open index: segments end at %d, the head says %d", next-1, indexed).
			Hint(reindex)
	}
	return nil
}

const reindex = "rebuild the index: lethe doctor --reindex"

// segmentAt is the index of the first segment that ends at or after p.
func segmentAt(segments []Segment, p event.Position) int {
	i, _ := slices.BinarySearchFunc(segments, p, func(s Segment, p event.Position) int {
		if s.Last < p {
			return -1
		}
		return 0
	})
	return i
}

// Rows reads the rows of segments as of one view.
type Rows interface {
	// At is the last row of a segment that begins at or before the posting (key, p).
	At(segment int64, key Key, p event.Position) (Row, bool, error)
	// After is the first row of a segment that begins after the posting (key, p).
	After(segment int64, key Key, p event.Position) (Row, bool, error)
}

// Tail holds the lists of everything that no segment covers. A list that was given out stays valid: postings that are
// appended to it lie beyond the head of an older view.
type Tail map[Key][]Posting

// Add appends postings.
func (t Tail) Add(a *Added) {
	for i, key := range a.Keys {
		t[key] = append(t[key], a.Postings[i])
	}
}

// List is one list.
func (t Tail) List(key Key) []Posting { return t[key] }

// Rows packs the tail, and what a batch adds to it, into rows of one segment.
func (t Tail) Rows(a *Added) []Row {
	batch := make(Tail, len(a.Keys))
	batch.Add(a)
	keys := make([]Key, 0, len(t)+len(batch))
	for key := range t {
		keys = append(keys, key)
	}
	for key := range batch {
		if _, ok := t[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	var p Packer
	for _, key := range keys {
		for _, x := range t[key] {
			p.Add(key, x)
		}
		for _, x := range batch[key] {
			p.Add(key, x)
		}
	}
	return p.Take(true)
}
