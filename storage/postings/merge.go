package postings

import (
	"slices"

	"github.com/lethe-es/lethe/event"
)

// Merging keeps the number of segments small: mergeWidth neighbours of one level become one of the next, a few rows at
// a time, so that nobody waits for a whole merge.
const mergeWidth = 16

// TopLevel is the level whose segments stay as they are.
const TopLevel = 2

// Merge is a merge in progress.
type Merge struct {
	Sources []Segment
	Into    int64 // number of the segment it writes; 0: not begun
	// Leave tells what is to be left out; nil: nothing. A merge with it has one source, and stays on its level.
	Leave  func(event.Position) bool
	walks  []*walk
	packer Packer
}

// PlanMerge plans a merge where mergeWidth neighbours are of one level; nil: there is none to do.
func PlanMerge(segments []Segment) *Merge {
	for level := range TopLevel {
		first := slices.IndexFunc(segments, func(s Segment) bool { return s.Level == level })
		if first < 0 {
			continue
		}
		last := first
		for last < len(segments) && segments[last].Level == level {
			last++
		}
		if last-first >= mergeWidth {
			return &Merge{Sources: slices.Clone(segments[first : first+mergeWidth])}
		}
	}
	return nil
}

// Target is the segment that takes the place of the sources.
func (m *Merge) Target() Segment {
	level := m.Sources[0].Level + 1
	if m.Leave != nil {
		level--
	}
	return Segment{
		N: m.Into, Level: level,
		First: m.Sources[0].First, Last: m.Sources[len(m.Sources)-1].Last,
	}
}

// Replace puts the target in the place of the sources; ok is false where they are not there any more.
func (m *Merge) Replace(segments []Segment) (replaced []Segment, ok bool) {
	i := slices.Index(segments, m.Sources[0])
	if i < 0 || i+len(m.Sources) > len(segments) || !slices.Equal(segments[i:i+len(m.Sources)], m.Sources) {
		return segments, false
	}
	replaced = append(slices.Clone(segments[:i]), m.Target())
	return append(replaced, segments[i+len(m.Sources):]...), true
}

// Begin opens the sources, from their begin; into is a number that no segment has.
func (m *Merge) Begin(rows Rows, into int64) error {
	m.Into, m.walks, m.packer = into, nil, Packer{}
	for _, s := range m.Sources {
		w := &walk{segment: s.N, at: Row{Key: Key{Space: -1}}}
		if err := w.advance(rows); err != nil {
			return err
		}
		m.walks = append(m.walks, w)
	}
	return nil
}

// Step gives the next rows of the target, about n of them; with done they are the last.
func (m *Merge) Step(rows Rows, n int) (merged []Row, done bool, err error) {
	for len(m.packer.written) < n && !done {
		if done, err = m.next(rows); err != nil {
			return nil, false, err
		}
	}
	return m.packer.Take(done), done, nil
}

// next merges one entry: of the least list of all sources, whose parts come in the order of the sources, which is
// that of positions.
func (m *Merge) next(rows Rows) (done bool, err error) {
	var least *walk
	for _, w := range m.walks {
		if !w.done && (least == nil || w.key.Compare(least.key) < 0) {
			least = w
		}
	}
	if least == nil {
		return true, nil
	}
	for _, p := range least.list {
		if m.Leave != nil && m.Leave(p.Position) {
			continue
		}
		m.packer.Add(least.key, p)
	}
	return false, least.advance(rows)
}

// walk walks the entries of a segment in order.
type walk struct {
	segment int64
	at      Row // the row at hand, of which rest is still to come
	rest    []byte
	key     Key
	list    []Posting
	done    bool
}

// advance moves to the next entry.
func (w *walk) advance(rows Rows) error {
	if len(w.rest) == 0 {
		next, found, err := rows.After(w.segment, w.at.Key, w.at.First)
		if err != nil || !found {
			w.done = true
			return err
		}
		if w.at, w.rest = next, next.Bytes; len(w.rest) == 0 {
			return errRow
		}
	}
	return entries(w.rest, func(term int64, count int, postings []byte) (bool, error) {
		var err error
		w.key = Key{w.at.Key.Space, term}
		w.list, err = decodePostings(w.list[:0], count, postings)
		used := cap(w.rest) - cap(postings) + len(postings)
		w.rest = w.rest[used:]
		return false, err
	})
}
