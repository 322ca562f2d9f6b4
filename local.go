package lethe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/storage"
)

// local is the backend in this process.
type local struct {
	engine   storage.Store
	log      *log.Log
	privacy  *privacy.Privacy
	keeper   *keyring.Keeper // nil: the store holds no personal data
	keystore storage.Keystore
}

// openPrivacy opens the room between words and storage.
func (l *local) openPrivacy(ctx context.Context, keys kms.KMS, o *Options) (err error) {
	var uses storage.Uses
	if o.Keystore != nil {
		uses = o.Keystore
		ring := keyring.Options{Store: l.log.Identity().Store, Clock: l.log.Clock(), Rand: o.Rand}
		if ring.Rand == nil {
			ring.Rand = rand.Reader
		}
		if l.keeper, err = keyring.Open(ctx, o.Keystore, keys, ring); err != nil {
			return err
		}
	}
	l.privacy, err = privacy.New(ctx, l.log, l.keeper, uses,
		privacy.Options{Clock: o.Clock, Rand: o.Rand, Notations: o.Notations, Languages: o.Languages})
	return err
}

// sealTries bounds how often an append is sealed again because what may be held of persons changed meanwhile.
const sealTries = 20

func (l *local) Append(ctx context.Context, req log.Request) (log.Result, error) {
	for try := 0; ; try++ {
		out, errs := l.privacy.Seal(ctx, []log.Request{req})
		result, err := log.Result{}, errs[0]
		if err == nil {
			result, err = l.log.Append(ctx, &out[0])
		}
		fenced := errors.Is(err, log.ErrFenced)
		if !fenced && !errors.Is(err, event.ErrInvalid) || try == sealTries {
			return result, err
		}
		fence, failed := l.privacy.Refresh(ctx)
		switch {
		case failed != nil:
			return log.Result{}, fmt.Errorf("append: %w", failed)
		case !fenced && fence == out[0].Sealing.Fence: // it is wrong by what holds now
			return result, err
		}
	}
}

func (l *local) AppendEach(ctx context.Context, requests []log.Request) []log.Outcome {
	outcomes := make([]log.Outcome, len(requests))
	todo := make([]int, len(requests))
	for i := range todo {
		todo[i] = i
	}
	for try := 0; len(todo) > 0 && try <= sealTries; try++ {
		// The first time, too: a request that is refused by what holds no more cannot be tried again behind the others.
		if _, err := l.privacy.Refresh(ctx); err != nil {
			for _, i := range todo {
				outcomes[i].Err = fmt.Errorf("append: %w", err)
			}
			break
		}
		todo = l.appendSome(ctx, requests, todo, outcomes)
	}
	return outcomes
}

// appendSome appends the requests in todo, and returns those that are to be sealed again: the first that was fenced,
// and all that follow it, so that the order stays.
func (l *local) appendSome(ctx context.Context, requests []log.Request, todo []int, outcomes []log.Outcome) []int {
	some := make([]log.Request, len(todo))
	for n, i := range todo {
		some[n] = requests[i]
	}
	out, errs := l.privacy.Seal(ctx, some)
	ready, index := out[:0], todo[:0:0]
	for n, i := range todo {
		if errs[n] != nil {
			outcomes[i] = log.Outcome{Err: errs[n]}
			continue
		}
		ready, index = append(ready, out[n]), append(index, i)
	}
	var again []int
	for n, outcome := range l.log.AppendEach(ctx, ready) {
		outcomes[index[n]] = outcome
		if errors.Is(outcome.Err, log.ErrFenced) {
			again = append(again, index[n])
		}
	}
	return again
}

func (l *local) Page(ctx context.Context, q PageQuery) (Page, error) {
	a, err := l.ahead(ctx, q)
	if err != nil {
		return Page{}, err
	}
	return a.asked(ctx, &q.View)
}

