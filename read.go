package lethe

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Range is a part of a stream; the zero Range is all of it, forward.
type Range struct {
	From     event.Version // first version; 0: the start, or backward the end
	To       event.Version // last version; 0: the end, or backward the start
	Backward bool
	Limit    int  // most events; 0: no limit
	Pruned   bool // also give truncated events, of which only the header is left
}

// Query asks for events of the whole log; the zero Query is all of them, in order.
type Query struct {
	Filter   event.Filter
	From     event.Position // first position; 0: the start, or backward the end
	To       event.Position // last position; 0: the end, or backward the start
	Since    time.Time      // recorded at or after
	Until    time.Time      // recorded before
	Backward bool
	Limit    int  // most events; 0: no limit
	Pruned   bool // also give truncated events, of which only the header is left
}

// Batch is what a subscription has seen at once: the events that match, in order, and how far it looked.
type Batch struct {
	Events []event.Event
	Cursor event.Cursor // resume here
	Live   bool         // the subscription has caught up with the log
}

// Present is a session that reads events in the form that the present version of their type's schema gives them, by
// the upcasters of the versions between, which run where the store is open; see privacy.Privacy.Upcast.
func (s *Session) Present() *Session {
	copied := *s
	copied.present = true
	return &copied
}

// Read gives the events of a stream, in order of version. A stream without events is event.ErrNotFound.
func (s *Session) Read(ctx context.Context, stream event.StreamID, r Range) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		if err := stream.ValidateForm(); err != nil {
			yield(event.Event{}, err)
			return
		}
		q := PageQuery{Pruned: r.Pruned, Query: storage.Query{
			Stream: stream, From: uint64(r.From), To: uint64(r.To), Backward: r.Backward, Limit: r.Limit,
		}}
		some := false
		s.events(ctx, q, "read "+called(stream), func(e event.Event, err error) bool {
			some = true
			return yield(e, err)
		})
		if !some { // out of range, truncated, or no such stream
			if err := s.checkStream(ctx, stream); err != nil {
				yield(event.Event{}, err)
			}
		}
	}
}

func (s *Session) checkStream(ctx context.Context, stream event.StreamID) error {
	page, err := s.store.backend.Page(ctx, PageQuery{Query: storage.Query{Stream: stream, Limit: 1}, Pruned: true})
	if err != nil {
		return fmt.Errorf("read %s: %w", called(stream), err)
	}
	if len(page.Events) == 0 {
		return event.Errorf(event.ErrNotFound, "read %s: no such stream", called(stream)).Hint("list streams by kind")
	}
	return nil
}

// called is a stream as an error names it: without the direct identifier of a person.
func called(stream event.StreamID) string {
	if stream.Validate() != nil {
		return "stream of kind " + stream.Kind
	}
	return stream.String()
}

// Query gives the events that match, in order of position.
func (s *Session) Query(ctx context.Context, q Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		if err := q.Filter.Validate(); err != nil {
			yield(event.Event{}, err)
			return
		}
		stored := PageQuery{Pruned: q.Pruned, Query: storage.Query{
			Filter: q.Filter, From: uint64(q.From), To: uint64(q.To), Backward: q.Backward, Limit: q.Limit,
		}}
		if !q.Since.IsZero() {
			stored.Since = event.Micros(q.Since)
		}
		if !q.Until.IsZero() {
			stored.Until = event.Micros(q.Until)
		}
		s.events(ctx, stored, "query", yield)
	}
}

func (s *Session) events(ctx context.Context, q PageQuery, what string, yield func(event.Event, error) bool) {
	q.View = s.view()
	for page, err := range pages(ctx, s.store.backend, q) {
		if err != nil {
			yield(event.Event{}, fmt.Errorf("%s: %w", what, err))
			return
		}
		for i := range page.Events {
			if !yield(page.Events[i], nil) {
				return
			}
		}
	}
}

// Page is one page of a stream or of the whole log, for who walks by himself: over a connection, or from click to
// click. q.Limit must be set.
func (s *Session) Page(ctx context.Context, q PageQuery) (Page, error) {
	if err := q.Filter.Validate(); err != nil {
		return Page{}, err
	}
	if !q.Stream.IsZero() {
		if err := q.Stream.ValidateForm(); err != nil {
			return Page{}, err
		}
	}
	q.View = s.view()
	return s.store.backend.Page(ctx, q)
}

// Event gives the event with an id; event.ErrNotFound when there is none.
func (s *Session) Event(ctx context.Context, id event.ID) (event.Event, error) {
	return s.store.backend.Event(ctx, id, s.view())
}

// Subscribe gives every event that matches, once and in order: first those after the cursor, then live ones as they
// are appended, until ctx ends or the loop is left. Resume with Store.Cursor of the last event's position.
// A cursor from beyond a fork of the log is event.ErrForked.
func (s *Session) Subscribe(ctx context.Context, f event.Filter, after event.Cursor) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		for batch, err := range s.Batches(ctx, f, after) {
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			for i := range batch.Events {
				if !yield(batch.Events[i], nil) {
					return
				}
			}
		}
	}
}

// Batches is Subscribe by batches, which also tell how far it looked where nothing matched. The first batch that is
// Live may be empty: it says that the past is done.
func (s *Session) Batches(ctx context.Context, f event.Filter, after event.Cursor) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		if err := f.Validate(); err != nil {
			yield(Batch{}, fmt.Errorf("subscribe: %w", err))
			return
		}
		for batch, err := range s.store.backend.Batches(ctx, BatchQuery{f, after, s.view()}) {
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}
