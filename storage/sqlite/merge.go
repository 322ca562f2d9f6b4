package sqlite

import (
	"slices"

	"github.com/lethe-es/lethe/event"
)

// Merging keeps the number of segments small: mergeWidth neighbours of one level become one of the next. It is done
// a few rows at a time, within the commits that happen anyway, so that no append waits for a whole merge. A merge
// that a crash or a failed commit cuts off is begun anew; its rows belong to no segment and are deleted.
const (
	mergeWidth = 16
	topLevel   = 2 // segments of it stay: 8,192 × 16 × 16 events each
)

// merge is a merge in progress.
type merge struct {
	sources []segment
	into    int64
	walks   []*runWalk // nil: not begun
	chunker chunker
}

// mergeResult is a finished merge.
type mergeResult struct {
	sources []segment
	target  segment
}

// planMerge begins a merge where mergeWidth neighbours are of one level.
func (x *index) planMerge() {
	for level := range topLevel {
		first := slices.IndexFunc(x.segments, func(s segment) bool { return s.level == level })
		if first < 0 {
			continue
		}
		last := first
		for last < len(x.segments) && x.segments[last].level == level {
			last++
		}
		if last-first >= mergeWidth {
			x.merge = &merge{sources: slices.Clone(x.segments[first : first+mergeWidth])}
			return
		}
	}
}

// abandonMerge forgets a merge whose rows were rolled back, and leaves those of earlier commits to be deleted.
func (x *index) abandonMerge() {
	if m := x.merge; m != nil && m.into != 0 {
		x.garbage = append(x.garbage, m.into)
		x.merge = nil
		x.planMerge()
	}
}

// replace puts a finished merge in the place of its sources.
func (x *index) replace(done *mergeResult) {
	i := slices.Index(x.segments, done.sources[0])
	segments := slices.Clone(x.segments[:i])
	segments = append(segments, done.target)
	x.segments = append(segments, x.segments[i+len(done.sources):]...)
	for _, s := range done.sources {
		x.garbage = append(x.garbage, s.n)
	}
	x.merge = nil
}

// mergeStep writes up to rows rows of the merge in progress, and ends it when its sources are done.
func (t *commit) mergeStep(rows int) error {
	m := t.store.index.merge
	if m.walks == nil {
		if err := t.beginMerge(m); err != nil {
			return err
		}
	}
	done := false
	for len(m.chunker.written) < rows && !done {
		var err error
		if done, err = m.next(t.c); err != nil {
			return err
		}
	}
	if err := t.rows(m.into, m.chunker.take(done)); err != nil || !done {
		return err
	}
	target := segment{
		n: m.into, level: m.sources[0].level + 1,
		first: m.sources[0].first, last: m.sources[len(m.sources)-1].last,
	}
	for _, s := range m.sources {
		if err := t.c.exec("DELETE FROM segment WHERE n = ?", s.n); err != nil {
			return err
		}
	}
	t.merged = &mergeResult{sources: m.sources, target: target}
	return t.c.exec("INSERT INTO segment VALUES (?, ?, ?, ?)",
		target.n, int64(target.level), int64(target.first), int64(target.last))
}

func (t *commit) beginMerge(m *merge) error {
	var err error
	if m.into, err = t.nextSegment(); err != nil {
		return err
	}
	for _, s := range m.sources {
		w := &runWalk{segment: s.n, after: chunk{key: listKey{space: -1}}}
		if err := w.advance(t.c); err != nil {
			return err
		}
		m.walks = append(m.walks, w)
	}
	return nil
}

// next merges one entry: of the least list of all sources, whose parts come in the order of the sources, which is
// that of positions.
func (m *merge) next(c *conn) (done bool, err error) {
	var least *runWalk
	for _, w := range m.walks {
		if !w.done && (least == nil || w.key.compare(least.key) < 0) {
			least = w
		}
	}
	if least == nil {
		return true, nil
	}
	for _, p := range least.list {
		m.chunker.add(least.key, p)
	}
	return false, least.advance(c)
}

// runWalk walks the entries of a segment in order.
type runWalk struct {
	segment int64
	after   chunk // the row at hand, of which rest is still to come
	rest    []byte
	key     listKey
	list    []posting
	done    bool
}

// advance moves to the next entry.
func (w *runWalk) advance(c *conn) error {
	if len(w.rest) == 0 {
		if err := w.nextRow(c); err != nil || w.done {
			return err
		}
	}
	return entries(w.rest, func(term int64, count int, postings []byte) (bool, error) {
		var err error
		w.key = listKey{w.after.key.space, term}
		w.list, err = decodePostings(w.list[:0], count, postings)
		used := cap(w.rest) - cap(postings) + len(postings)
		w.rest = w.rest[used:]
		return false, err
	})
}

func (w *runWalk) nextRow(c *conn) error {
	w.done = true
	err := c.query(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND (space, term, first) >
			(CAST(? AS INTEGER), CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY space, term, first LIMIT 1`,
		func(r row) error {
			w.done = false
			w.after = chunk{key: listKey{space(r.int64(0)), r.int64(1)}, first: event.Position(r.int64(2))}
			w.rest = r.bytes(3)
			return nil
		}, w.segment, int64(w.after.key.space), w.after.key.term, int64(w.after.first))
	if err == nil && !w.done && len(w.rest) == 0 {
		return errChunk
	}
	return err
}
