// Package bench measures a store: how fast it takes events in and gives them out, how long one waits for it, and how
// many bytes an event takes.
//
//	b := &bench.Bench{Open: open, Folder: dir, Clock: event.SystemClock{}}
//	result, err := b.Append(ctx, bench.Options{Clients: 64, Batch: 1, Duration: 5 * time.Second})
//
// What it appends lies in streams of kind lethe-bench; a store that holds events of any other kind is left alone,
// unless Bench.IntoExisting says otherwise. The end of a context ends a measurement early and is no error: the result
// holds what was measured until then, and says so. docs/benchmarks.md says what each figure means.
package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/storage"
)

// Kind is the kind of the streams that hold what a bench appends.
const Kind = "lethe-bench"

// Bench measures the store that Open opens. One measurement at a time.
type Bench struct {
	Open         func(ctx context.Context) (storage.Store, error) // the engine; growth opens it anew for each row
	Folder       string                                           // of the store and of raw writes; empty: elsewhere
	OpenKeys     func(ctx context.Context) (*Keys, error)         // for personal data; nil: there are none
	Dial         func(ctx context.Context) (*lethe.Store, error)  // instead of both: a store over the network
	Clock        event.Clock                                      // of the store and of the measurement
	IntoExisting bool                                             // append also where others have appended
	Progress     func(Progress)                                   // called now and then, one call at a time; may be nil
}

// Keys are what a store needs that holds personal data. The store closes the keystore.
type Keys struct {
	Service   kms.KMS
	Keystore  storage.Keystore
	Notations []schema.Notation // JSON Schema
}

// Progress is how far a measurement came.
type Progress struct {
	Phase   string // fill, append, read, …
	Events  uint64 // so far, in this phase
	Total   uint64 // events at which the phase ends; 0: it ends by time
	Elapsed time.Duration
}

// Options of a measurement. Zero means the default, but for Relations and Payload.
type Options struct {
	Clients   int           // goroutines at once; 0: 1
	Batch     int           // events per append, of stream: per stream; 0: 1, of stream: 100
	Duration  time.Duration // it ends then; 0: 5 s
	Events    int           // append: it ends then; the others: what they fill an empty store with; 0: 200,000
	Payload   int           // bytes of data in each event: 0, or from MinPayload on
	Relations int           // of each event, at most MaxRelations
	Streams   int           // over which the events are spread; 0: 10,000
	Rate      int           // follow: appends per second while it lags live; 0: 1,000
	Condition Condition     // append: what it depends on; "": Version
	Plain     bool          // follow: subscriptions that store no checkpoint, instead of followers

	Personal int     // append, read: personal values in each event, sealed; the store must be new
	Subjects int     // people whom they are about; 0: 1,000
	NewRatio float64 // append: share of events that are about somebody new
	Clear    bool    // append: the values are declared business facts, and not sealed
	Purpose  string  // read: opens what is sealed for it; Personal is then at least 2

	cast *cast // of Personal
}

// Condition is what an append depends on.
type Condition string

// The conditions of an append.
const (
	Version Condition = "version" // the exact version of its stream
	Query   Condition = "query"   // no event about its entity since the caller last appended anything
	None    Condition = "none"
)

// DefaultPayload and DefaultRelations make events of about 400 bytes in all.
const (
	DefaultPayload   = 160
	DefaultRelations = 4
)

func (o Options) defaults() Options {
	o.Clients, o.Batch, o.Streams = positive(o.Clients, 1), positive(o.Batch, 1), positive(o.Streams, 10_000)
	o.Rate, o.Duration = positive(o.Rate, 1000), positive(o.Duration, 5*time.Second)
	o.Subjects = positive(o.Subjects, 1000)
	if o.Purpose != "" {
		o.Personal = positive(o.Personal, 2)
	}
	if o.Condition == "" {
		o.Condition = Version
	}
	return o
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}

