package pgkeys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// work is what one caller wants written.
type work interface {
	// weight is about how many bytes that is.
	weight() int
}

// writer commits what callers want written, as many of them at once as wait while the commit before is under way.
type writer[W work] struct {
	calls *pglink.Calls
	link  *pglink.Link // only run uses it, once that has begun
	wake  chan struct{}

	mu      sync.Mutex
	waiting []*request[W]
	closed  bool
}

// request is one caller's work on its way.
type request[W work] struct {
	work W
	done chan struct{}
	err  error // once done
}

func newWriter[W work](calls *pglink.Calls, link *pglink.Link) *writer[W] {
	return &writer[W]{calls: calls, link: link, wake: make(chan struct{}, 1)}
}

// submit returns when the work is durable, or was not done. A context that ends takes back only what is not begun.
func (w *writer[W]) submit(ctx context.Context, work W) error {
	if err := w.calls.Usable(ctx); err != nil {
		return err
	}
	r := &request[W]{work: work, done: make(chan struct{})}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return w.calls.Usable(ctx)
	}
	w.waiting = append(w.waiting, r)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if w.withdraw(r) {
			return ctx.Err()
		}
		<-r.done
	}
	return r.err
}

// withdraw takes a request back that nobody has begun with.
func (w *writer[W]) withdraw(r *request[W]) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiting, r)
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	return i >= 0
}

// mostWeight bounds what is committed at once, but for a single caller's work, which is not cut.
const mostWeight = 16 << 20

// take takes what waits.
func (w *writer[W]) take() []*request[W] {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, weight := 0, 0
	for n < len(w.waiting) && (n == 0 || weight+w.waiting[n].work.weight() <= mostWeight) {
		weight += w.waiting[n].work.weight()
		n++
	}
	taken := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	return taken
}

// close refuses what waits and whatever comes.
func (w *writer[W]) close() {
	w.mu.Lock()
	w.closed = true
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	for _, r := range waiting {
		r.err = w.calls.Usable(context.Background())
		close(r.done)
	}
}

// run commits until the keystore closes. write makes a transaction of what several callers want; see writer.settle.
func (w *writer[W]) run(write func(group []W) attempt) {
	for {
		select {
		case <-w.wake:
		case <-w.calls.Context.Done():
			return
		}
		for group := w.take(); len(group) > 0; group = w.take() {
			list := make([]W, len(group))
			for i, r := range group {
				list[i] = r.work
			}
			err := w.settle(write(list))
			for _, r := range group {
				r.err = err
				close(r.done)
			}
		}
	}
}

// attempt makes one transaction on a link. With doubt the one before it, of the same attempt, may have been made
// durable or not, and has ended by the time the lock is given: attempt must find out which, and ends the doubt if it
// was not.
type attempt func(ctx context.Context, link *pglink.Link, conn *pgx.Conn, doubt *bool) error

// settle makes attempts until one succeeds, or is refused, or the keystore's patience ends. It is event.ErrUnknown if
// it is not known by then whether the work is durable.
func (w *writer[W]) settle(try attempt) error {
	doubt := false
	err := w.calls.Try(w.calls.Context, func(ctx context.Context) error {
		conn, err := w.link.Connect(ctx)
		if err != nil {
			return err
		}
		defer w.link.Watch()()
		err = try(ctx, w.link, conn, &doubt)
		switch {
		case errors.Is(err, errUnsettled):
			w.link.Rollback()
		case errors.Is(err, event.ErrUnknown):
			doubt = true
			return errAgain
		case err != nil:
			w.link.Drop()
		}
		return err
	})
	if err != nil && doubt && !errors.Is(err, event.ErrUnknown) {
		err = fmt.Errorf("%w: %w", event.ErrUnknown, err)
	}
	return err
}

// errAgain is a commit of which nobody knows how it ended; it is pglink.Passing.
var errAgain = fmt.Errorf("commit: %w", io.ErrUnexpectedEOF)

// errUnsettled says that what is stored does not tell any more whether a commit was made.
var errUnsettled = event.Errorf(event.ErrUnknown, "settle commit: others have changed all that it wrote").
	Hint("read what is there")
