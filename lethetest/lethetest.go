// Package lethetest helps programs that use Lethe to test themselves: a store in memory, and a clock that stands still
// until it is told to go on.
//
//	clock := lethetest.NewClock()
//	store := lethetest.NewStore(t, &lethetest.Options{Clock: clock})
//	…
//	clock.Advance(24 * time.Hour)
//
// RunStore is the suite that every store is held to, wherever it keeps its events and over whatever network it is
// reached: what it holds, programs may rely on. RunSealed is the same for stores that hold personal data.
package lethetest

import (
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/memory"
)

// Options of a store for tests; nil means the defaults.
type Options struct {
	Clock   event.Clock // nil: the machine's
	Indexed []string    // metadata keys that can be queried
}

// NewStore is an empty store in memory, closed when the test ends.
func NewStore(t testing.TB, o *Options) *lethe.Store {
	t.Helper()
	if o == nil {
		o = new(Options)
	}
	engine := memory.Open(memory.Options{Indexed: o.Indexed})
	store, err := lethe.Open(t.Context(), engine, kms.None, &lethe.Options{Clock: o.Clock})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return store
}
