package postings

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Plan is a filter translated into the lists that answer it.
type Plan struct {
	Keys    []Key            // of all lists of terms
	Streams []event.StreamID // whose events are asked for by name
	matches []matchPlan
}

type matchPlan struct {
	groups [][]planned
	stream event.StreamID // zero: of any stream
}

type planned struct {
	key  Key
	role string
}

// NewPlan translates a filter. scan reports that some alternative is not narrowed by any list, so that every event
// must be looked at. Errors are those of storage.Terms.Plan.
func NewPlan(terms *storage.Terms, f event.Filter) (p Plan, scan bool, err error) {
	for i := range f {
		groups, err := terms.Plan(&f[i])
		if err != nil {
			return Plan{}, false, err
		}
		m := matchPlan{stream: f[i].Stream}
		for _, group := range groups {
			var g []planned
			for _, t := range group {
				key := Key{TermSpace, int64(t.Hash)}
				g = append(g, planned{key, t.Role})
				p.Keys = append(p.Keys, key)
			}
			m.groups = append(m.groups, g)
		}
		if !m.stream.IsZero() {
			p.Streams = append(p.Streams, m.stream)
		}
		scan = scan || len(m.groups) == 0 && m.stream.IsZero()
		p.matches = append(p.matches, m)
	}
	return p, scan || len(f) == 0, nil
}

// Names tells what an engine calls by numbers, as of a view.
type Names struct {
	Role   func(name string) int64          // NoRole: no event ever had it
	Stream func(name event.StreamID) Finder // of the stream's events
}

// Finder finds what a plan that needs no scan finds.
func (p Plan) Finder(v *View, n Names, backward bool) Finder {
	any := &anyOf{backward: backward}
	for _, m := range p.matches {
		all := &allOf{backward: backward}
		if !m.stream.IsZero() {
			all.parts = append(all.parts, n.Stream(m.stream))
		}
		for _, group := range m.groups {
			alternatives := &anyOf{backward: backward}
			for _, t := range group {
				role := int64(AnyRole)
				if t.role != "" {
					role = n.Role(t.role)
				}
				alternatives.parts = append(alternatives.parts, v.List(t.key, role).Finder(backward))
			}
			all.parts = append(all.parts, alternatives)
		}
		any.parts = append(any.parts, all)
	}
	return any
}
