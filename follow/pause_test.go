package follow_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

func TestIdleRunPausesAndGoesOn(t *testing.T) {
	r, c := newRig(t), newClock()
	r.append(t, "Noted", 5)
	applied := make(chan event.Position, 20)
	f := &recorder{refuse: func(b follow.Batch) error {
		for _, e := range b.Events {
			applied <- e.Position
		}
		return nil
	}}
	o := &follow.Options{Clock: c, Poll: poll}
	stop := r.start(f, o)
	for <-applied != 5 {
	}
	for all := r.status(t); len(all) == 0 || all[0].Position != 5; all = r.status(t) {
		runtime.Gosched() // what was applied gets its checkpoint a moment later
	}
	if err := follow.Pause(t.Context(), r.engine, "recorder"); err != nil {
		t.Fatal(err)
	}
	c.pass(poll)  // the run sees the pause,
	c.until(poll) // and waits
	r.append(t, "Noted", 5)
	c.pass(poll) // still paused
	c.until(poll)
	if got := r.one(t); got.State != follow.Paused || got.Position != 5 || got.Lag != 5 || len(applied) > 0 {
		t.Errorf("paused: %+v, %d applied", got, len(applied))
	}
	if err := stop(); !errors.Is(err, context.Canceled) { // waiting ends at once
		t.Errorf("stop: %v", err)
	}
	stop = r.start(f, o)
	c.until(poll)
	if len(applied) > 0 {
		t.Error("a restart forgot the pause")
	}
	if err := follow.Resume(t.Context(), r.engine, "recorder"); err != nil {
		t.Fatal(err)
	}
	c.pass(poll)
	for <-applied != 10 {
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	if diff := cmp.Diff(span(1, 10), f.positions()); diff != "" {
		t.Error(diff)
	}
	if got := r.one(t); got.State != follow.Running || got.Position != 10 {
		t.Errorf("in the end: %+v", got)
	}
}

// A pause that comes while a batch is applied loses neither the pause nor what was applied.
func TestPauseDuringApply(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 5)
	if err := r.through(t, &recorder{}, nil, 5); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.append(t, "Noted", 5)
	f := &recorder{refuse: func(follow.Batch) error {
		return follow.Pause(context.Background(), r.engine, "recorder")
	}}
	if err := r.through(t, f, nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := r.one(t); got.State != follow.Paused || got.Position != 10 {
		t.Errorf("status is %+v", got)
	}
	if diff := cmp.Diff(span(6, 10), f.positions()); diff != "" {
		t.Error(diff)
	}
}

// A pause that comes while an event is tried again holds before the next try.
func TestPauseDuringRetries(t *testing.T) {
	r, c := newRig(t), newClock()
	r.append(t, "Noted", 5)
	if err := r.through(t, &recorder{}, nil, 5); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.append(t, "Noted", 5)
	f := &recorder{refuse: func(b follow.Batch) error {
		if !holds(b, 8) {
			return nil
		}
		if err := follow.Pause(context.Background(), r.engine, "recorder"); err != nil {
			return err
		}
		return leak{}
	}}
	stop := r.start(f, &follow.Options{Clock: c, Backoff: 10, Poll: poll})
	if diff := cmp.Diff([]time.Duration{poll, poll}, c.first(2)); diff != "" { // idle, then paused: no back-off
		t.Error(diff)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := r.one(t); got.State != follow.Paused || got.Position != 7 {
		t.Errorf("status is %+v", got)
	}
	if diff := cmp.Diff(span(6, 7), f.positions()); diff != "" {
		t.Error(diff)
	}
}

func TestPauseAndResumeRefuse(t *testing.T) {
	r, _, _ := poisoned(t)
	if err := follow.Pause(t.Context(), r.engine, "recorder"); !errors.Is(err, event.ErrConflict) {
		t.Errorf("pause of a poisoned follower: %v", err)
	}
	d := follow.Decision{Position: 1, By: event.Actor{Kind: "employee", ID: "7"}, Reason: "test"}
	for what, err := range map[string]error{
		"pause":  follow.Pause(t.Context(), r.engine, "nobody"),
		"resume": follow.Resume(t.Context(), r.engine, "nobody"),
		"skip":   follow.Skip(t.Context(), r.engine, "nobody", d),
	} {
		if !errors.Is(err, event.ErrNotFound) {
			t.Errorf("%s of a follower that never ran: %v", what, err)
		}
	}
}

// What was applied when a run is told to end is stored: an orderly stop repeats nothing.
func TestOrderlyStopRepeatsNothing(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 5)
	ctx, cancel := context.WithCancel(t.Context())
	f := &recorder{refuse: func(follow.Batch) error {
		cancel()
		return nil
	}}
	if err := follow.Run(ctx, r.session, r.engine, f, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := r.one(t); got.Position != 5 {
		t.Errorf("status is %+v", got)
	}
}

func TestCancellationIsPrompt(t *testing.T) {
	r, c := newRig(t), newClock()
	r.append(t, "Noted", 5)
	inApply := make(chan bool)
	f := &blocked{inApply}
	stop := r.start(f, &follow.Options{Clock: c, Poll: poll})
	<-inApply
	if err := stop(); !errors.Is(err, context.Canceled) { // while it applies
		t.Error(err)
	}
	live := &recorder{}
	stop = r.start(live, &follow.Options{Clock: c, Poll: poll})
	for len(live.positions()) < 5 {
		c.pass(poll)
	}
	if err := stop(); !errors.Is(err, context.Canceled) { // while nothing comes
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := follow.Run(ctx, r.session, r.engine, live, nil); !errors.Is(err, context.Canceled) { // before it began
		t.Error(err)
	}
}

// blocked applies until its context ends.
type blocked struct{ inApply chan bool }

func (*blocked) Name() string { return "blocked" }

func (*blocked) Filter() event.Filter { return nil }

func (b *blocked) Apply(ctx context.Context, _ follow.Batch) error {
	b.inApply <- true
	<-ctx.Done()
	return errors.New("cut off")
}

func TestLag(t *testing.T) {
	r := newRig(t)
	if all := r.status(t); len(all) != 0 {
		t.Errorf("status of an empty store: %v", all)
	}
	r.append(t, "Noted", 10)
	if err := r.through(t, &recorder{}, nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := r.through(t, named("another"), nil, 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.append(t, "Noted", 7)
	want := []follow.Standing{
		{Follower: "another", Lanes: 1, Position: 10, Lag: 7, State: follow.Running},
		{Follower: "recorder", Lanes: 1, Position: 10, Lag: 7, State: follow.Running},
	}
	if diff := cmp.Diff(want, r.status(t)); diff != "" {
		t.Error(diff)
	}
}
