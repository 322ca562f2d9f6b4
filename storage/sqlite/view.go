package sqlite

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
)

// plan is a filter translated into the lists that answer it. An empty plan means that only a scan can.
type plan struct {
	matches []matchPlan
	keys    []listKey // of all lists
}

type matchPlan struct {
	groups [][]planned
	stream event.StreamID // a list whose number is only known within the view; zero: none
}

type planned struct {
	key  listKey
	role string // its number is only looked up within the view: it may be given out meanwhile
}

// plan translates a filter. scan reports that some alternative is not narrowed by any list.
func (s *Store) plan(f event.Filter) (p plan, scan bool, err error) {
	for i := range f {
		groups, err := s.index.terms.Plan(&f[i])
		if err != nil {
			return plan{}, false, err
		}
		m := matchPlan{stream: f[i].Stream}
		for _, group := range groups {
			var g []planned
			for _, t := range group {
				key := listKey{termSpace, int64(t.Hash)}
				g = append(g, planned{key, t.Role})
				p.keys = append(p.keys, key)
			}
			m.groups = append(m.groups, g)
		}
		scan = scan || len(m.groups) == 0 && m.stream.IsZero()
		p.matches = append(p.matches, m)
	}
	return p, scan || len(f) == 0, nil
}

func (n *names) role(name string) int64 {
	if name == "" {
		return anyRole
	}
	if id, ok := n.id(name); ok {
		return id
	}
	return noRole
}

// reading is a view in a read transaction of its own.
type reading struct {
	view
	stream     map[event.StreamID]int64
	lastStream int64 // streams with a higher number are newer than the view
}

// read runs do on a consistent view that knows the tails of keys and the numbers of streams.
func (s *Store) read(ctx context.Context, keys []listKey, streams []event.StreamID, do func(*reading) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	c, err := s.readers.take(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers.give(c, !c.AutocommitEnabled()) }()
	r, err := s.begin(c, keys, streams)
	if err == nil {
		err = do(r)
	}
	if !c.AutocommitEnabled() {
		if end := c.exec("COMMIT"); err == nil {
			err = end
		}
	}
	return err
}

// begin takes the file's snapshot and the index's view under one lock, so that no commit lies between them but one
// that is durable and not yet published; that one neither changes nor deletes what the view knows.
func (s *Store) begin(c *conn, keys []listKey, streams []event.StreamID) (*reading, error) {
	s.head.mu.RLock()
	defer s.head.mu.RUnlock()
	switch {
	case s.head.closed:
		return nil, errClosed()
	case s.head.rebuilding:
		return nil, errRebuilding()
	}
	if err := c.exec("BEGIN"); err != nil {
		return nil, err
	}
	if err := c.exec("SELECT position FROM head"); err != nil {
		return nil, err
	}
	r := &reading{stream: make(map[event.StreamID]int64, len(streams)), lastStream: s.names.lastStream}
	for _, name := range streams {
		if name.IsZero() {
			continue
		}
		entry, err := streamRow(c, name)
		if err != nil {
			return nil, err
		}
		r.stream[name] = entry.id
		keys = append(keys, listKey{streamSpace, entry.id})
	}
	tails := make(map[listKey][]posting, len(keys))
	for _, key := range keys {
		tails[key] = s.index.tail[key]
	}
	r.view = view{
		c: c, names: s.names, head: s.head.head.Position, indexed: s.index.indexed, segments: s.index.segments,
		tail: func(key listKey) []posting { return tails[key] },
	}
	return r, nil
}

// finder makes the finder of a plan that needs no scan.
func (v *view) finder(p plan, numbers map[event.StreamID]int64, backward bool) finder {
	any := &anyOf{backward: backward}
	for _, m := range p.matches {
		all := &allOf{backward: backward}
		if !m.stream.IsZero() {
			l := v.list(listKey{streamSpace, numbers[m.stream]}, anyRole)
			all.parts = append(all.parts, &listFinder{l, backward})
		}
		for _, group := range m.groups {
			alternatives := &anyOf{backward: backward}
			for _, t := range group {
				alternatives.parts = append(alternatives.parts, &listFinder{v.list(t.key, v.names.role(t.role)), backward})
			}
			all.parts = append(all.parts, alternatives)
		}
		any.parts = append(any.parts, all)
	}
	return any
}

func (p plan) streams() []event.StreamID {
	var names []event.StreamID
	for _, m := range p.matches {
		names = append(names, m.stream)
	}
	return names
}
