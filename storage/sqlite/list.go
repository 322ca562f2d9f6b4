package sqlite

import (
	"slices"

	"github.com/lethe-es/lethe/event"
)

// view is one consistent state of the log: a position, and the index as of it, seen through one connection.
type view struct {
	c        *conn
	names    *names // may know more than the view, never less
	head     event.Position
	indexed  event.Position
	segments []segment
	tail     func(listKey) []posting
}

// list walks one posting list of a view, in either direction, a row of the index at a time.
type list struct {
	v    *view
	key  listKey
	role int64 // only postings of this role; anyRole: all

	block  []posting      // everything the list has in positions lo to hi, and maybe more around
	lo, hi event.Position // lo > hi: nothing is loaded
}

// anyRole takes every posting; noRole is a role that no event ever had.
const (
	anyRole = 0
	noRole  = -1
)

func (v *view) list(key listKey, role int64) *list { return &list{v: v, key: key, role: role, lo: 1} }

// atOrAfter is the first posting at or after p.
func (l *list) atOrAfter(p event.Position) (posting, bool, error) {
	for p = max(p, 1); p <= l.v.head; p = l.hi + 1 {
		if p < l.lo || p > l.hi {
			if err := l.load(p, false); err != nil {
				return posting{}, false, err
			}
		}
		i, _ := slices.BinarySearchFunc(l.block, p, byPosition)
		for ; i < len(l.block) && l.block[i].position <= l.hi; i++ {
			if l.role == anyRole || l.block[i].aux == l.role {
				return l.block[i], true, nil
			}
		}
	}
	return posting{}, false, nil
}

// atOrBefore is the last posting at or before p.
func (l *list) atOrBefore(p event.Position) (posting, bool, error) {
	for p = min(p, l.v.head); p >= 1; p = l.lo - 1 {
		if p < l.lo || p > l.hi {
			if err := l.load(p, true); err != nil {
				return posting{}, false, err
			}
		}
		i, _ := slices.BinarySearchFunc(l.block, p+1, byPosition)
		for i--; i >= 0 && l.block[i].position >= l.lo; i-- {
			if l.role == anyRole || l.block[i].aux == l.role {
				return l.block[i], true, nil
			}
		}
	}
	return posting{}, false, nil
}

func byPosition(p posting, at event.Position) int {
	switch {
	case p.position < at:
		return -1
	case p.position > at:
		return 1
	}
	return 0
}

// load makes the block that holds p: from p on, or backward up to p.
func (l *list) load(p event.Position, backward bool) error {
	if p > l.v.indexed {
		l.block, l.lo, l.hi = l.v.tail(l.key), l.v.indexed+1, l.v.head
		return nil
	}
	s := l.v.segments[segmentAt(l.v.segments, p)]
	at, found, err := l.v.c.rowAt(s.n, l.key, p)
	if err != nil {
		return err
	}
	last := true
	l.block = nil
	if found {
		if l.block, last, err = findList(at.bytes, l.key.term); err != nil {
			return err
		}
	}
	if backward {
		l.lo, l.hi = s.first, p
		if found && at.key.term == l.key.term {
			l.lo = at.first
		}
		return nil
	}
	return l.settleForward(s, p, last)
}

// settleForward says how far a block that begins at p reaches, and takes the next row where the list goes on there.
func (l *list) settleForward(s segment, p event.Position, last bool) error {
	l.lo, l.hi = p, s.last
	if !last {
		return nil // a later term follows in the same row: the list ends here
	}
	if n := len(l.block); n > 0 && l.block[n-1].position >= p {
		l.hi = l.block[n-1].position
		return nil
	}
	next, found, err := l.v.c.rowAfter(s.n, l.key, p)
	if err != nil {
		return err
	}
	l.block = nil
	if !found || next.key.term != l.key.term {
		return nil
	}
	if l.block, last, err = findList(next.bytes, l.key.term); err != nil {
		return err
	}
	if last && len(l.block) > 0 {
		l.hi = l.block[len(l.block)-1].position
	}
	return nil
}

// The casts here and elsewhere keep SQLite (since 3.52) from planning a statement anew when certain values are bound,
// which costs more than running it.

// rowAt is the last row of a segment that begins at or before the posting (key, p).
func (c *conn) rowAt(segment int64, key listKey, p event.Position) (chunk, bool, error) {
	return c.runRow(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND space = CAST(? AS INTEGER)
		AND (term, first) <= (CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY term DESC, first DESC LIMIT 1`,
		segment, key, p)
}

// rowAfter is the first row of a segment that begins after the posting (key, p).
func (c *conn) rowAfter(segment int64, key listKey, p event.Position) (chunk, bool, error) {
	return c.runRow(`SELECT space, term, first, postings FROM run
		WHERE segment = CAST(? AS INTEGER) AND space = CAST(? AS INTEGER)
		AND (term, first) > (CAST(? AS INTEGER), CAST(? AS INTEGER)) ORDER BY term, first LIMIT 1`,
		segment, key, p)
}

func (c *conn) runRow(text string, segment int64, key listKey, p event.Position) (chunk, bool, error) {
	var out chunk
	s, err := c.stmt(text)
	if err != nil {
		return out, false, err
	}
	s.BindInt64(1, segment)
	s.BindInt64(2, int64(key.space))
	s.BindInt64(3, key.term)
	s.BindInt64(4, int64(p))
	found, err := s.Step()
	if err == nil && found {
		out = chunk{
			key:   listKey{space(s.ColumnInt64(0)), s.ColumnInt64(1)},
			first: event.Position(s.ColumnInt64(2)), bytes: row{s}.bytes(3),
		}
	}
	if reset := s.Reset(); err == nil {
		err = reset
	}
	return out, found, classify(err)
}

// finder finds, in one direction, the next position at which something may match.
type finder interface {
	// next is the first candidate at or beyond p, in the direction of the finder.
	next(p event.Position) (event.Position, bool, error)
}

// anyOf is the nearest candidate of any part.
type anyOf struct {
	parts    []finder
	backward bool
}

func (f *anyOf) next(p event.Position) (nearest event.Position, found bool, err error) {
	for _, part := range f.parts {
		c, ok, err := part.next(p)
		if err != nil {
			return 0, false, err
		}
		if ok && (!found || beyond(nearest, c, f.backward)) {
			nearest, found = c, true
		}
	}
	return nearest, found, nil
}

// allOf is the nearest candidate that every part has.
type allOf struct {
	parts    []finder
	backward bool
}

func (f *allOf) next(p event.Position) (event.Position, bool, error) {
	for agreed := 0; ; {
		for _, part := range f.parts {
			c, ok, err := part.next(p)
			if err != nil || !ok {
				return 0, false, err
			}
			if c != p {
				p, agreed = c, 0
			}
			if agreed++; agreed >= len(f.parts) {
				return p, true, nil
			}
		}
	}
}

// beyond reports whether a lies further in the direction than b.
func beyond(a, b event.Position, backward bool) bool {
	if backward {
		return a < b
	}
	return a > b
}

// listFinder makes a finder of a list.
type listFinder struct {
	list     *list
	backward bool
}

func (f *listFinder) next(p event.Position) (event.Position, bool, error) {
	find := f.list.atOrAfter
	if f.backward {
		find = f.list.atOrBefore
	}
	hit, ok, err := find(p)
	return hit.position, ok, err
}
