package follow_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

func TestEachEventOnceInOrder(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 3000)
	f := &recorder{}
	if err := r.through(t, f, nil, 1500); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := r.through(t, f, nil, 3000); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(span(1, 3000), f.positions()); diff != "" {
		t.Error(diff)
	}
}

// life is a follower's state that outlives its runs; it checks what each run may show it.
type life struct {
	filter event.Filter
	crash  func() bool

	t    *testing.T
	last event.Position // of this run
	sum  []event.Position
}

var errCrash = fmt.Errorf("crash: %w", event.ErrFailed)

func (*life) Name() string { return "life" }

func (l *life) Filter() event.Filter { return l.filter }

func (l *life) Apply(_ context.Context, b follow.Batch) error {
	for _, e := range b.Events {
		if e.Position <= l.last {
			l.t.Errorf("position %d came after %d in one run", e.Position, l.last)
		}
		l.last = e.Position
		if n := len(l.sum); n == 0 || e.Position > l.sum[n-1] { // its own dedupe
			l.sum = append(l.sum, e.Position)
		}
		if l.crash() {
			return errCrash
		}
	}
	return nil
}

// Whatever ends a run, the next ones see everything that is left, and a run never sees an event twice.
func TestNothingSkippedAcrossCrashes(t *testing.T) {
	for seed := range uint64(16) {
		random := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t)
		f := &life{t: t}
		if seed%2 == 1 {
			f.filter = event.Filter{{Types: []string{"Wanted"}}}
		}
		for range 12 {
			r.append(t, "Noted", random.IntN(150))
			r.append(t, "Wanted", 1+random.IntN(40))
			crashingRun(t, r, f, random)
		}
		f.crash, f.last = func() bool { return false }, 0
		r.append(t, "Wanted", 1)
		if err := r.through(t, f, nil, r.head(t)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.matching(t, f.filter), f.sum); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// crashingRun runs f until one of many things goes wrong.
func crashingRun(t *testing.T, r *rig, f *life, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.last = 0
	f.crash = func() bool { return random.IntN(150) == 0 }
	once := func(one int) error {
		if random.IntN(one) == 0 {
			return errCrash
		}
		return nil
	}
	cursors := &hooked{
		Cursors: r.engine,
		before:  func(string) error { return once(4) },
		after: func(_ string, c storage.Checkpoint) error {
			if c.Cursor.Position == r.head(t) {
				cancel()
			}
			return once(8)
		},
	}
	err := follow.Run(ctx, r.session, cursors, f, &follow.Options{Clock: &hasty{}, Poll: poll})
	if !errors.Is(err, event.ErrFailed) && !errors.Is(err, context.Canceled) {
		t.Fatalf("run: %v", err)
	}
}

func (r *rig) matching(t *testing.T, f event.Filter) []event.Position {
	t.Helper()
	var all []event.Position
	for e, err := range r.session.Query(t.Context(), lethe.Query{Filter: f}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Position)
	}
	return all
}

func TestCrashBetweenApplyAndCheckpointBringsTheBatchAgain(t *testing.T) {
	var crash atomic.Bool
	r := open(t, memory.Open(memory.Options{Fail: func(op string) error {
		if op == memory.OpAdvance && crash.Load() {
			return errCrash
		}
		return nil
	}}))
	r.append(t, "Noted", 10)
	f := &recorder{}
	crash.Store(true)
	if err := follow.Run(t.Context(), r.session, r.engine, f, nil); !errors.Is(err, event.ErrFailed) {
		t.Fatalf("run: %v", err)
	}
	crash.Store(false)
	if err := r.through(t, f, nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(span(1, 10), span(1, 10)...), f.positions()); diff != "" {
		t.Error(diff)
	}
}

func TestOvertakenRunEndsInConflict(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 10)
	holding, release := make(chan bool), make(chan bool)
	slow := &recorder{refuse: func(follow.Batch) error {
		holding <- true
		<-release
		return nil
	}}
	ended := make(chan error)
	go func() { ended <- follow.Run(context.Background(), r.session, r.engine, slow, nil) }()
	<-holding
	if err := r.through(t, &recorder{}, nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	release <- true
	if err := <-ended; !errors.Is(err, event.ErrConflict) {
		t.Errorf("the overtaken run ended with %v", err)
	}
	if got := r.one(t); got.Position != 10 {
		t.Errorf("the checkpoint is at %d, want 10", got.Position)
	}
}

