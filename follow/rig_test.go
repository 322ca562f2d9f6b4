package follow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// rig is a store in memory with a session to follow.
type rig struct {
	engine  *memory.Store
	store   *lethe.Store
	session *lethe.Session
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return open(t, memory.Open(memory.Options{}))
}

func open(t testing.TB, engine *memory.Store) *rig {
	t.Helper()
	s, err := lethe.Open(context.Background(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{engine, s, s.As(event.Actor{Kind: "employee", ID: "7"})}
}

// append appends n events of a type, to seven streams in turn.
func (r *rig) append(t testing.TB, typ string, n int) {
	t.Helper()
	streams := make([][]event.Draft, 7)
	for i := range n {
		streams[i%7] = append(streams[i%7], event.Draft{Type: typ, Data: []byte(`{"secret":"plain text"}`)})
	}
	for i, drafts := range streams {
		if len(drafts) == 0 {
			continue
		}
		if _, err := r.session.Append(context.Background(), event.Stream("loan", fmt.Sprint(i)), event.Any,
			drafts...); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) head(t testing.TB) event.Position {
	t.Helper()
	h, err := r.store.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return h.Position
}

func (r *rig) status(t testing.TB) []follow.Standing {
	t.Helper()
	all, err := follow.Status(context.Background(), r.engine, r.head(t))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// one is the status of the only follower, in its only lane.
func (r *rig) one(t testing.TB) follow.Standing {
	t.Helper()
	all := r.status(t)
	if len(all) != 1 {
		t.Fatalf("status lists %d lanes, want 1", len(all))
	}
	return all[0]
}

// through runs a follower until each of its lanes has a checkpoint at position to or beyond.
func (r *rig) through(t testing.TB, f follow.Follower, o *follow.Options, to event.Position) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	lanes := 1
	if o != nil && o.Partitions > 1 {
		lanes = o.Partitions
	}
	ours := func(key string) bool { return key == f.Name() }
	if lanes > 1 {
		ours = func(key string) bool { return strings.HasSuffix(key, fmt.Sprintf("/%d", lanes)) }
	}
	var mu sync.Mutex
	arrived := map[string]bool{}
	for _, s := range r.status(t) {
		if s.Follower == f.Name() && s.Lanes == lanes && s.Position >= to {
			arrived[fmt.Sprintf("%s#%d/%d", s.Follower, s.Lane, s.Lanes)] = true
		}
	}
	cursors := &hooked{Cursors: r.engine, after: func(key string, c storage.Checkpoint) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Cursor.Position >= to && ours(key) {
			arrived[key] = true
		}
		if len(arrived) == lanes {
			cancel()
		}
		return nil
	}}
	return follow.Run(ctx, r.session, cursors, f, o)
}

// hooked are checkpoints that a test watches, or makes fail.
type hooked struct {
	storage.Cursors
	before func(key string) error                       // nothing is stored yet
	after  func(key string, c storage.Checkpoint) error // it is stored; an error is an answer that got lost
}

func (h *hooked) Advance(ctx context.Context, key string, from, to storage.Checkpoint) (storage.Checkpoint, error) {
	if h.before != nil {
		if err := h.before(key); err != nil {
			return storage.Checkpoint{}, err
		}
	}
	stored, err := h.Cursors.Advance(ctx, key, from, to)
	if err == nil && h.after != nil {
		err = h.after(key, stored)
	}
	return stored, err
}

// recorder is a follower that notes what it applied.
type recorder struct {
	filter event.Filter
	refuse func(b follow.Batch) error // asked before each Apply

	mu      sync.Mutex
	applied []event.Event
	calls   int
}

func (*recorder) Name() string { return "recorder" }

func (r *recorder) Filter() event.Filter { return r.filter }

func (r *recorder) Apply(_ context.Context, b follow.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.refuse != nil {
		if err := r.refuse(b); err != nil {
			return err
		}
	}
	r.applied = append(r.applied, b.Events...)
	return nil
}

// positions are those applied, in the order in which they were.
func (r *recorder) positions() []event.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []event.Position
	for _, e := range r.applied {
		all = append(all, e.Position)
	}
	return all
}

// span is low to high.
func span(low, high event.Position) []event.Position {
	var all []event.Position
	for p := low; p <= high; p++ {
		all = append(all, p)
	}
	return all
}

// holds reports whether a batch holds position p.
func holds(b follow.Batch, p event.Position) bool {
	return slices.ContainsFunc(b.Events, func(e event.Event) bool { return e.Position == p })
}

// poll is an Options.Poll that no back-off of the tests equals.
const poll = time.Hour

// clock only moves when the test says so.
type clock struct {
	mu      sync.Mutex
	asked   sync.Cond
	waiting []wait
}

type wait struct {
	d    time.Duration
	done chan time.Time
}

func newClock() *clock {
	c := new(clock)
	c.asked.L = &c.mu
	return c
}

func (c *clock) Now() time.Time { return time.UnixMicro(0) }

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := wait{d, make(chan time.Time, 1)}
	c.waiting = append(c.waiting, w)
	c.asked.Broadcast()
	return w.done
}

// pass lets d pass for everybody who waits exactly so long, once there is somebody.
func (c *clock) pass(d time.Duration) {
	c.until(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(w wait) bool {
		if w.d == d {
			w.done <- time.UnixMicro(0)
		}
		return w.d == d
	})
}

// until returns when somebody waits for d.
func (c *clock) until(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !slices.ContainsFunc(c.waiting, func(w wait) bool { return w.d == d }) {
		c.asked.Wait()
	}
}

// first are the first n waits that were asked for and not passed, once there are so many.
func (c *clock) first(n int) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) < n {
		c.asked.Wait()
	}
	var all []time.Duration
	for _, w := range c.waiting[:n] {
		all = append(all, w.d)
	}
	return all
}

// hasty is a clock on which every back-off passes at once, and polls never come.
type hasty struct {
	mu     sync.Mutex
	waited []time.Duration
}

func (h *hasty) Now() time.Time { return time.UnixMicro(0) }

func (h *hasty) After(d time.Duration) <-chan time.Time {
	if d == poll {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waited = append(h.waited, d)
	done := make(chan time.Time, 1)
	done <- time.UnixMicro(0)
	return done
}

// start runs f in the background; stop ends it and returns what Run returned.
func (r *rig) start(f follow.Follower, o *follow.Options) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- follow.Run(ctx, r.session, r.engine, f, o) }()
	return func() error {
		cancel()
		return <-ended
	}
}
