// Package log turns a storage engine into one append-only, totally ordered, verifiable log: one sequencer gives
// positions and versions, decides expectations and conditions as of the locked head, and writes each event's leaf
// into a Merkle tree in the event's own transaction.
//
//	l, err := log.Open(ctx, engine, log.Options{})
//	res, err := l.Append(ctx, &log.Request{Writes: []log.Write{{
//		Stream: event.Stream("application", "1"), Expected: event.None, Events: drafts}}})
//
// An append that returned without error is durable, and every later read sees it. Appends of many callers are
// committed together; each keeps its own result.
package log

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Options of a log; the zero value is ready to use.
type Options struct {
	Clock event.Clock // nil: the machine's
	Rand  io.Reader   // nil: crypto/rand
	Batch int         // most events in one commit; 0: 4096
}

// Log is one log. Safe for concurrent use.
type Log struct {
	store     storage.Store
	clock     event.Clock
	identity  storage.Identity
	preparer  *preparer
	sequencer *sequencer
}

// Open opens the log that store keeps, and finishes truncations that were interrupted. A store that is an incomplete
// copy (storage.Filling) is event.ErrUnavailable with code incomplete_copy. One that moved can be read; appends to it
// are event.ErrClosed with code moved, but for those that it holds already.
func Open(ctx context.Context, store storage.Store, o Options) (*Log, error) {
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Batch <= 0 {
		o.Batch = 4096
	}
	head, err := store.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if head.Life.State == storage.Filling {
		return nil, head.Life.Check("open log")
	}
	l := &Log{
		store: store, clock: o.Clock, identity: head.Identity,
		preparer: newPreparer(head.Identity, o.Clock, o.Rand),
		sequencer: &sequencer{
			store: store, identity: head.Identity, clock: o.Clock, maxBatch: o.Batch, tree: new(tree),
		},
	}
	if err := l.sequencer.tree.load(ctx, store); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := l.finishTruncations(ctx); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return l, nil
}

// Identity is what never changes in one life of the store.
func (l *Log) Identity() storage.Identity { return l.identity }

// Clock is the clock the log dates events with.
func (l *Log) Clock() event.Clock { return l.clock }

// Head is the state of the log.
func (l *Log) Head(ctx context.Context) (storage.Head, error) { return l.store.Head(ctx) }

// Append makes one request durable, or nothing of it. Errors: event.ErrInvalid, ErrConflict (VersionConflict,
// ConditionFailed), ErrDuplicate, ErrClosed, ErrFull, ErrFailed, ErrUnknown; after ErrUnknown, retry with the same
// event ids.
func (l *Log) Append(ctx context.Context, req *Request) (Result, error) {
	p, err := l.preparer.prepare(req, false)
	if err != nil {
		return Result{}, err
	}
	return l.submit(ctx, p)
}

// AppendSystem is Append for Lethe's own streams and types. With fences, whatever was sealed before it and comes to the
// head after it is refused with ErrFenced, and openings that began before it are decided again.
func (l *Log) AppendSystem(ctx context.Context, req *Request, fences []storage.Fence) (Result, error) {
	p, err := l.preparer.prepare(req, true)
	if err != nil {
		return Result{}, err
	}
	p.fences = fences
	return l.submit(ctx, p)
}

// Fences are those with a number above after, by number.
func (l *Log) Fences(ctx context.Context, after uint64) ([]storage.Fence, error) {
	return l.store.Fences(ctx, after, fullPage)
}

func (l *Log) submit(ctx context.Context, p *prepared) (Result, error) {
	if err := l.sequencer.submit(ctx, p); err != nil {
		return Result{}, err
	}
	return p.result, p.err
}

// AppendEach appends every request as a unit of its own, in order and in few commits. Outcome i is that of request
// i. One that is refused does not stop the others; a failure of the store does: nothing that follows is appended.
func (l *Log) AppendEach(ctx context.Context, requests []Request) []Outcome {
	outcomes := make([]Outcome, len(requests))
	ready := make([]*prepared, 0, len(requests))
	index := make([]int, 0, len(requests))
	shared := new(call)
	for i, p := range l.preparer.prepareEach(requests, outcomes) {
		if p != nil {
			p.call = shared
			ready, index = append(ready, p), append(index, i)
		}
	}
	if err := l.sequencer.submit(ctx, ready...); err != nil {
		for _, i := range index {
			outcomes[i] = Outcome{Err: err}
		}
		return outcomes
	}
	for n, i := range index {
		outcomes[i] = Outcome{Result: ready[n].result, Err: ready[n].err}
	}
	return outcomes
}

// Wait returns when the log has an event beyond after.
func (l *Log) Wait(ctx context.Context, after event.Position) error { return l.store.Wait(ctx, after) }

// Streams lists streams.
func (l *Log) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	return l.store.Streams(ctx, q)
}