// check refuses what cannot be measured, before anything is opened.
func (o *Options) check(b *Bench) error {
	within := func(name string, n, low, high int) error {
		if n < low || n > high {
			return event.Invalid("malformed_option", "bench: --%s %d is not from %d to %d", name, n, low, high)
		}
		return nil
	}
	err := errors.Join(within("clients", o.Clients, 1, 10_000), within("batch", o.Batch, 1, 10_000),
		within("streams", o.Streams, 1, 100_000_000), within("relations", o.Relations, 0, MaxRelations),
		within("payload", o.Payload, 0, event.MaxDataBytes), within("rate", o.Rate, 1, 1_000_000),
		within("events", o.Events, 0, 1_000_000_000), within("personal", o.Personal, 0, MaxPersonal),
		within("subjects", o.Subjects, 1, 100_000_000))
	switch {
	case err != nil:
		return err
	case o.Payload > 0 && o.Payload < MinPayload:
		return event.Invalid("malformed_option", "bench: --payload %d is neither 0 nor at least %d", o.Payload, MinPayload)
	case o.Duration <= 0:
		return event.Invalid("malformed_option", "bench: --duration %s is not positive", o.Duration)
	case o.Condition != Version && o.Condition != Query && o.Condition != None:
		return event.Invalid("malformed_option", "bench: --condition is none of version, query, none")
	}
	return o.checkPersonal(b)
}

// target is an open store.
type target struct {
	*lethe.Store
	engine  *counted // nil: the store is elsewhere, and what only its engine knows is not measured
	session *lethe.Session
	start   event.Position // head when it was opened: names the streams of this run, which nobody has used before
}

func (b *Bench) open(ctx context.Context, o *Options) (*target, error) {
	t := new(target)
	var err error
	if b.Dial != nil {
		t.Store, err = b.Dial(ctx)
	} else {
		err = t.open(ctx, b, o)
	}
	if err != nil {
		return nil, err
	}
	head, err := t.Head(ctx)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.session, t.start = t.As(event.Actor{}), head.Position
	return t, nil
}

// open opens the store in this process, with keys where something is personal.
func (t *target) open(ctx context.Context, b *Bench, o *Options) error {
	engine, err := b.Open(ctx)
	if err != nil {
		return err
	}
	t.engine = &counted{Store: engine}
	options, service := &lethe.Options{Clock: b.Clock}, kms.None
	var keys *Keys
	if o.Personal > 0 {
		if keys, err = b.OpenKeys(ctx); err != nil {
			return errors.Join(err, engine.Close())
		}
		service, options.Keystore, options.Notations = keys.Service, keys.Keystore, keys.Notations
	}
	if t.Store, err = lethe.Open(ctx, t.engine, service, options); err != nil {
		if err = errors.Join(err, engine.Close()); keys != nil {
			err = errors.Join(err, keys.Keystore.Close())
		}
		return err
	}
	return nil
}

// with opens the store that o needs, hands it to do, and closes it.
func (b *Bench) with(ctx context.Context, o *Options, do func(t *target) error) error {
	t, err := b.open(ctx, o)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	err = do(t)
	if closing := t.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// mayAppend refuses a store in which anybody else has appended.
func (b *Bench) mayAppend(ctx context.Context, t *target) error {
	if b.IntoExisting {
		return nil
	}
	after := event.StreamID{}
	for {
		list, err := t.Streams(ctx, storage.StreamQuery{After: after, Limit: 1})
		switch {
		case err != nil:
			return err
		case len(list) == 0:
			return nil
		case list[0].Stream.Kind != Kind:
			return event.Invalid("foreign_store", "append: the store holds events that no bench made (stream %s)",
				list[0].Stream).Hint("leave --store away to measure a new store, or add --into-existing")
		}
		after = event.Stream(Kind, "~") // beyond every stream of the bench, and a name that may travel
	}
}

func (b *Bench) report(p Progress) {
	if b.Progress != nil {
		b.Progress(p)
	}
}

// commits is how many commits there were, as far as that is known.
func (t *target) commits() uint64 {
	if t.engine == nil {
		return 0
	}
	return t.engine.commits.Load()
}

// counted is an engine that counts what is committed to it.
type counted struct {
	storage.Store
	commits, events atomic.Uint64
}

// Turn is the engine's, if it has turns.
func (c *counted) Turn(ctx context.Context) (done func()) {
	if t, ok := c.Store.(storage.Turner); ok {
		return t.Turn(ctx)
	}
	return func() {}
}

// Commit counts a commit that succeeded, and its events.
func (c *counted) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	events := 0
	head, err := c.Store.Commit(ctx, p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		batch, err := decide(h, f)
		events = len(batch.Records)
		return batch, err
	})
	if err == nil {
		c.commits.Add(1)
		c.events.Add(uint64(events))
	}
	return head, err
}
