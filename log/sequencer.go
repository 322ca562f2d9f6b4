package log

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// sequencer is the one writer: it collects the requests that wait and commits them together, so that many callers
// share the price of one durable write. A caller that finds it idle commits its own batch in place, without a
// hand-over; what arrives meanwhile is committed by a goroutine of the sequencer's own.
type sequencer struct {
	store    storage.Log
	identity storage.Identity // as the log was opened
	clock    event.Clock
	maxBatch int // events in one commit
	tree     *tree

	mu      sync.Mutex
	queue   []*prepared
	leading bool
	failed  error // once set, every append ends with it

	last int // requests in the last batch; only touched while leading
}

// submit queues requests and returns when all are answered, or with ctx's error when it ends first: what was
// queued may then still become durable.
func (q *sequencer) submit(ctx context.Context, requests ...*prepared) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	q.mu.Lock()
	if q.failed != nil {
		defer q.mu.Unlock()
		return q.failed
	}
	q.queue = append(q.queue, requests...)
	lead := !q.leading
	q.leading = true
	q.mu.Unlock()
	if lead {
		q.lead()
	}
	for _, r := range requests {
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("append: %w (%w): %w", event.ErrUnknown,
				errors.New("it may still become durable; retry with the same event ids"), ctx.Err())
		}
	}
	return nil
}

// lead commits one batch and leaves the rest to another goroutine, so that its caller is answered promptly.
func (q *sequencer) lead() {
	q.next()
	if q.more() {
		go func() {
			for {
				q.gather()
				q.next()
				if !q.more() {
					return
				}
			}
		}()
	}
}

// next waits for this process's turn, where there are others, and commits one batch of what waits by then.
func (q *sequencer) next() {
	if t, ok := q.store.(storage.Turner); ok {
		defer t.Turn(context.Background())()
	}
	q.commit(q.take())
}

// more reports whether requests wait, and ends the leading if none do.
func (q *sequencer) more() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leading = len(q.queue) > 0
	return q.leading
}

// gather lets callers that were just answered queue their next request: without it batches of one and of many
// alternate, and every second commit is spent on one caller.
func (q *sequencer) gather() {
	for range 8 {
		q.mu.Lock()
		waiting := len(q.queue)
		q.mu.Unlock()
		if waiting >= q.last {
			return
		}
		runtime.Gosched()
	}
}

// take removes the next batch from the queue: at least one request, and no more events than one commit may hold.
func (q *sequencer) take() []*prepared {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, n := 0, 0
	for n < len(q.queue) && (n == 0 || events+len(q.queue[n].entries) <= q.maxBatch) {
		events += len(q.queue[n].entries)
		n++
	}
	batch := q.queue[:n:n]
	q.queue = q.queue[n:]
	if len(q.queue) == 0 {
		q.queue = nil
	}
	q.last = n
	return batch
}

// commit decides and stores one batch and answers every request in it.
func (q *sequencer) commit(batch []*prepared) {
	batch = q.dropFailed(batch)
	if len(batch) == 0 {
		return
	}
	err := q.makeDurable(batch)
	if errors.Is(err, event.ErrFailed) {
		q.mu.Lock()
		q.failed = event.Errorf(event.ErrFailed, "append: the store failed an earlier write").
			Hint("check the disk, then open the store again")
		q.mu.Unlock()
	}
	for _, r := range batch {
		if err != nil && r.err == nil {
			r.fail(err)
		}
		close(r.done)
	}
}

// dropFailed answers requests whose call has failed already, and returns the others.
func (q *sequencer) dropFailed(batch []*prepared) []*prepared {
	failed := func(r *prepared) bool {
		if r.call == nil || r.call.failed == nil {
			return false
		}
		r.fail(r.call.failed)
		close(r.done)
		return true
	}
	return slices.DeleteFunc(batch, failed)
}

// fail answers a request with an error that is not its own, and ends the call it belongs to.
func (r *prepared) fail(err error) {
	r.err, r.result = err, Result{}
	if r.call != nil {
		r.call.failed = err
	}
}

// commitTries bounds how often an unknown outcome is asked about, with a growing pause in between: an engine that
// lost its connection needs a moment to be found again.
const commitTries = 5

// makeDurable decides and stores one batch. Its error is that of every request that was not refused on its own.
// The caller's context does not reach the engine: a commit is never cancelled half way.
func (q *sequencer) makeDurable(batch []*prepared) error {
	for try, stale := 0, 0; ; {
		err := q.tryCommit(batch, try > 0)
		switch {
		case err == nil, errors.Is(err, errNothing):
			return nil
		case errors.Is(err, errStale) && stale < 100:
			stale++
			if err := q.tree.load(context.Background(), q.store); err != nil {
				return fmt.Errorf("append: %w", err)
			}
		case errors.Is(err, event.ErrUnknown) && try < commitTries:
			<-q.clock.After(time.Duration(10<<try) * time.Millisecond)
			try++
			for _, r := range batch {
				r.tried = r.err == nil
			}
		case try > 0 && !errors.Is(err, event.ErrUnknown): // what ends the asking does not answer it
			return fmt.Errorf("append: %w: %w", event.ErrUnknown, err)
		default:
			return fmt.Errorf("append: %w", err)
		}
	}
}

func (q *sequencer) tryCommit(batch []*prepared, again bool) error {
	p := probe(batch, again)
	p.Leaves = event.Position(q.tree.size()) + 1
	_, err := q.store.Commit(context.Background(), p,
		func(head storage.Head, found storage.Found) (storage.Batch, error) {
			if err := stillOurs(q.identity, &head); err != nil {
				return storage.Batch{}, err
			}
			return decide(batch, answer{p, head, found}, q.tree, event.Micros(q.clock.Now()))
		})
	if err == nil {
		q.tree.commit()
	}
	return err
}
