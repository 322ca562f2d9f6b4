package follow_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

func lanes(n int) *follow.Options {
	return &follow.Options{Clock: &hasty{}, Poll: poll, Partitions: n}
}

func TestLaneIsFNV1a(t *testing.T) {
	for i := range 100 {
		s := event.Stream("loan", fmt.Sprint(i))
		h := fnv.New64a()
		h.Write([]byte(s.String()))
		if got, want := follow.Lane(s, 7), int(h.Sum64()%7); got != want {
			t.Errorf("lane of %s is %d, want %d", s, got, want)
		}
	}
	if got := follow.Lane(event.Stream("loan", "173688"), 8); got != 5 {
		t.Errorf("the lane of loan/173688 of 8 moved to %d", got)
	}
}

// checkOnce wants each of the first n events once, and each stream in order.
func (r *recorder) checkOnce(t *testing.T, n event.Position) {
	t.Helper()
	got := r.positions()
	slices.Sort(got)
	if diff := cmp.Diff(span(1, n), got); diff != "" {
		t.Errorf("applied: %s", diff)
	}
	versions := map[event.StreamID]event.Version{}
	for _, e := range r.applied {
		if e.Version != versions[e.Stream]+1 {
			t.Errorf("%v came after version %d", e, versions[e.Stream])
		}
		versions[e.Stream] = e.Version
	}
}

func TestPartitionsKeepTheOrderOfStreams(t *testing.T) {
	r := newRig(t)
	f := &recorder{}
	for i := event.Position(1); i <= 4; i++ {
		r.append(t, "Noted", 500)
		if err := r.through(t, f, lanes(4), i*500); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	f.checkOnce(t, 2000)
	all := r.status(t)
	if len(all) != 4 {
		t.Fatalf("status lists %d lanes, want 4", len(all))
	}
	for i, s := range all {
		if s.Follower != "recorder" || s.Lane != i || s.Lanes != 4 || s.Position != 2000 {
			t.Errorf("lane %d is %+v", i, s)
		}
	}
}

// meeting is a follower whose lanes wait for each other within Apply.
type meeting struct {
	recorder
	all sync.WaitGroup
}

func (m *meeting) Apply(ctx context.Context, b follow.Batch) error {
	m.all.Done()
	m.all.Wait()
	return m.recorder.Apply(ctx, b)
}

func TestLanesApplyConcurrently(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 14)
	m := new(meeting)
	m.all.Add(2) // with 7 streams, both lanes have some
	if err := r.through(t, m, lanes(2), 14); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.checkOnce(t, 14)
}

func TestPoisonInOneLaneStopsTheFollower(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 100)
	f := &recorder{refuse: at42}
	for i := range 2 {
		calls := f.calls
		err := follow.Run(t.Context(), r.session, r.engine, f, lanes(3))
		if p, ok := errors.AsType[*follow.Poisoned](err); !ok || p.Position != 42 || p.Follower != "recorder" {
			t.Fatalf("run: %v", err)
		}
		if i > 0 && f.calls != calls {
			t.Error("the other lanes went on at the restart")
		}
		r.append(t, "Noted", 50)
	}
	if err := follow.Run(t.Context(), r.session, r.engine, f, lanes(2)); event.Code(err) != "poisoned" {
		t.Errorf("run with other partitions: %v", err)
	}
	d := follow.Decision{Position: 42, By: event.Actor{Kind: "employee", ID: "7"}, Reason: "test"}
	if err := follow.Skip(t.Context(), r.engine, "recorder", d); err != nil {
		t.Fatal(err)
	}
	if err := r.through(t, f, lanes(3), 200); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	seen := f.positions()
	slices.Sort(seen) // lanes that were cut off in Apply saw a batch twice
	if diff := cmp.Diff(append(span(1, 41), span(43, 200)...), slices.Compact(seen)); diff != "" {
		t.Error(diff)
	}
	if err := r.through(t, f, lanes(1), 200); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := r.one(t); got.Skipped != 1 || len(got.Skips) != 1 {
		t.Errorf("a change of partitions lost the skip: %+v", got)
	}
}

func TestPauseReachesAllLanes(t *testing.T) {
	r, c := newRig(t), newClock()
	r.append(t, "Noted", 14)
	f := &recorder{}
	if err := r.through(t, f, lanes(3), 14); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := follow.Pause(t.Context(), r.engine, "recorder"); err != nil {
		t.Fatal(err)
	}
	r.append(t, "Noted", 14)
	stop := r.start(f, &follow.Options{Clock: c, Poll: poll, Partitions: 2}) // a change keeps the pause
	c.until(poll)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f.checkOnce(t, 14)
	for _, s := range r.status(t) {
		if s.State != follow.Paused || s.Lanes != 2 || s.Lag != 14 {
			t.Errorf("status is %+v", s)
		}
	}
	if err := follow.Resume(t.Context(), r.engine, "recorder"); err != nil {
		t.Fatal(err)
	}
	if err := r.through(t, f, lanes(2), 28); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f.checkOnce(t, 28)
}

