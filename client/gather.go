package client

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// lanes is how many calls of single appends are under way at once. What arrives while all are travels together.
const lanes = 2

// gatherer lets the appends of many goroutines share calls: a message costs more than an append. Who finds a lane free
// sends at once and alone; others are sent by the lane's own goroutine, each with its own outcome and context.
type gatherer struct {
	backend *backend

	mu    sync.Mutex
	queue []*letter
	busy  int // lanes
	last  int // appends in the last call
}

// letter is an append that waits for its outcome.
type letter struct {
	body   []byte
	done   chan struct{} // closed when what follows is set
	result log.Result
	now    verdict
	alone  bool // it could not be sent with others

	trip *trip // the call it is in; nil: it waits still
}

// trip is a call under way. It ends when nobody waits for it any more.
type trip struct {
	waiting int
	cancel  context.CancelFunc
}

// send is one try of an append.
func (g *gatherer) send(ctx context.Context, body []byte) (log.Result, verdict) {
	g.mu.Lock()
	if g.busy < lanes {
		g.busy++
		g.mu.Unlock()
		defer g.handOver()
		return g.backend.appendOne(ctx, body)
	}
	l := &letter{body: body, done: make(chan struct{})}
	g.queue = append(g.queue, l)
	g.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
		return log.Result{}, verdict{err: ctx.Err(), lost: g.leave(l)}
	}
	if !l.alone {
		return l.result, l.now
	}
	result, v := g.backend.appendOne(ctx, body)
	v.lost = v.lost || v.err != nil && l.now.lost
	return result, v
}

// leave is for who waits no longer; it reports whether the append was sent already.
func (g *gatherer) leave(l *letter) (sent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.trip == nil {
		g.queue = slices.DeleteFunc(g.queue, func(other *letter) bool { return other == l })
		return false
	}
	if l.trip.waiting--; l.trip.waiting == 0 {
		l.trip.cancel()
	}
	return true
}

// handOver gives the lane to what waits.
func (g *gatherer) handOver() {
	if g.more() {
		go func() {
			for more := true; more; more = g.more() {
				g.wait()
				g.carry()
			}
		}()
	}
}

// more reports whether appends wait, and frees the lane if none do.
func (g *gatherer) more() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 {
		return true
	}
	g.busy--
	return false
}

// wait lets callers that were just answered come with their next append, so that calls do not alternate between few
// and many.
func (g *gatherer) wait() {
	for range 4 {
		g.mu.Lock()
		enough := len(g.queue) >= g.last
		g.mu.Unlock()
		if enough {
			return
		}
		runtime.Gosched()
	}
}

// carry sends what waits, up to the limits of a message. Nothing waits any more when another lane was faster.
func (g *gatherer) carry() {
	ctx, cancel := context.WithCancel(context.Background()) // of no caller: each may end without the others
	defer cancel()
	batch := g.take(&trip{cancel: cancel})
	if len(batch) == 0 {
		return
	}
	if len(batch) == 1 {
		batch[0].result, batch[0].now = g.backend.appendOne(ctx, batch[0].body)
		close(batch[0].done)
		return
	}
	bodies := make([][]byte, len(batch))
	for i, l := range batch {
		bodies[i] = l.body
	}
	outcomes, v := g.backend.appendEach(ctx, bodies)
	for i, l := range batch {
		if v.err == nil {
			l.result, l.now = outcomes[i].Result, outcome(outcomes[i].Err)
		} else {
			l.now, l.alone = v, !v.again // refused as a whole: perhaps for the sake of one
		}
		close(l.done)
	}
}

func (g *gatherer) take(t *trip) []*letter {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, size := 0, 0
	for n < len(g.queue) && n < callRequests && (n == 0 || size+len(g.queue[n].body) <= callBytes) {
		size += len(g.queue[n].body)
		g.queue[n].trip = t
		n++
	}
	batch := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	t.waiting, g.last = n, n
	return batch
}

// outcome judges the error of one of several appends: another one's failure may stand in for its own outcome, and a
// try for itself is due.
func outcome(err error) verdict {
	if err == nil {
		return verdict{}
	}
	v := told(context.Background(), err)
	if errors.Is(err, event.ErrUnknown) {
		v.again = true
	}
	return v
}
