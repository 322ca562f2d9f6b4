package lethe_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// onEngines runs a test on a new store of each engine.
func onEngines(t *testing.T, run func(t *testing.T, s *lethe.Store)) {
	engines := map[string]func(t *testing.T) storage.Store{
		"memory": func(*testing.T) storage.Store { return memory.Open(memory.Options{}) },
		"sqlite": func(t *testing.T) storage.Store {
			engine, err := sqlite.Open(t.Context(), t.TempDir(), &sqlite.Options{Flush: 16})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		},
	}
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			s, err := lethe.Open(t.Context(), engine(t), kms.None, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			run(t, s)
		})
	}
}

var (
	clerk = event.Actor{Kind: "employee", ID: "7"}
	first = event.Stream("application", "1")
)

func collect(t testing.TB, events func(func(event.Event, error) bool)) (all []event.Event) {
	t.Helper()
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func versions(events []event.Event) (v []event.Version) {
	for _, e := range events {
		v = append(v, e.Version)
	}
	return v
}

func TestKeysAreNeededForPersons(t *testing.T) {
	engine := memory.Open(memory.Options{})
	_, err := lethe.Open(t.Context(), engine, kms.None, &lethe.Options{Persons: []string{"customer"}})
	if !errors.Is(err, event.ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
	if _, err := lethe.Open(t.Context(), engine, nil, nil); event.Code(err) != "no_kms" {
		t.Errorf("got %v, want no_kms", err)
	}
}

func TestReadRanges(t *testing.T) {
	onEngines(t, func(t *testing.T, s *lethe.Store) {
		session := s.As(clerk)
		for n := range 40 {
			d := event.Draft{Type: fmt.Sprint("T", n%2), Data: fmt.Appendf(nil, `{"n": %d}`, n)}
			if _, err := session.Append(t.Context(), first, event.At(event.Version(n)), d); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			r    lethe.Range
			want []event.Version
		}{
			{lethe.Range{From: 39}, []event.Version{39, 40}},
			{lethe.Range{To: 2}, []event.Version{1, 2}},
			{lethe.Range{From: 3, To: 4}, []event.Version{3, 4}},
			{lethe.Range{Backward: true, Limit: 2}, []event.Version{40, 39}},
			{lethe.Range{From: 2, Backward: true}, []event.Version{2, 1}},
			{lethe.Range{From: 41}, nil},
		} {
			got := collect(t, session.Read(t.Context(), first, test.r))
			if diff := cmp.Diff(test.want, versions(got)); diff != "" {
				t.Errorf("%+v: %s", test.r, diff)
			}
		}
		for _, err := range session.Read(t.Context(), event.Stream("application", "none"), lethe.Range{}) {
			if !errors.Is(err, event.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
		}
		q := lethe.Query{Filter: event.Filter{{Types: []string{"T1"}}}, Limit: 3, Backward: true}
		if got := versions(collect(t, session.Query(t.Context(), q))); !cmp.Equal(got, []event.Version{40, 38, 36}) {
			t.Errorf("query backward gives %v", got)
		}
	})
}

func TestSessionsFillIn(t *testing.T) {
	onEngines(t, func(t *testing.T, s *lethe.Store) {
		ctx := t.Context()
		trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		relations := []event.Relation{{Role: "affected", Kind: "branch", ID: "3"}}
		res, err := s.As(clerk).Append(ctx, first, event.None,
			event.Draft{Type: "Root", Traceparent: trace, Relations: relations},
			event.Draft{Type: "Named", Relations: []event.Relation{{Role: "issuer", Kind: "employee", ID: "112"}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(relations) != 1 {
			t.Error("the caller's relations changed")
		}
		root, err := s.As(event.Actor{}).Event(ctx, res.Events[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		want := []event.Relation{{Role: "affected", Kind: "branch", ID: "3"}, clerk.Issuer()}
		if diff := cmp.Diff(want, root.Relations); diff != "" {
			t.Errorf("the actor is the issuer:\n%s", diff)
		}
		named, _ := s.As(clerk).Event(ctx, res.Events[1].ID)
		if len(named.Relations) != 1 || named.Relations[0].ID != "112" {
			t.Errorf("a named issuer stays: %v", named.Relations)
		}
		res, err = s.As(clerk).CausedBy(root).Append(ctx, first, event.Any, event.Draft{Type: "Child"})
		if err != nil {
			t.Fatal(err)
		}
		child, _ := s.As(clerk).Event(ctx, res.Events[0].ID)
		if child.Causation != root.ID || child.Correlation != root.ID.String() || child.Traceparent != trace {
			t.Errorf("the child inherits: %+v", child.Causation)
		}
		res, _ = s.As(clerk).CausedBy(child).Append(ctx, first, event.Any, event.Draft{Type: "Grandchild"})
		grandchild, _ := s.As(clerk).Event(ctx, res.Events[0].ID)
		if grandchild.Causation != child.ID || grandchild.Correlation != root.ID.String() {
			t.Error("the grandchild belongs to the same operation")
		}
	})
}

// TestSubscribe catches up, then sees live events, each once and in order, over a restart in the middle.
func TestSubscribe(t *testing.T) {
	onEngines(t, func(t *testing.T, s *lethe.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		const total = 300
		var appending sync.WaitGroup
		defer appending.Wait() // of all 300, though the subscription ends before
		appending.Go(func() {
			for n := range total {
				stream, draft := event.Stream("application", fmt.Sprint(n%7)), event.Draft{Type: fmt.Sprint("T", n%3)}
				if _, err := s.As(clerk).Append(t.Context(), stream, event.Any, draft); err != nil {
					t.Error(err)
					return
				}
			}
		})
		var seen []event.Position
		var cursor event.Cursor
		for len(seen) < total*2/3 {
			for e, err := range s.As(clerk).Subscribe(ctx, event.Filter{{Types: []string{"T0", "T2"}}}, cursor) {
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, e.Position)
				cursor = s.Cursor(e.Position)
				if len(seen)%50 == 0 {
					break // and resume from the cursor
				}
			}
		}
		want := event.Position(1)
		for _, p := range seen {
			if p != want {
				t.Fatalf("saw %d, want %d", p, want)
			}
			if want++; want%3 == 2 {
				want++
			}
		}
		cancel()
		for _, err := range s.As(clerk).Subscribe(ctx, nil, cursor) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
		}
	})
}

func TestTruncatedEventsAreSkipped(t *testing.T) {
	onEngines(t, func(t *testing.T, s *lethe.Store) {
		ctx, session := t.Context(), s.As(clerk)
		for range 4 {
			if _, err := session.Append(ctx, first, event.Any, event.Draft{Type: "T"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := session.TruncateStream(ctx, first, 3); err != nil {
			t.Fatal(err)
		}
		if got := versions(collect(t, session.Read(ctx, first, lethe.Range{}))); !cmp.Equal(got, []event.Version{3, 4}) {
			t.Errorf("read gives versions %v", got)
		}
		stubs := collect(t, session.Read(ctx, first, lethe.Range{Pruned: true}))
		if len(stubs) != 4 || !stubs[0].Pruned || stubs[0].Type != "T" || stubs[0].Leaf == [32]byte{} {
			t.Errorf("stubs keep header and leaf: %v", stubs)
		}
		if err := session.CloseStream(ctx, first); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Append(ctx, first, event.Any, event.Draft{Type: "T"}); !errors.Is(err, event.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if err := session.SetMaxAge(ctx, "application", time.Hour); err != nil {
			t.Fatal(err)
		}
		if ages, err := s.MaxAges(ctx); err != nil || ages["application"] != time.Hour {
			t.Errorf("ages %v, %v", ages, err)
		}
	})
}

func TestReadYourWrites(t *testing.T) {
	onEngines(t, func(t *testing.T, s *lethe.Store) {
		for n := range 50 {
			_, err := s.As(clerk).AppendAll(t.Context(), log.Request{Writes: []log.Write{
				{Stream: event.Stream("a", fmt.Sprint(n)), Expected: event.None, Events: []event.Draft{{Type: "A"}}},
				{Stream: event.Stream("b", "all"), Expected: event.At(event.Version(n)), Events: []event.Draft{{Type: "B"}}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			if got := collect(t, s.As(clerk).Read(t.Context(), event.Stream("b", "all"), lethe.Range{})); len(got) != n+1 {
				t.Fatalf("after append %d: %d events", n+1, len(got))
			}
		}
	})
}
