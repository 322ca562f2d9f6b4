package lethetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/lethetest"
)

func TestStore(t *testing.T) {
	lethetest.RunStore(t, func(t *testing.T, clock event.Clock) *lethe.Store {
		return lethetest.NewStore(t, &lethetest.Options{Clock: clock, Indexed: lethetest.Indexed()})
	})
}

// TestStoreIsClosed: a store for a test ends with it.
func TestStoreIsClosed(t *testing.T) {
	var store *lethe.Store
	t.Run("inner", func(t *testing.T) {
		store = lethetest.NewStore(t, nil)
		if _, err := store.Head(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := store.Head(context.Background()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("after the test: %v", err)
	}
}

func TestClock(t *testing.T) {
	clock := lethetest.NewClock()
	start := clock.Now()
	soon, late, now := clock.After(time.Second), clock.After(time.Hour), clock.After(0)
	if at := <-now; !at.Equal(start) {
		t.Errorf("at once is %s", at)
	}
	clock.Advance(time.Minute)
	if at := <-soon; !at.Equal(start.Add(time.Minute)) || !clock.Now().Equal(at) {
		t.Errorf("woken at %s", at)
	}
	select {
	case <-late:
		t.Error("woken an hour too soon")
	default:
	}
	clock.Advance(-2 * time.Minute)
	if !clock.Now().Before(start) {
		t.Errorf("turned back it is %s", clock.Now())
	}
}
