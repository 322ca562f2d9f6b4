package kmstest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
)

func faulty(t *testing.T) (*kmstest.Faulty, kms.Item) {
	t.Helper()
	f := kmstest.NewFaulty(kmstest.New(t))
	if err := f.Create(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	wrapped, err := f.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte("secret")}})
	if err != nil {
		t.Fatal(err)
	}
	return f, kms.Item{Bytes: wrapped[0]}
}

func TestFaults(t *testing.T) {
	f, item := faulty(t)
	for fault, code := range map[kmstest.Fault]string{
		kmstest.Down: kms.CodeUnavailable, kmstest.Denying: kms.CodeDenied, kmstest.NoMount: kms.CodeMount,
		kmstest.Elsewhere: kms.CodeMissing, kmstest.AnswerLost: kms.CodeUnavailable, kmstest.Well: "",
	} {
		f.Set(fault)
		before := f.Calls("Unwrap")
		out, err := f.Unwrap(t.Context(), "root", []kms.Item{item})
		if event.Code(err) != code || (err == nil) != (len(out) == 1) {
			t.Errorf("fault %d: %d items, %v", fault, len(out), err)
		}
		if n := f.Calls("Unwrap"); n != before+1 {
			t.Errorf("fault %d: %d calls counted, want %d", fault, n, before+1)
		}
	}
	f.Set(kmstest.Well)
	f.Lose("root", true)
	if state, err := f.State(t.Context(), "root"); state != 0 || event.Code(err) != kms.CodeMissing {
		t.Errorf("lost: state %d, %v", state, err)
	}
	f.Lose("root", false)
	f.Set(kmstest.AnswerLost)
	if d, err := f.Destroy(t.Context(), "root"); event.Code(err) != kms.CodeUnavailable || !d.Effective.IsZero() {
		t.Errorf("destroy with its answer lost: %+v, %v", d, err)
	}
	f.Set(kmstest.Well)
	if state, err := f.State(t.Context(), "root"); state != kms.Destroyed || err != nil {
		t.Errorf("what was done without an answer: state %d, %v", state, err)
	}
}

func TestHeld(t *testing.T) {
	f, item := faulty(t)
	f.Set(kmstest.Held)
	ctx, cancel := context.WithCancel(t.Context())
	ended, released := make(chan error), make(chan error)
	unwrap := func(ctx context.Context, done chan<- error) {
		_, err := f.Unwrap(ctx, "root", []kms.Item{item})
		done <- err
	}
	go unwrap(ctx, ended)
	go unwrap(t.Context(), released)
	<-f.Arrived()
	<-f.Arrived()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || event.Code(err) != kms.CodeUnavailable {
		t.Errorf("a caller that waits no longer: %v", err)
	}
	f.Set(kmstest.Well)
	if err := <-released; err != nil {
		t.Errorf("a caller that waited: %v", err)
	}
}

func TestClock(t *testing.T) {
	start := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	c := kmstest.NewClock(start)
	soon, late := c.After(time.Second), c.After(time.Hour)
	if d := <-c.Asked(); d != time.Second {
		t.Errorf("asked for %v", d)
	}
	c.Move(time.Minute)
	if at := <-soon; !at.Equal(start.Add(time.Minute)) || !c.Now().Equal(at) {
		t.Errorf("woken at %v", at)
	}
	select {
	case <-late:
		t.Error("woken too early")
	default:
	}
}
