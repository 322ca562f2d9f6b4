package follow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

// leak is an error as followers write them, with payload in it.
type leak struct{ sentinel error }

func (leak) Error() string { return "no column for plain text" }

func (l leak) Unwrap() error { return l.sentinel }

func (leak) ErrorCode() string { return "plain text" }

// at42 refuses position 42.
func at42(b follow.Batch) error {
	if holds(b, 42) {
		return fmt.Errorf("apply: %w", leak{event.ErrNotFound})
	}
	return nil
}

func patient() *follow.Options { return &follow.Options{Clock: &hasty{}, Poll: poll} }

// poisoned is a follower stopped at position 42 of 100.
func poisoned(t *testing.T) (*rig, *recorder, error) {
	t.Helper()
	r := newRig(t)
	r.append(t, "Noted", 100)
	f := &recorder{refuse: at42}
	return r, f, follow.Run(t.Context(), r.session, r.engine, f, patient())
}

func TestPoisonIsNamed(t *testing.T) {
	r, f, err := poisoned(t)
	p, ok := errors.AsType[*follow.Poisoned](err)
	if !ok {
		t.Fatalf("run: %v", err)
	}
	if diff := cmp.Diff(span(1, 41), f.positions()); diff != "" {
		t.Errorf("applied: %s", diff)
	}
	event42 := idAt(t, r, 42)
	if p.Follower != "recorder" || p.Position != 42 || p.ID != event42 || p.Code != "internal" {
		t.Errorf("poison is %+v", p)
	}
	if text := fmt.Sprintf("%v %#v", err, p); strings.Contains(text, "plain") {
		t.Errorf("the error holds payload: %s", text)
	}
	if _, ok := errors.AsType[leak](err); !ok || errors.Is(err, event.ErrNotFound) ||
		!errors.Is(err, event.ErrInvalid) || event.Code(err) != "poisoned" {
		t.Errorf("%v: cause not found by type, or taken for its sentinel", err)
	}
	got := r.one(t)
	if got.State != follow.Stopped || got.Position != 41 || got.Lag != 59 || got.Poison.Position != 42 ||
		got.Poison.ID != event42 || got.Poison.Cause != nil {
		t.Errorf("status is %+v", got)
	}
	if c, err := r.engine.Checkpoint(t.Context(), "recorder"); err != nil || bytes.Contains(c.Note, []byte("plain")) {
		t.Errorf("the note holds payload: %s, %v", c.Note, err)
	}
}

func idAt(t *testing.T, r *rig, p event.Position) event.ID {
	t.Helper()
	for e, err := range r.session.Subscribe(t.Context(), nil, r.store.Cursor(p-1)) {
		if err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	t.Fatal("no event")
	return event.ID{}
}

func TestRestartStaysPoisonedUntilResumed(t *testing.T) {
	r, f, _ := poisoned(t)
	calls := f.calls
	f.refuse = nil // mended, but nobody said so
	for range 2 {
		err := follow.Run(t.Context(), r.session, r.engine, f, patient())
		if p, ok := errors.AsType[*follow.Poisoned](err); !ok || p.Position != 42 || p.Cause != nil {
			t.Fatalf("restart: %v", err)
		}
	}
	if f.calls != calls {
		t.Error("a poisoned follower was given events")
	}
	if err := follow.Resume(t.Context(), r.engine, "recorder"); err != nil {
		t.Fatal(err)
	}
	if err := r.through(t, f, patient(), 100); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(span(1, 100), f.positions()); diff != "" {
		t.Error(diff)
	}
	if got := r.one(t); got.State != follow.Running || got.Skipped != 0 {
		t.Errorf("status is %+v", got)
	}
}

// With one try there is no wait before which what precedes is stored; the poison's own write has to.
func TestOneTry(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 100)
	f := &recorder{refuse: at42}
	err := follow.Run(t.Context(), r.session, r.engine, f, &follow.Options{Tries: 1})
	if p, ok := errors.AsType[*follow.Poisoned](err); !ok || p.Position != 42 {
		t.Fatal(err)
	}
	if got := r.one(t); got.Position != 41 || len(f.positions()) != 41 {
		t.Errorf("status is %+v, applied were %d", got, len(f.positions()))
	}
}

func TestFirstEventMayBePoison(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 3)
	f := &recorder{refuse: func(b follow.Batch) error {
		if holds(b, 1) {
			return leak{}
		}
		return nil
	}}
	err := follow.Run(t.Context(), r.session, r.engine, f, patient())
	if p, ok := errors.AsType[*follow.Poisoned](err); !ok || p.Position != 1 {
		t.Fatal(err)
	}
	d := follow.Decision{Position: 1, By: event.Actor{Kind: "employee", ID: "7"}, Reason: "test"}
	if err := follow.Skip(t.Context(), r.engine, "recorder", d); err != nil {
		t.Fatal(err)
	}
	if err := r.through(t, f, patient(), 3); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(span(2, 3), f.positions()); diff != "" {
		t.Error(diff)
	}
}

