package storagetest

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// WaitWakes holds that Wait returns at once for what is there, and for everybody when it comes.
func WaitWakes(t *testing.T, open Open) {
	const waiters, commits = 5, 20
	s := open(t).Store
	Append(t, s, items(3)...)
	for after := range event.Position(3) {
		if err := s.Wait(t.Context(), after); err != nil {
			t.Fatalf("wait after %d: %v", after, err)
		}
	}
	var waiting sync.WaitGroup
	for range waiters {
		waiting.Go(func() { // hangs if it is not woken: an early return is allowed, a missed commit is not
			for last := event.Position(3); last < 3+commits; {
				if err := s.Wait(t.Context(), last); err != nil {
					t.Errorf("wait after %d: %v", last, err)
					return
				}
				head, err := s.Head(t.Context())
				if err != nil {
					t.Errorf("head: %v", err)
					return
				}
				last = head.Position
			}
		})
	}
	for range commits {
		Append(t, s, items(1)...)
	}
	waiting.Wait()
}

// WaitEnds holds that Wait ends with its context, and that the commit it did not wait for still comes.
func WaitEnds(t *testing.T, open Open) {
	s := open(t).Store
	ctx, cancel := context.WithCancel(t.Context())
	ended := waiters(ctx, s)
	for range 10 { // time for them to get into Wait; an append would wake them
		read(t, s)
	}
	cancel()
	for err := range ended {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("wait with a context that ended: %v", err)
		}
	}
	Append(t, s, items(1)...)
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
}

// waiters wait in several goroutines for what does not come, until Wait gives an error. All have begun on return;
// the channel is closed when all have ended.
func waiters(ctx context.Context, s storage.Store) <-chan error {
	const n = 4
	ended := make(chan error, n)
	var begun, waiting sync.WaitGroup
	begun.Add(n)
	for i := range n {
		after := []event.Position{1 << 40, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64}[i]
		waiting.Go(func() {
			begun.Done()
			for {
				if err := s.Wait(ctx, after); err != nil {
					ended <- err
					return
				}
			}
		})
	}
	go func() {
		waiting.Wait()
		close(ended)
	}()
	begun.Wait()
	return ended
}
