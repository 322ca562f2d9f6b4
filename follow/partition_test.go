package follow_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	if got := follow.Lane(event.Stream("loan", "173688"), 8); got != 6 {
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
	for range 2 {
		err := follow.Run(t.Context(), r.session, r.engine, f, lanes(3))
		if p, ok := errors.AsType[*follow.Poisoned](err); !ok || p.Position != 42 || p.Follower != "recorder" {
			t.Fatalf("run: %v", err)
		}
	}
	if err := follow.Run(t.Context(), r.session, r.engine, f, lanes(2)); event.Code(err) != "poisoned" {
		t.Errorf("run with other partitions: %v", err)
	}
	d := follow.Decision{Position: 42, By: event.Actor{Kind: "employee", ID: "7"}, Reason: "test"}
	if err := follow.Skip(t.Context(), r.engine, "recorder", d); err != nil {
		t.Fatal(err)
	}
	if err := r.through(t, f, lanes(3), 100); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	seen := f.positions()
	slices.Sort(seen) // lanes that were cut off in Apply saw a batch twice
	if diff := cmp.Diff(append(span(1, 41), span(43, 100)...), slices.Compact(seen)); diff != "" {
		t.Error(diff)
	}
	if err := r.through(t, f, lanes(1), 100); !errors.Is(err, context.Canceled) {
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
	release := make(chan bool)
	f := &recorder{}
	stuck := &stuckLane{recorder: f, release: release}
	stop := r.start(stuck, lanes(2))
	for _, done := r.lanePositions(t); done != 70; _, done = r.lanePositions(t) {
		<-stuck.wake()
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	err := follow.Run(t.Context(), r.session, r.engine, f, lanes(3))
	if event.Code(err) != "partitions_changed" || !strings.Contains(err.Error(), "0 to 70") {
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
	f.checkOnce(t, 7*70)
}
