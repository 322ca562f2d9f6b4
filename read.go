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

// Read gives the events of a stream, in order of version. A stream without events is event.ErrNotFound.
func (s *Session) Read(ctx context.Context, stream event.StreamID, r Range) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		if err := stream.Validate(); err != nil {
			yield(event.Event{}, err)
			return
		}
		q := storage.Query{
			Stream: stream, From: uint64(r.From), To: uint64(r.To), Backward: r.Backward, Limit: r.Limit,
		}
		some := false
		s.events(ctx, q, r.Pruned, "read "+stream.String(), func(e event.Event, err error) bool {
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
	page, err := s.store.log.Page(ctx, storage.Query{Stream: stream, Limit: 1})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	if len(page.Records) == 0 {
		return event.Errorf(event.ErrNotFound, "read %s: no such stream", stream).Hint("list streams by kind")
	}
	return nil
}

// Query gives the events that match, in order of position.
func (s *Session) Query(ctx context.Context, q Query) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		if err := q.Filter.Validate(); err != nil {
			yield(event.Event{}, err)
			return
		}
		stored := storage.Query{
			Filter: q.Filter, From: uint64(q.From), To: uint64(q.To), Backward: q.Backward, Limit: q.Limit,
		}
		if !q.Since.IsZero() {
			stored.Since = event.Micros(q.Since)
		}
		if !q.Until.IsZero() {
			stored.Until = event.Micros(q.Until)
		}
		s.events(ctx, stored, q.Pruned, "query", yield)
	}
}

func (s *Session) events(ctx context.Context, q storage.Query, pruned bool, what string,
	yield func(event.Event, error) bool,
) {
	limit := q.Limit
	if !pruned {
		q.Limit = 0 // counted here: stubs are skipped
	}
	for page, err := range s.store.log.Pages(ctx, q) {
		if err != nil {
			yield(event.Event{}, fmt.Errorf("%s: %w", what, err))
			return
		}
		for i := range page.Records {
			if page.Records[i].Body == nil && !pruned {
				continue
			}
			e, err := page.Records[i].Event()
			if !yield(e, err) || err != nil {
				return
			}
			if limit--; limit == 0 {
				return
			}
		}
	}
}

// Event gives the event with an id; event.ErrNotFound when there is none.
func (s *Session) Event(ctx context.Context, id event.ID) (event.Event, error) {
	page, err := s.store.log.Page(ctx, storage.Query{ID: id, Limit: 1})
	if err != nil {
		return event.Event{}, fmt.Errorf("find event %s: %w", id, err)
	}
	if len(page.Records) == 0 {
		return event.Event{}, event.Errorf(event.ErrNotFound, "find event %s: no such event", id)
	}
	return page.Records[0].Event()
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
		err := f.Validate()
		position := event.Position(0)
		if err == nil {
			position, err = s.store.log.Resume(ctx, after)
		}
		for err == nil {
			var ok bool
			if position, ok, err = s.catchUp(ctx, f, position, yield); !ok {
				return
			}
			if err == nil {
				err = s.store.log.Wait(ctx, position)
			}
		}
		yield(Batch{}, fmt.Errorf("subscribe: %w", err))
	}
}

// catchUp gives everything up to the head, as of which it returns; ok is false when the caller has left.
func (s *Session) catchUp(ctx context.Context, f event.Filter, position event.Position,
	yield func(Batch, error) bool,
) (event.Position, bool, error) {
	for page, err := range s.store.log.Pages(ctx, storage.Query{Filter: f, From: uint64(position) + 1}) {
		if err != nil {
			return position, true, err
		}
		batch := Batch{Events: make([]event.Event, 0, len(page.Records)), Live: page.Done}
		for i := range page.Records {
			if page.Records[i].Body == nil {
				continue
			}
			e, err := page.Records[i].Event()
			if err != nil {
				return position, true, err
			}
			batch.Events = append(batch.Events, e)
		}
		position = max(position, event.Position(page.Scanned))
		batch.Cursor = s.store.log.Cursor(position)
		if !yield(batch, nil) {
			return position, false, nil
		}
	}
	return position, true, nil
}
