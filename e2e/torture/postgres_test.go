package torture_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// crowd are watchers at one store of several on the same log.
type crowd struct {
	*watchers
	store *lethe.Store
	stop  func() error
}

// watchAt lets watchers begin. Those of store 0 have the plain names.
func watchAt(ctx context.Context, store *lethe.Store, seed uint64, n int) *crowd {
	c := &crowd{watchers: newWatchers(seed), store: store}
	if n > 0 {
		c.suffixed(fmt.Sprint("-", n))
	}
	c.stop = c.start(ctx, store)
	return c
}

// TestLinearizableOverTwoStores runs histories of concurrent clients over two opened stores on one schema, each with
// an engine, a sequencer and a network of its own. Networks are cut, answers of the engine get lost, and one of the
// stores is closed and opened in the middle.
func TestLinearizableOverTwoStores(t *testing.T) {
	t.Parallel()
	from := seed(t)
	counts := make(map[outcome]int)
	cuts := 0
	for n := range scale(t, "LETHE_SHARED_HISTORIES", 8) {
		random := chance(from, n)
		s := newShared(t, random)
		if err := s.run(t.Context()); err != nil {
			t.Fatalf("history %d of LETHE_SEED=%d: %v", n, from, err)
		}
		for o, c := range s.h.counts {
			counts[o] += c
		}
		cuts += s.cuts
	}
	all := counts[done] + counts[conflict] + counts[hit] + counts[nothing] + counts[unknown]
	t.Logf("%d appends to a stream: %d done, %d conflicts, %d conditions failed, %d without effect, %d unknown; "+
		"%d networks cut", all, counts[done], counts[conflict], counts[hit], counts[nothing], counts[unknown], cuts)
	if 10*(counts[conflict]+counts[hit]) < all {
		t.Errorf("fewer than 10 %% conflicts")
	}
	if cuts == 0 {
		t.Error("nothing was cut")
	}
}

// shared is one history over two stores.
type shared struct {
	h       *history
	chance  *rand.Rand
	address string
	sides   [2]side

	mu   sync.Mutex
	cuts int
}

// side is one of the stores: what is there of a process. watch outlives its restarts.
type side struct {
	line  *pgtest.Line
	watch *watchers
	store *lethe.Store
	stop  func() error
}

func newShared(t *testing.T, random *rand.Rand) *shared {
	s := &shared{h: newHistory(random.Uint64()), chance: random, address: pgtest.Place(t)}
	for i := range s.sides {
		s.sides[i].line = pgtest.Proxy(t, s.address)
		s.sides[i].watch = newWatchers(random.Uint64()).suffixed(fmt.Sprint("-", i))
	}
	return s
}

func (s *shared) open(ctx context.Context, n int) error {
	x := &s.sides[n]
	engine, err := postgres.Open(ctx, x.line.Address(), &postgres.Options{Flush: 16, Create: true})
	if err != nil {
		return err
	}
	shaken := &shaky{Store: engine, h: s.h, chance: chance(s.chance.Uint64(), n)}
	x.store, err = lethe.Open(ctx, shaken, kms.None, &lethe.Options{Batch: 1 + s.chance.IntN(8)})
	if err != nil {
		return err
	}
	x.stop = x.watch.start(ctx, x.store)
	return nil
}

func (s *shared) run(ctx context.Context) error {
	streams := []event.StreamID{event.Stream("a", "1"), event.Stream("a", "2"), event.Stream("b", "1")}
	everyone := make([]*client, clients)
	for i := range everyone {
		everyone[i] = &client{number: i, h: s.h, chance: chance(s.chance.Uint64(), i), streams: streams,
			known: make(map[event.StreamID]known)}
	}
	for n := range s.sides {
		if err := s.open(ctx, n); err != nil {
			return err
		}
	}
	s.phase(ctx, everyone, true)
	closed := &s.sides[0]
	if err := errors.Join(closed.stop(), closed.store.Close(), s.open(ctx, 0)); err != nil {
		return err
	}
	s.phase(ctx, everyone, false)
	var err error
	for i := range s.sides {
		if err == nil {
			err = s.sides[i].watch.drain(ctx, s.sides[i].store, patience)
		}
	}
	for i := range s.sides {
		err = errors.Join(err, s.sides[i].stop(), s.sides[i].store.Close())
	}
	if err = errors.Join(err, s.h.oddity); err != nil {
		return err
	}
	b := bed{name: "postgres", open: func() (storage.Store, error) {
		return postgres.Open(context.Background(), s.address, &postgres.Options{Flush: 16})
	}}
	return judge(ctx, b, s.h, s.sides[0].watch, s.sides[1].watch)
}

// phase lets all clients make their steps, half of them at either side. abrupt: side 0 closes while they work.
func (s *shared) phase(ctx context.Context, everyone []*client, abrupt bool) {
	var wg sync.WaitGroup
	for i, c := range everyone {
		x := s.sides[i%2]
		c.store = x.store
		wg.Go(func() {
			for range steps {
				c.run(ctx, 1)
				if c.chance.IntN(15) == 0 {
					x.line.CutAll()
					s.cut()
				}
			}
			if abrupt && i == 0 { // the others are still at work
				abruptly(s.h, x.store)
			}
		})
	}
	wg.Wait()
}

func (s *shared) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
}
