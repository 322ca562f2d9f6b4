package torture_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

// watchers follow a log while it is written, each in its own way, and leave and come back at random moments.
type watchers struct {
	subscribers []*subscriber
	tallies     []*tally
	drained     event.Position // all must have seen up to here
}

func newWatchers(seed uint64) *watchers {
	some := event.Filter{{Types: []string{"T1"}}, {Relations: []event.Relation{{Kind: "thing", ID: "0"}}}}
	return &watchers{
		subscribers: []*subscriber{
			{chance: chance(seed, 0)},
			{chance: chance(seed, 1), filter: some},
		},
		tallies: []*tally{{name: "all"}, {name: "some", filter: some}},
	}
}

// suffixed are watchers beside others of the same log, whose followers have names of their own.
func (w *watchers) suffixed(suffix string) *watchers {
	for _, f := range w.tallies {
		f.name += suffix
	}
	return w
}

// start lets all of them watch a store that was just opened; what it returns makes them leave.
func (w *watchers) start(ctx context.Context, store *lethe.Store) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	errs := make([]error, len(w.subscribers)+len(w.tallies))
	for i, s := range w.subscribers {
		s.note(func() { s.ended = false }) // before anyone waits for it
		wg.Go(func() { errs[i] = s.watch(ctx, store) })
	}
	for i, f := range w.tallies {
		f.note(func() { f.ended = false })
		wg.Go(func() { errs[len(w.subscribers)+i] = f.watch(ctx, store) })
	}
	return func() error {
		cancel()
		wg.Wait()
		for i, err := range errs {
			if errors.Is(err, context.Canceled) || errors.Is(err, event.ErrUnavailable) {
				errs[i] = nil
			}
		}
		return errors.Join(errs...)
	}
}

// drain waits until all of them have seen the end. patience, which only broken engines need, is how long; 0: for ever.
func (w *watchers) drain(ctx context.Context, store *lethe.Store, patience time.Duration) error {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	head, err := store.Head(ctx)
	if err != nil {
		return err
	}
	w.drained = head.Position
	for _, s := range w.subscribers {
		if err := s.reach(ctx, head.Position); err != nil {
			return err
		}
	}
	for _, f := range w.tallies {
		if err := f.reach(ctx, store, head.Position); err != nil {
			return err
		}
	}
	return nil
}

func (w *watchers) check(events []event.Event) error {
	var errs []error
	for _, s := range w.subscribers {
		errs = append(errs, w.compareSeen("subscriber", s.filter, s.seen, events))
	}
	for _, f := range w.tallies {
		errs = append(errs, f.fault, w.compareSeen("follower "+f.name, f.filter, f.seen, events))
	}
	return errors.Join(errs...)
}

// compareSeen: what was seen is what matches, once and in order. What a caller left in the queue when its context
// ended may be committed after the end that was waited for; a watcher need not have seen that.
func (w *watchers) compareSeen(who string, filter event.Filter, seen []event.ID, events []event.Event) error {
	for i := range events {
		if !filter.Matches(&events[i]) {
			continue
		}
		if len(seen) == 0 && events[i].Position > w.drained {
			return nil
		}
		if len(seen) == 0 || seen[0] != events[i].ID {
			return fmt.Errorf("%s did not see %s when it was its turn (%d left)", who, &events[i], len(seen))
		}
		seen = seen[1:]
	}
	if len(seen) > 0 {
		return fmt.Errorf("%s saw %d events too many", who, len(seen))
	}
	return nil
}

// subscriber resumes from the cursor of the last batch it saw.
type subscriber struct {
	filter event.Filter
	chance *rand.Rand

	mu     sync.Mutex
	cursor event.Cursor
	seen   []event.ID
	ended  bool
}

func (s *subscriber) watch(ctx context.Context, store *lethe.Store) error {
	defer s.note(func() { s.ended = true })
	for {
		left := 1 + s.chance.IntN(20)
		for batch, err := range store.As(event.Actor{}).Batches(ctx, s.filter, s.cursor) {
			if err != nil {
				return err
			}
			s.note(func() {
				for i := range batch.Events {
					s.seen = append(s.seen, batch.Events[i].ID)
				}
				s.cursor = batch.Cursor
			})
			if left--; left == 0 {
				break
			}
		}
	}
}

func (s *subscriber) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// reach waits until the subscriber has looked as far as p, or has ended.
func (s *subscriber) reach(ctx context.Context, p event.Position) error {
	return poll(ctx, func() (there bool, err error) {
		s.note(func() { there = s.cursor.Position >= p || s.ended })
		return there, nil
	})
}

// poll looks again and again until something has come about.
func poll(ctx context.Context, look func() (bool, error)) error {
	for {
		there, err := look()
		if there || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for what must come about: %w", ctx.Err())
		case <-(event.SystemClock{}).After(pause):
		}
	}
}

// tally is a follower that notes what it is given. A batch that comes again after a restart, because the run ended
// between Apply and the checkpoint, replaces what was noted of it.
type tally struct {
	name   string
	filter event.Filter

	mu    sync.Mutex
	seen  []event.ID
	at    []event.Position // of seen
	from  event.Position   // where this run began
	ended bool
	fault error
}

func (f *tally) Name() string         { return f.name }
func (f *tally) Filter() event.Filter { return f.filter }

func (f *tally) Apply(_ context.Context, b follow.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.from
	for i := range b.Events {
		e := &b.Events[i]
		if n := len(f.at); n > 0 && i == 0 && e.Position <= f.at[n-1] && f.from < e.Position {
			f.forget(e.Position)
		}
		if n := len(f.at); n > 0 {
			last = max(last, f.at[n-1])
		}
		if e.Position <= last {
			f.fault = fmt.Errorf("follower %s got position %d again, after %d", f.name, e.Position, last)
		}
		f.seen, f.at = append(f.seen, e.ID), append(f.at, e.Position)
	}
	f.from = b.Cursor.Position // from here on nothing may come again in this run
	return nil
}

func (f *tally) forget(from event.Position) {
	n := len(f.at)
	for n > 0 && f.at[n-1] >= from {
		n--
	}
	f.seen, f.at = f.seen[:n], f.at[:n]
}

// watch runs the follower, and again where nobody knows whether a checkpoint was stored: that ends a run.
func (f *tally) watch(ctx context.Context, store *lethe.Store) error {
	defer f.note(func() { f.ended = true })
	for {
		stored, err := store.Cursors().Checkpoint(ctx, f.name)
		if err != nil {
			return err
		}
		f.note(func() { f.from = stored.Cursor.Position })
		err = follow.Run(ctx, store.As(event.Actor{}), store.Cursors(), f, &follow.Options{Sparse: 1})
		if !errors.Is(err, event.ErrUnknown) || ctx.Err() != nil {
			return err
		}
	}
}

func (f *tally) note(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// reach waits until the checkpoint is at p, or the follower has ended.
func (f *tally) reach(ctx context.Context, store *lethe.Store, p event.Position) error {
	return poll(ctx, func() (bool, error) {
		ended := false
		f.note(func() { ended = f.ended })
		c, err := store.Cursors().Checkpoint(ctx, f.name)
		return ended || c.Cursor.Position >= p, err
	})
}