func TestIdleRunNoticesThatItIsOvertaken(t *testing.T) {
	r, c := newRig(t), newClock()
	ended := make(chan error)
	go func() {
		ended <- follow.Run(context.Background(), r.session, r.engine, &recorder{filter: event.Filter{{
			Types: []string{"Never"}}}}, &follow.Options{Clock: c, Poll: poll})
	}()
	c.until(poll)
	from, err := r.engine.Checkpoint(t.Context(), "recorder")
	if err != nil {
		t.Fatal(err)
	}
	to := storage.Checkpoint{Cursor: r.store.Cursor(1)}
	if _, err := r.engine.Advance(t.Context(), "recorder", from, to); err != nil {
		t.Fatal(err)
	}
	c.pass(poll)
	if err := <-ended; !errors.Is(err, event.ErrConflict) {
		t.Errorf("run: %v", err)
	}
}

// A filter that matches little moves the checkpoint, at a bounded price.
func TestSparseFilterAdvances(t *testing.T) {
	r, c := newRig(t), newClock()
	r.append(t, "Noted", 9000)
	var writes atomic.Int64
	arrived := make(chan event.Position, 100)
	cursors := &hooked{Cursors: r.engine, after: func(_ string, c storage.Checkpoint) error {
		writes.Add(1)
		arrived <- c.Cursor.Position
		return nil
	}}
	f := &recorder{filter: event.Filter{{Types: []string{"Wanted"}}}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- follow.Run(ctx, r.session, cursors, f, &follow.Options{Clock: c, Poll: poll})
	}()
	for <-arrived != 9000 {
	}
	if n := writes.Load(); n > 10 {
		t.Errorf("%d durable writes for 9000 positions, want 10 at most", n)
	}
	r.append(t, "Noted", 1)
	for {
		c.pass(poll) // the next poll after the event was seen stores it
		select {
		case p := <-arrived:
			if p != 9001 {
				t.Errorf("the checkpoint moved to %d, want 9001", p)
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if f.calls > 0 {
				t.Errorf("Apply was called %d times, for nothing", f.calls)
			}
			return
		default:
		}
	}
}

func TestForkNamesTheCommonPosition(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 5)
	before, err := r.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.append(t, "Noted", 5)
	if err := r.through(t, &recorder{}, nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	engine, err := memory.Restore(r.engine, 5, before.Frontier, nil)
	if err != nil {
		t.Fatal(err)
	}
	restored := open(t, engine)
	restored.append(t, "Noted", 20)
	f := &recorder{}
	err = follow.Run(t.Context(), restored.session, restored.engine, f, nil)
	forked, ok := errors.AsType[*event.Forked](err)
	if !ok || forked.Common != 5 || !strings.Contains(err.Error(), "last common position is 5") {
		t.Errorf("run after a fork: %v", err)
	}
	if f.calls > 0 {
		t.Error("something was applied beyond a fork")
	}
	if got := restored.one(t); got.State != follow.Running || got.Position != 10 {
		t.Errorf("after a fork: %s at %d", got.State, got.Position)
	}
}

// consequence appends one event for each that it sees.
type consequence struct{}

func (consequence) Name() string { return "consequence" }

func (consequence) Filter() event.Filter { return event.Filter{{Types: []string{"Noted"}}} }

func (consequence) Apply(ctx context.Context, b follow.Batch) error {
	for _, e := range b.Events {
		if _, err := b.CausedBy(e).Append(ctx, e.Stream, event.Any, event.Draft{Type: "Answered"}); err != nil {
			return err
		}
	}
	return nil
}

func TestAppendsInheritCausation(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 3)
	if err := r.through(t, consequence{}, nil, 3); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	causes := map[event.ID]bool{}
	for e, err := range r.session.Query(t.Context(), lethe.Query{}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Type == "Noted":
			causes[e.ID] = true
		case !causes[e.Causation] || e.Correlation != e.Causation.String():
			t.Errorf("%v has causation %s and correlation %s", e, e.Causation, e.Correlation)
		}
	}
	if got := r.head(t); got != 6 {
		t.Errorf("the log has %d events, want 6", got)
	}
}

type named string

func (n named) Name() string { return string(n) }

func (named) Filter() event.Filter { return nil }

func (named) Apply(context.Context, follow.Batch) error { return nil }

func TestBadInputIsRefused(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"", "1", "a/b", "a#0/2", "a b", strings.Repeat("a", 65)} {
		err := follow.Run(t.Context(), r.session, r.engine, named(name), nil)
		if event.Code(err) != "malformed_follower" {
			t.Errorf("follower %q: %v", name, err)
		}
	}
	err := follow.Run(t.Context(), r.session, r.engine, named("a"), &follow.Options{Partitions: 65})
	if event.Code(err) != "malformed_partitions" {
		t.Errorf("65 partitions: %v", err)
	}
	err = follow.Run(t.Context(), r.session, r.engine, &recorder{filter: event.Filter{{Kinds: []string{"1"}}}}, nil)
	if event.Code(err) != "malformed_name" {
		t.Errorf("filter: %v", err)
	}
	if all := r.status(t); len(all) > 0 {
		t.Errorf("refused runs left checkpoints: %v", all)
	}
}
