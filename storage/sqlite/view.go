package sqlite

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// view is one consistent state of the log: a position, and the index as of it, seen through one connection.
type view struct {
	postings.View
	c     *sqlink.Conn
	names *names // may know more than the view, never less
}

// streamKey names the list of a stream's events.
func streamKey(stream int64) postings.Key {
	return postings.Key{Space: postings.StreamSpace, Term: stream}
}

// events is the list of a stream's events.
func (v *view) events(stream int64) *postings.List {
	return v.List(streamKey(stream), postings.AnyRole)
}

func (n *names) role(name string) int64 {
	if id, ok := n.id(name); ok {
		return id
	}
	return postings.NoRole
}

// reading is a view in a read transaction of its own.
type reading struct {
	view
	stream     map[event.StreamID]int64
	lastStream int64 // streams with a higher number are newer than the view
}

// read runs do on a consistent view that knows the tails of keys and the numbers of streams.
func (s *Store) read(ctx context.Context, keys []postings.Key, streams []event.StreamID,
	do func(*reading) error,
) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	c, err := s.readers.Take(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers.Give(c, !c.AutocommitEnabled()) }()
	r, err := s.begin(c, keys, streams)
	if err == nil {
		err = do(r)
	}
	if !c.AutocommitEnabled() {
		if end := c.Exec("COMMIT"); err == nil {
			err = end
		}
	}
	return err
}

// begin takes the file's snapshot and the index's view under one lock, so that no commit lies between them but one
// that is durable and not yet published; that one neither changes nor deletes what the view knows.
func (s *Store) begin(c *sqlink.Conn, keys []postings.Key, streams []event.StreamID) (*reading, error) {
	s.head.mu.RLock()
	defer s.head.mu.RUnlock()
	switch {
	case s.head.closed:
		return nil, sqlink.ErrClosed()
	case s.head.rebuilding:
		return nil, errRebuilding()
	}
	if err := c.Exec("BEGIN"); err != nil {
		return nil, err
	}
	if err := c.Exec("SELECT position FROM head"); err != nil {
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
		keys = append(keys, streamKey(entry.id))
	}
	tails := make(postings.Tail, len(keys))
	for _, key := range keys {
		tails[key] = s.index.tail[key]
	}
	r.view = view{
		c: c, names: s.names, View: postings.View{
			Rows: sqlink.IndexRows{Conn: c}, Head: s.head.head.Position, Indexed: s.index.indexed, Segments: s.index.segments,
			Tail: tails.List,
		},
	}
	return r, nil
}

// finder makes the finder of a plan that needs no scan.
func (r *reading) finder(p postings.Plan, backward bool) postings.Finder {
	stream := func(name event.StreamID) postings.Finder { return r.events(r.stream[name]).Finder(backward) }
	return p.Finder(&r.View, postings.Names{Role: r.names.role, Stream: stream}, backward)
}
