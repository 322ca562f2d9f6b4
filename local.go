package lethe

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// local is the backend in this process.
type local struct {
	engine storage.Store
	log    *log.Log
}

func (l *local) Append(ctx context.Context, req log.Request) (log.Result, error) {
	return l.log.Append(ctx, &req)
}

func (l *local) AppendEach(ctx context.Context, requests []log.Request) []log.Outcome {
	return l.log.AppendEach(ctx, requests)
}

func (l *local) Page(ctx context.Context, q PageQuery) (Page, error) {
	found, err := l.log.Page(ctx, q.Query)
	if err != nil {
		return Page{}, err
	}
	return decode(&found, q.Pruned)
}

func decode(found *storage.Page, pruned bool) (Page, error) {
	page := Page{Scanned: found.Scanned, Done: found.Done, Head: found.Head}
	page.Events = make([]event.Event, 0, len(found.Records))
	for i := range found.Records {
		if found.Records[i].Body == nil && !pruned {
			continue
		}
		e, err := found.Records[i].Event()
		if err != nil {
			return Page{}, err
		}
		page.Events = append(page.Events, e)
	}
	return page, nil
}

func (l *local) Event(ctx context.Context, id event.ID) (event.Event, error) {
	page, err := l.log.Page(ctx, storage.Query{ID: id, Limit: 1})
	if err != nil {
		return event.Event{}, fmt.Errorf("find event %s: %w", id, err)
	}
	if len(page.Records) == 0 {
		return event.Event{}, event.Errorf(event.ErrNotFound, "find event %s: no such event", id)
	}
	return page.Records[0].Event()
}

// Batches walks the log up to its head, waits for more, and goes on.
func (l *local) Batches(ctx context.Context, f event.Filter, after event.Cursor) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		position, err := l.log.Resume(ctx, after)
		for err == nil {
			var ok bool
			if position, ok, err = l.catchUp(ctx, f, position, yield); !ok {
				return
			}
			if err == nil {
				err = l.log.Wait(ctx, position)
			}
		}
		yield(Batch{}, fmt.Errorf("subscribe: %w", err))
	}
}

// catchUp gives everything up to the head, as of which it returns; ok is false when the caller has left.
func (l *local) catchUp(ctx context.Context, f event.Filter, position event.Position,
	yield func(Batch, error) bool,
) (event.Position, bool, error) {
	q := PageQuery{Query: storage.Query{Filter: f, From: uint64(position) + 1}}
	for page, err := range pages(ctx, l, q) {
		if err != nil {
			return position, true, err
		}
		position = max(position, event.Position(page.Scanned))
		if !yield(Batch{Events: page.Events, Live: page.Done, Cursor: l.log.Cursor(position)}, nil) {
			return position, false, nil
		}
	}
	return position, true, nil
}

// Head leaves the store's secret out: keys are derived from it, and heads are printed.
func (l *local) Head(ctx context.Context) (storage.Head, error) {
	head, err := l.log.Head(ctx)
	head.Secret = [32]byte{}
	return head, err
}

func (l *local) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	return l.log.Streams(ctx, q)
}

func (l *local) MaxAges(ctx context.Context) (map[string]time.Duration, error) {
	return l.log.MaxAges(ctx)
}

func (l *local) CloseStream(ctx context.Context, actor event.Actor, stream event.StreamID) error {
	return l.log.Close(ctx, actor, stream)
}

func (l *local) TruncateStream(ctx context.Context, actor event.Actor, s event.StreamID, before event.Version) error {
	return l.log.Truncate(ctx, actor, s, before)
}

func (l *local) SetMaxAge(ctx context.Context, actor event.Actor, kind string, age time.Duration) error {
	return l.log.SetMaxAge(ctx, actor, kind, age)
}

func (l *local) Expire(ctx context.Context, actor event.Actor) (int, error) {
	return l.log.Expire(ctx, actor)
}

func (l *local) Cursors() storage.Cursors { return l.engine }

func (l *local) ImportKey(context.Context) ([32]byte, error) {
	return storage.ImportKey(l.log.Identity().Secret), nil
}

func (l *local) Sizes(ctx context.Context) ([]storage.Size, error) { return l.engine.Sizes(ctx) }

func (l *local) Verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, error) {
	return log.Verify(ctx, l.engine, progress)
}

func (l *local) Close() error { return l.engine.Close() }