func TestSkipIsADecisionThatIsKept(t *testing.T) {
	r, f, _ := poisoned(t)
	good := follow.Decision{Position: 42, By: event.Actor{Kind: "employee", ID: "7"}, Reason: "known_bad"}
	for want, change := range map[string]func(*follow.Decision){
		"conflict":         func(d *follow.Decision) { d.Position = 41 },
		"malformed_reason": func(d *follow.Decision) { d.Reason = "It said plain text." },
		"malformed_name":   func(d *follow.Decision) { d.By = event.Actor{} },
	} {
		bad := good
		change(&bad)
		if err := follow.Skip(t.Context(), r.engine, "recorder", bad); event.Code(err) != want {
			t.Errorf("skip %+v: %v, want %s", bad, err, want)
		}
	}
	if got := r.one(t); got.State != follow.Stopped {
		t.Fatalf("refused skips changed it: %+v", got)
	}
	if err := follow.Skip(t.Context(), r.engine, "recorder", good); err != nil {
		t.Fatal(err)
	}
	if err := follow.Skip(t.Context(), r.engine, "recorder", good); !errors.Is(err, event.ErrConflict) {
		t.Errorf("second skip: %v", err)
	}
	if err := r.through(t, f, patient(), 100); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append(span(1, 41), span(43, 100)...), f.positions()); diff != "" {
		t.Error(diff)
	}
	got := r.one(t)
	want := []follow.Skipped{{ID: idAt(t, r, 42), Code: "internal", Decision: good}}
	if diff := cmp.Diff(want, got.Skips); diff != "" || got.Skipped != 1 || got.Position != 100 {
		t.Errorf("status is %+v: %s", got, diff)
	}
}

func TestNotesKeepTheLastSkips(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 40)
	f := &recorder{refuse: func(follow.Batch) error { return leak{} }}
	for i := range 40 {
		p, ok := errors.AsType[*follow.Poisoned](follow.Run(t.Context(), r.session, r.engine, f, patient()))
		if !ok || p.Position != event.Position(i+1) {
			t.Fatalf("run %d stopped at %+v", i, p)
		}
		d := follow.Decision{Position: p.Position, By: event.Actor{Kind: "employee", ID: "a&b"}, Reason: "test"}
		if err := follow.Skip(t.Context(), r.engine, "recorder", d); err != nil {
			t.Fatal(err)
		}
	}
	got := r.one(t)
	if got.Skipped != 40 || len(got.Skips) != 32 || got.Skips[31].Position != 40 || got.Skips[0].Position != 9 {
		t.Errorf("status is %+v", got)
	}
}

func TestBackoffDoublesUpToABound(t *testing.T) {
	for _, c := range []struct {
		name   string
		random byte
		want   []time.Duration
	}{
		{"least jitter", 0x00, []time.Duration{5, 10, 20, 35, 35}},
		{"most jitter", 0xff, []time.Duration{10, 20, 40, 70, 70}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.append(t, "Noted", 1)
			passed := new(hasty)
			f := &recorder{refuse: func(follow.Batch) error { return leak{} }}
			err := follow.Run(t.Context(), r.session, r.engine, f, &follow.Options{
				Clock: passed, Rand: same(c.random), Tries: 6, Backoff: 10, MaxBackoff: 70, Poll: poll,
			})
			if _, ok := errors.AsType[*follow.Poisoned](err); !ok {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, passed.waited); diff != "" || f.calls != 6 {
				t.Errorf("%d tries, waits: %s", f.calls, diff)
			}
		})
	}
}

// same is a source of one byte.
type same byte

func (s same) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s)
	}
	return len(b), nil
}

func TestPassingFailureIsOvercome(t *testing.T) {
	r := newRig(t)
	r.append(t, "Noted", 20)
	failures := 0
	f := &recorder{refuse: func(b follow.Batch) error {
		if holds(b, 7) && failures < 4 {
			failures++
			return leak{}
		}
		return nil
	}}
	if err := r.through(t, f, patient(), 20); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(span(1, 20), f.positions()); diff != "" {
		t.Error(diff)
	}
}

// What precedes an event that makes trouble is stored before the wait.
func TestCheckpointBeforeTheWait(t *testing.T) {
	r, c := newRig(t), newClock()
	r.append(t, "Noted", 100)
	stop := r.start(&recorder{refuse: at42}, &follow.Options{Clock: c, Rand: same(0), Backoff: 10, Poll: poll})
	c.until(5)
	if got := r.one(t); got.Position != 41 || got.State != follow.Running {
		t.Errorf("while it waits: %+v", got)
	}
	if err := stop(); !errors.Is(err, context.Canceled) { // a wait ends at once
		t.Error(err)
	}
}

func TestOutageIsNotPoison(t *testing.T) {
	for _, c := range []struct {
		sentinel error
		calls    int
	}{
		{event.ErrUnavailable, 5}, {event.ErrFull, 5}, {event.ErrUnknown, 5},
		{event.ErrFailed, 1}, {event.ErrForked, 1}, {event.ErrHeld, 1}, {event.ErrCorrupt, 1},
	} {
		t.Run(event.Code(c.sentinel), func(t *testing.T) {
			r := newRig(t)
			r.append(t, "Noted", 10)
			f := &recorder{refuse: func(follow.Batch) error { return leak{c.sentinel} }}
			err := follow.Run(t.Context(), r.session, r.engine, f, patient())
			if !errors.Is(err, c.sentinel) || strings.Contains(err.Error(), "plain") {
				t.Errorf("run: %v", err)
			}
			if f.calls != c.calls {
				t.Errorf("%d tries, want %d", f.calls, c.calls)
			}
			f.refuse = nil
			if err := r.through(t, f, patient(), 10); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(span(1, 10), f.positions()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
