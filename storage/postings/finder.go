package postings

import "github.com/lethe-es/lethe/event"

// Finder finds, in one direction, the next position at which something may match.
type Finder interface {
	// Next is the first candidate at or beyond p, in the direction of the finder. From call to call p never goes back.
	Next(p event.Position) (event.Position, bool, error)
}

// anyOf is the nearest candidate of any part.
type anyOf struct {
	parts    []Finder
	backward bool
	ahead    []ahead // what parts answered last
}

// ahead is the candidate of a part that was not reached yet. Parts are asked again only beyond it: one with few
// candidates, or none, would search all the rest of the log for each that another part has.
type ahead struct {
	at           event.Position
	asked, ended bool
}

func (f *anyOf) Next(p event.Position) (nearest event.Position, found bool, err error) {
	if f.ahead == nil {
		f.ahead = make([]ahead, len(f.parts))
	}
	for i, part := range f.parts {
		a := &f.ahead[i]
		if !a.asked || !a.ended && Beyond(p, a.at, f.backward) {
			c, ok, err := part.Next(p)
			if err != nil {
				return 0, false, err
			}
			*a = ahead{c, true, !ok}
		}
		if !a.ended && (!found || Beyond(nearest, a.at, f.backward)) {
			nearest, found = a.at, true
		}
	}
	return nearest, found, nil
}

// allOf is the nearest candidate that every part has.
type allOf struct {
	parts    []Finder
	backward bool
}

func (f *allOf) Next(p event.Position) (event.Position, bool, error) {
	for agreed := 0; ; {
		for _, part := range f.parts {
			c, ok, err := part.Next(p)
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

// Beyond reports whether a lies further in the direction than b.
func Beyond(a, b event.Position, backward bool) bool {
	if backward {
		return a < b
	}
	return a > b
}

// Finder walks the list in one direction.
func (l *List) Finder(backward bool) Finder { return &listFinder{l, backward} }

type listFinder struct {
	list     *List
	backward bool
}

func (f *listFinder) Next(p event.Position) (event.Position, bool, error) {
	find := f.list.AtOrAfter
	if f.backward {
		find = f.list.AtOrBefore
	}
	hit, ok, err := find(p)
	return hit.Position, ok, err
}
