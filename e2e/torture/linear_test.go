package torture_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// bed opens one store again and again.
type bed struct {
	name string
	open func() (storage.Store, error)

	patience time.Duration // with watchers of a broken engine, which may never see the end; 0: for ever
}

// memoryBed keeps its store: closing is left to the garbage collector, since what is closed is gone.
func memoryBed(chance *rand.Rand) bed {
	var mu sync.Mutex
	lose := func(op string) error {
		mu.Lock()
		defer mu.Unlock()
		if op == memory.OpCommitAck && chance.IntN(50) == 0 {
			return errors.New("the answer was lost")
		}
		return nil
	}
	s := memory.Open(memory.Options{Fail: lose})
	return bed{name: "memory", open: func() (storage.Store, error) { return kept{s}, nil }}
}

type kept struct{ storage.Store }

func (kept) Close() error { return nil }

func sqliteBed(t *testing.T) bed {
	dir := t.TempDir()
	return bed{name: "sqlite", open: func() (storage.Store, error) {
		return sqlite.Open(context.Background(), dir, &sqlite.Options{Flush: 16})
	}}
}

const (
	clients = 6
	phases  = 2 // the store is opened anew for each
	steps   = 10
)

// TestLinearizable runs histories of concurrent clients, whose appends conflict and are sometimes of unknown outcome,
// while subscribers and followers watch, over restarts of the store.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	from := seed(t)
	counts := make(map[outcome]int)
	for n := range scale(t, "LETHE_HISTORIES", 240) {
		random := chance(from, n)
		b := memoryBed(random)
		if n%4 == 0 {
			b = sqliteBed(t)
		}
		h := newHistory(random.Uint64())
		if err := runHistory(t, b, h, random); err != nil {
			t.Fatalf("history %d of LETHE_SEED=%d on %s: %v", n, from, b.name, err)
		}
		for o, c := range h.counts {
			counts[o] += c
		}
	}
	all := counts[done] + counts[conflict] + counts[hit] + counts[nothing] + counts[unknown]
	t.Logf("%d appends to a stream: %d done, %d conflicts, %d conditions failed, %d without effect, %d unknown", all,
		counts[done], counts[conflict], counts[hit], counts[nothing], counts[unknown])
	if 10*(counts[conflict]+counts[hit]) < all {
		t.Errorf("fewer than 10 %% conflicts")
	}
	if counts[unknown] == 0 || 100*counts[unknown] > all {
		t.Errorf("want some unknown outcomes, but at most 1 %%")
	}
}

func runHistory(t *testing.T, b bed, h *history, random *rand.Rand) error {
	watch := newWatchers(random.Uint64())
	streams := []event.StreamID{event.Stream("a", "1"), event.Stream("a", "2"), event.Stream("b", "1")}
	everyone := make([]*client, clients)
	for i := range everyone {
		everyone[i] = &client{number: i, h: h, chance: chance(random.Uint64(), i), streams: streams,
			known: make(map[event.StreamID]known)}
	}
	for phase := range phases {
		if err := runPhase(t, b, everyone, watch, phase == phases-1); err != nil {
			return fmt.Errorf("phase %d: %w", phase, err)
		}
	}
	if h.oddity != nil {
		return h.oddity
	}
	return judge(t.Context(), b, h, watch)
}

func runPhase(t *testing.T, b bed, everyone []*client, watch *watchers, last bool) error {
	h, random := everyone[0].h, everyone[0].chance
	engine, err := b.open()
	if err != nil {
		return err
	}
	shaken := &shaky{Store: engine, h: h, chance: chance(random.Uint64(), 0)}
	options := &lethe.Options{Clock: newStepClock(), Batch: 1 + random.IntN(8)}
	store, err := lethe.Open(t.Context(), shaken, kms.None, options)
	if err != nil {
		return err
	}
	abrupt := !last && random.IntN(3) == 0 && b.name == "sqlite"
	stop := watch.start(t.Context(), store)
	var wg sync.WaitGroup
	for _, c := range everyone {
		c.store = store
		wg.Go(func() {
			c.run(t.Context(), steps)
			if abrupt && c.number == 0 { // the others are still at work
				abruptly(h, store)
			}
		})
	}
	wg.Wait()
	if last {
		err = watch.drain(t.Context(), store, b.patience)
	}
	return errors.Join(err, stop(), store.Close())
}

func abruptly(h *history, store *lethe.Store) {
	if err := store.Close(); err != nil {
		h.odd(err)
	}
}

// judge holds a finished history against the model and the log it left behind.
func judge(ctx context.Context, b bed, h *history, watch ...*watchers) error {
	switch porcupine.CheckOperationsTimeout(streamModel(), h.ops, 20*time.Second) {
	case porcupine.Illegal:
		return errors.New("it is not linearizable")
	case porcupine.Unknown:
		return errors.New("it could not be decided in 20 s, which counts as failure")
	}
	engine, err := b.open()
	if err != nil {
		return err
	}
	events, findings := inspect(ctx, engine)
	if err := errors.Join(engine.Close(), findings); err != nil {
		return err
	}
	errs := []error{h.checkPlaces(events), h.checkOrder(), h.checkWhole(events)}
	for _, w := range watch {
		errs = append(errs, w.check(events))
	}
	return errors.Join(errs...)
}

// checkPlaces: every acknowledged event is in the log once, where it was said to be.
func (h *history) checkPlaces(events []event.Event) error {
	for _, p := range h.placed {
		for _, e := range p.result.Events {
			if e.Position == 0 || int(e.Position) > len(events) {
				return fmt.Errorf("event %s was acknowledged at %d, beyond the end", e.ID, e.Position)
			}
			got := &events[e.Position-1]
			if got.ID != e.ID || got.Stream != e.Stream || got.Version != e.Version {
				return fmt.Errorf("acknowledged was event %s at %d, there is %s", e.ID, e.Position, got)
			}
		}
	}
	return nil
}

// checkOrder: what was acknowledged before another append began lies before it.
func (h *history) checkOrder() error {
	byReturn := slices.Clone(h.placed)
	slices.SortFunc(byReturn, func(a, b placement) int { return cmp.Compare(a.returned, b.returned) })
	slices.SortFunc(h.placed, func(a, b placement) int { return cmp.Compare(a.called, b.called) })
	highest, n := event.Position(0), 0
	for _, p := range h.placed {
		for ; byReturn[n].returned < p.called; n++ {
			highest = max(highest, byReturn[n].result.Last())
		}
		if first := p.result.Events[0].Position; first <= highest {
			return fmt.Errorf("an append at %d began after one at %d was acknowledged", first, highest)
		}
	}
	return nil
}

// checkWhole: of every append there is all or nothing, and of refused ones nothing.
func (h *history) checkWhole(events []event.Event) error {
	there := make(map[uint32]bool, len(events))
	for i := range events {
		there[numberOf(events[i].ID)] = true
	}
	for _, op := range h.ops {
		c, a := op.Input.(*call), op.Output.(*answer)
		for _, n := range c.add {
			switch {
			case there[n] != there[c.with]:
				return fmt.Errorf("of the append that began with event %d there is only a part", c.with)
			case there[n] && a.outcome != done && a.outcome != unknown:
				return fmt.Errorf("event %d was refused and is in the log", n)
			}
		}
	}
	for n := range there {
		if n > h.numbers.Load() || n == none {
			return fmt.Errorf("event %d was never submitted", n)
		}
	}
	return nil
}
