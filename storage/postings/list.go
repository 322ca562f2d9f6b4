package postings

import (
	"slices"

	"github.com/lethe-es/lethe/event"
)

// View is one consistent state of the index.
type View struct {
	Rows     Rows
	Head     event.Position // postings beyond it are not of this view
	Indexed  event.Position // covered by Segments
	Segments []Segment
	Tail     func(Key) []Posting
}

// List walks one posting list of a view, in either direction, a row of the index at a time.
type List struct {
	v    *View
	key  Key
	role int64 // only postings of this role; AnyRole: all

	block  []Posting      // everything the list has in positions lo to hi, and maybe more around
	lo, hi event.Position // lo > hi: nothing is loaded
}

// List is the list of a key, of which only postings of a role are taken; AnyRole: all.
func (v *View) List(key Key, role int64) *List { return &List{v: v, key: key, role: role, lo: 1} }

// AtOrAfter is the first posting at or after p.
func (l *List) AtOrAfter(p event.Position) (Posting, bool, error) {
	for p = max(p, 1); p <= l.v.Head; p = l.hi + 1 {
		if p < l.lo || p > l.hi {
			if err := l.load(p, false); err != nil {
				return Posting{}, false, err
			}
		}
		i, _ := slices.BinarySearchFunc(l.block, p, byPosition)
		for ; i < len(l.block) && l.block[i].Position <= l.hi; i++ {
			if l.role == AnyRole || l.block[i].Aux == l.role {
				return l.block[i], true, nil
			}
		}
	}
	return Posting{}, false, nil
}

// AtOrBefore is the last posting at or before p.
func (l *List) AtOrBefore(p event.Position) (Posting, bool, error) {
	for p = min(p, l.v.Head); p >= 1; p = l.lo - 1 {
		if p < l.lo || p > l.hi {
			if err := l.load(p, true); err != nil {
				return Posting{}, false, err
			}
		}
		i, _ := slices.BinarySearchFunc(l.block, p+1, byPosition)
		for i--; i >= 0 && l.block[i].Position >= l.lo; i-- {
			if l.role == AnyRole || l.block[i].Aux == l.role {
				return l.block[i], true, nil
			}
		}
	}
	return Posting{}, false, nil
}

func byPosition(p Posting, at event.Position) int {
	switch {
	case p.Position < at:
		return -1
	case p.Position > at:
		return 1
	}
	return 0
}

// load makes the block that holds p: from p on, or backward up to p.
func (l *List) load(p event.Position, backward bool) error {
	if p > l.v.Indexed {
		l.block, l.lo, l.hi = l.v.Tail(l.key), l.v.Indexed+1, l.v.Head
		return nil
	}
	s := l.v.Segments[segmentAt(l.v.Segments, p)]
	at, found, err := l.v.Rows.At(s.N, l.key, p)
	if err != nil {
		return err
	}
	last := true
	l.block = nil
	if found {
		if l.block, last, err = findList(at.Bytes, l.key.Term); err != nil {
			return err
		}
	}
	if backward {
		l.lo, l.hi = s.First, p
		if found && at.Key == l.key {
			l.lo = at.First
		}
		return nil
	}
	return l.settleForward(s, p, last)
}

// settleForward says how far a block that begins at p reaches, and takes the next row where the list goes on there.
func (l *List) settleForward(s Segment, p event.Position, last bool) error {
	l.lo, l.hi = p, s.Last
	if !last {
		return nil // a later term follows in the same row: the list ends here
	}
	if n := len(l.block); n > 0 && l.block[n-1].Position >= p {
		l.hi = l.block[n-1].Position
		return nil
	}
	next, found, err := l.v.Rows.After(s.N, l.key, p)
	if err != nil {
		return err
	}
	l.block = nil
	if !found || next.Key != l.key {
		return nil
	}
	if l.block, last, err = findList(next.Bytes, l.key.Term); err != nil {
		return err
	}
	if last && len(l.block) > 0 {
		l.hi = l.block[len(l.block)-1].Position
	}
	return nil
}

// PositionOf finds where an aux lies in a list in which it ascends by one, walking the list's blocks from the nearer
// end. last is the last posting.
func (l *List) PositionOf(aux int64, last Posting) (event.Position, error) {
	if aux == last.Aux {
		return last.Position, nil
	}
	backward := last.Aux-aux < aux
	at := event.Position(1)
	find := l.AtOrAfter
	if backward {
		at, find = last.Position, l.AtOrBefore
	}
	for {
		p, ok, err := find(at)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, event.Errorf(event.ErrCorrupt, "read index: version %d is missing from a stream's list", aux).
				Hint(reindex)
		}
		i, hit := slices.BinarySearchFunc(l.block, aux, func(p Posting, v int64) int { return int(p.Aux - v) })
		if hit {
			return l.block[i].Position, nil
		}
		if p.Aux == aux {
			return p.Position, nil
		}
		at = l.hi + 1
		if backward {
			at = l.lo - 1
		}
	}
}
