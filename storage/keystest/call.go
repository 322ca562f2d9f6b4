package keystest

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// calls are all calls of a keystore but Close, each of which would do something if it could.
func calls(s storage.Keystore) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"KeyHead": func(ctx context.Context) error {
			_, err := s.KeyHead(ctx)
			return err
		},
		"Keyrings": func(ctx context.Context) error {
			_, err := s.Keyrings(ctx, []event.KRID{person()})
			return err
		},
		"Lookups": func(ctx context.Context) error {
			_, err := s.Lookups(ctx, []storage.LookupToken{token()})
			return err
		},
		"Retentions": func(ctx context.Context) error {
			_, err := s.Retentions(ctx, []storage.RetentionID{{Class: "loan"}})
			return err
		},
		"ChangeKeys": func(ctx context.Context) error {
			c, _, _ := minting(person())
			_, err := s.ChangeKeys(ctx, []storage.KeyChange{c})
			return err
		},
		"ScanKeyrings": func(ctx context.Context) error {
			_, err := s.ScanKeyrings(ctx, storage.KeyringQuery{Limit: 1})
			return err
		},
		"ScrubKeys": func(ctx context.Context) error {
			_, err := s.ScrubKeys(ctx)
			return err
		},
		"RecordUses": func(ctx context.Context) error {
			return s.RecordUses(ctx, []storage.Use{use(1, person())})
		},
		"PageUses": func(ctx context.Context) error {
			_, err := s.PageUses(ctx, storage.UseQuery{Limit: 1})
			return err
		},
		"PruneUses": func(ctx context.Context) error {
			_, err := s.PruneUses(ctx, 1<<62)
			return err
		},
		"KeySizes": func(ctx context.Context) error {
			_, err := s.KeySizes(ctx)
			return err
		},
	}
}

// filled stores something of everything.
func filled(t *testing.T, s storage.Keystore) storage.KeyChange {
	t.Helper()
	c := whole()
	store(t, s, c)
	record(t, s, use(1, c.Keyring.KRID), use(2, c.Keyring.KRID))
	return c
}

// ContextEnded holds that a call with a context that has ended does nothing and says so.
func ContextEnded(t *testing.T, open Open) {
	s := open(t).Keys
	c := filled(t, s)
	before := read(t, s, c)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(s) {
		if err := call(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	same(t, "keystore after calls with an ended context", before, read(t, s, c))
	for name, call := range calls(s) { // the calls were good ones
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// CloseEnds holds that nothing works after Close, and that Close may be repeated.
func CloseEnds(t *testing.T, open Open) {
	s := open(t).Keys
	filled(t, s)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	for name, call := range calls(s) {
		if err := call(t.Context()); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// CopyKept holds that callers may overwrite what they gave and what they got.
func CopyKept(t *testing.T, open Open) {
	s := open(t).Keys
	c, u := whole(), use(1, person(), person())
	u.Words = []byte("words")
	store(t, s, c)
	record(t, s, u)
	before := read(t, s, c)
	for range 2 {
		got := read(t, s, c)
		for _, refused := range change(t, s, storage.KeyChange{Keyring: c.Keyring},
			storage.KeyChange{Retention: c.Retention}, storage.KeyChange{Epoch: c.Epoch}) {
			scribbleOutcome(t, refused)
		}
		asked := keyrings(t, s, c.Keyring.KRID)
		scribble(asked[0].Record, got.Keyrings[0].Record, got.Retentions[0].Record, got.Head.Epochs[0].Record,
			got.Uses[0].Words)
		got.Head.Epochs[0] = storage.Epoch{}
		clear(got.Uses[0].Entries)
		same(t, "keystore after what it gave was overwritten", before, read(t, s, c))
	}
	scribble(c.Keyring.Record, c.Retention.Record, c.Epoch.Record, u.Words)
	clear(u.Entries)
	same(t, "keystore after what it was given was overwritten", before, read(t, s, c))
	mixed := use(2, person(), person(), event.KRID{1}) // its entries are not in order
	given := append([]storage.UseEntry(nil), mixed.Entries...)
	record(t, s, mixed)
	same(t, "entries after they were recorded", given, mixed.Entries)
}

func scribbleOutcome(t *testing.T, o storage.KeyOutcome) {
	t.Helper()
	switch {
	case o.Keyring != nil:
		scribble(o.Keyring.Record)
	case o.Retention != nil:
		scribble(o.Retention.Record)
	case o.Epoch != nil:
		scribble(o.Epoch.Record)
	default:
		t.Errorf("a record was stored twice: %+v", o)
	}
}

func scribble(all ...[]byte) {
	for _, b := range all {
		for i := range b {
			b[i] = 0xee
		}
	}
}