func TestPartitionsChangeOnlyAtOnePosition(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 70)
	f := &recorder{refuse: at42}
	if err := follow.Run(t.Context(), r.session, r.engine, f, lanes(2)); event.Code(err) != "poisoned" {
		t.Fatal(err)
	}
	if err := follow.Resume(t.Context(), r.engine, "recorder"); err != nil {
		t.Fatal(err)
	}
	f = &recorder{}
	err := follow.Run(t.Context(), r.session, r.engine, f, lanes(3)) // one lane is at 41, the other is not
	if event.Code(err) != "partitions_changed" || !errors.Is(err, event.ErrInvalid) || f.calls > 0 {
		t.Fatalf("change: %v", err)
	}
	if err := r.through(t, f, lanes(2), 70); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for i, n := range []int{3, 1, 4, 2, 2, 1} {
		r.append(t, "Noted", 70)
		if err := r.through(t, f, lanes(n), event.Position(i+2)*70); !errors.Is(err, context.Canceled) {
			t.Fatalf("with %d: %v", n, err)
		}
		if all := r.status(t); len(all) != n {
			t.Errorf("status lists %d lanes, want %d", len(all), n)
		}
	}
	seen := f.positions()
	slices.Sort(seen)
	if diff := cmp.Diff(span(71, 7*70), seen[len(seen)-6*70:]); diff != "" {
		t.Error(diff)
	}
}

var errPower = fmt.Errorf("power cut: %w", event.ErrFailed)

// A change of partitions that is cut off at any write is as good as not done: the old number and the new one both go
// on from there, and no event is lost or comes twice.
func TestInterruptedChangeOfPartitions(t *testing.T) {
	for _, change := range [][2]int{{1, 3}, {3, 2}, {3, 1}} {
		for cut := 1; ; cut++ {
			done := false
			for _, next := range change {
				done = interrupted(t, change[0], change[1], cut, next)
			}
			if done {
				if cut < 3 {
					t.Errorf("a change from %d to %d was cut off at %d places only", change[0], change[1], cut-1)
				}
				break
			}
		}
	}
}

// interrupted cuts off a change at one write and goes on with another run; done: it had fewer writes.
func interrupted(t *testing.T, from, to, cut, next int) (done bool) {
	t.Helper()
	r, f := newRig(t), &recorder{}
	r.append(t, "Noted", 20)
	if err := r.through(t, f, lanes(from), 20); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	writes := 0
	cursors := &hooked{Cursors: r.engine, before: func(string) error {
		if writes++; writes >= cut {
			return errPower
		}
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	source := &silent{r.session, cancel}
	err := follow.Run(ctx, source, cursors, f, lanes(to))
	if !errors.Is(err, event.ErrFailed) && !errors.Is(err, context.Canceled) {
		t.Fatalf("cut %d: %v", cut, err)
	}
	r.append(t, "Noted", 20)
	if err := r.through(t, f, lanes(next), 40); !errors.Is(err, context.Canceled) {
		t.Fatalf("from %d to %d, cut %d, then %d: %v", from, to, cut, next, err)
	}
	f.checkOnce(t, 40)
	return writes < cut
}

// silent is a source that ends the run at the first question.
type silent struct {
	*lethe.Session
	end func()
}

func (s *silent) Batches(context.Context, event.Filter, event.Cursor) iter.Seq2[lethe.Batch, error] {
	s.end()
	return func(func(lethe.Batch, error) bool) {}
}

// A run that still has the old partitions is overtaken by a change of their number.
func TestChangeOvertakesOldRun(t *testing.T) {
	for _, change := range [][2]int{{2, 3}, {1, 2}, {2, 1}} {
		r, f, c := newRig(t), &recorder{}, newClock()
		r.append(t, "Noted", 20)
		if err := r.through(t, f, lanes(change[0]), 20); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			o := &follow.Options{Clock: c, Poll: poll, Partitions: change[0]}
			ended <- follow.Run(context.Background(), r.session, r.engine, f, o)
		}()
		c.until(poll)
		ctx, cancel := context.WithCancel(t.Context())
		if err := follow.Run(ctx, &silent{r.session, cancel}, r.engine, f, lanes(change[1])); !errors.Is(err,
			context.Canceled) && !errors.Is(err, event.ErrUnavailable) {
			t.Fatal(err)
		}
		c.pass(poll)
		if err := <-ended; !errors.Is(err, event.ErrConflict) {
			t.Errorf("%d to %d: the old run ended with %v", change[0], change[1], err)
		}
	}
}

// Of a change and a run with the old number that meet, one wins.
func TestOldNumberOvertakesUnfinishedChange(t *testing.T) {
	r, f := newRig(t), &recorder{}
	r.append(t, "Noted", 20)
	if err := r.through(t, f, lanes(3), 20); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.append(t, "Noted", 20)
	cursors := &hooked{Cursors: r.engine, before: func(key string) error {
		if key != "recorder" { // the last write of the change is the one to the follower's own checkpoint
			return nil
		}
		if err := r.through(t, f, lanes(3), 40); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		return nil
	}}
	if err := follow.Run(t.Context(), r.session, cursors, f, lanes(2)); !errors.Is(err, event.ErrConflict) {
		t.Errorf("the change ended with %v", err)
	}
	f.checkOnce(t, 40)
	if all := r.status(t); len(all) != 3 || all[0].Position != 40 {
		t.Errorf("status is %+v", all)
	}
}