// ahead is a page with nothing opened.
func (l *local) ahead(ctx context.Context, q PageQuery) (ahead, error) {
	found, err := l.records(ctx, q.Query)
	if err != nil {
		return ahead{}, err
	}
	if !q.Pruned {
		found.Records = slices.DeleteFunc(found.Records, func(r storage.Record) bool { return r.Body == nil })
	}
	reading, err := l.privacy.Decode(found.Records)
	if err != nil {
		return ahead{}, err
	}
	return ahead{Page{Scanned: found.Scanned, Done: found.Done, Head: found.Head}, reading, l}, nil
}

// records is a page of a query whose references to persons are aliases. Another process may have declared a kind a
// person that this one takes for an open one: where nothing is found of an entity, it asks the head what holds now.
func (l *local) records(ctx context.Context, q storage.Query) (storage.Page, error) {
	for {
		query, fence, err := l.privacy.Query(ctx, q)
		if err != nil {
			return storage.Page{}, err
		}
		found, err := l.log.Page(ctx, query)
		if err != nil || len(found.Records) > 0 || q.Stream.IsZero() && !q.Filter.NamesEntities() {
			return found, err
		}
		if now, err := l.privacy.Refresh(ctx); err != nil || now == fence {
			return found, err
		}
	}
}

func (l *local) Event(ctx context.Context, id event.ID, v View) (event.Event, error) {
	page, err := l.log.Page(ctx, storage.Query{ID: id, Limit: 1})
	if err != nil {
		return event.Event{}, fmt.Errorf("find event %s: %w", id, err)
	}
	if len(page.Records) == 0 {
		return event.Event{}, event.Errorf(event.ErrNotFound, "find event %s: no such event", id)
	}
	events, err := l.privacy.Open(ctx, v.Opening, page.Records)
	if err == nil {
		events, err = l.raise(ctx, v, events)
	}
	if err != nil {
		return event.Event{}, err
	}
	return events[0], nil
}

// raise brings events to the form that a view asks for.
func (l *local) raise(ctx context.Context, v View, events []event.Event) ([]event.Event, error) {
	if !v.Present || len(events) == 0 {
		return events, nil
	}
	return l.privacy.Upcast(ctx, events)
}

// Batches walks the log up to its head, waits for more, and goes on.
func (l *local) Batches(ctx context.Context, q BatchQuery) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		position, err := l.log.Resume(ctx, q.After)
		for err == nil {
			var ok bool
			if position, ok, err = l.catchUp(ctx, &q, position, yield); !ok {
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
func (l *local) catchUp(ctx context.Context, sub *BatchQuery, position event.Position,
	yield func(Batch, error) bool,
) (event.Position, bool, error) {
	q := PageQuery{Query: storage.Query{Filter: sub.Filter, From: uint64(position) + 1}, View: sub.View}
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
	actor, stream, err := l.privacy.Alias(ctx, actor, stream)
	if err != nil {
		return fmt.Errorf("close stream: %w", err)
	}
	return l.log.Close(ctx, actor, stream)
}

func (l *local) TruncateStream(ctx context.Context, actor event.Actor, s event.StreamID, before event.Version) error {
	actor, s, err := l.privacy.Alias(ctx, actor, s)
	if err != nil {
		return fmt.Errorf("truncate stream: %w", err)
	}
	return l.log.Truncate(ctx, actor, s, before)
}

func (l *local) SetMaxAge(ctx context.Context, actor event.Actor, kind string, age time.Duration) error {
	actor, _, err := l.privacy.Alias(ctx, actor, event.StreamID{})
	if err != nil {
		return fmt.Errorf("set max age: %w", err)
	}
	return l.log.SetMaxAge(ctx, actor, kind, age)
}

func (l *local) Expire(ctx context.Context, actor event.Actor) (int, error) {
	actor, _, err := l.privacy.Alias(ctx, actor, event.StreamID{})
	if err != nil {
		return 0, fmt.Errorf("expire: %w", err)
	}
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

func (l *local) Close() error {
	err := l.engine.Close()
	if l.keeper != nil {
		l.keeper.Close()
		err = errors.Join(err, l.keystore.Close())
	}
	return err
}
