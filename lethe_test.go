package lethe_test

import (
	"errors"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/lethetest"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// TestStore holds embedded stores to what package lethe promises; package client does the same over the network.
func TestStore(t *testing.T) {
	engines := map[string]func(t *testing.T) storage.Store{
		"memory": func(*testing.T) storage.Store { return memory.Open(memory.Options{Indexed: lethetest.Indexed()}) },
		"sqlite": func(t *testing.T) storage.Store {
			engine, err := sqlite.Open(t.Context(), t.TempDir(), &sqlite.Options{Flush: 16, Indexed: lethetest.Indexed()})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		},
		"postgres": func(t *testing.T) storage.Store {
			engine, err := postgres.Open(t.Context(), pgtest.Place(t),
				&postgres.Options{Create: true, Flush: 16, Indexed: lethetest.Indexed()})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		},
	}
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lethetest.RunStore(t, func(t *testing.T, clock event.Clock) *lethe.Store {
				s, err := lethe.Open(t.Context(), engine(t), kms.None, &lethe.Options{Clock: clock})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				return s
			})
		})
	}
}

// TestSealed holds embedded stores to what package lethe promises of personal data, each with the keystore that goes
// with its engine.
func TestSealed(t *testing.T) {
	type engine func(t *testing.T) (storage.Store, storage.Keystore, error)
	engines := map[string]engine{
		"memory": func(*testing.T) (storage.Store, storage.Keystore, error) {
			return memory.Open(memory.Options{}), memory.NewKeys(), nil
		},
		"sqlite": func(t *testing.T) (storage.Store, storage.Keystore, error) {
			dir := t.TempDir()
			log, err := sqlite.Open(t.Context(), dir, nil)
			if err != nil {
				return nil, nil, err
			}
			keys, err := sqlitekeys.Open(t.Context(), dir, nil)
			return log, keys, err
		},
		"postgres": func(t *testing.T) (storage.Store, storage.Keystore, error) {
			place := pgtest.Place(t)
			log, err := postgres.Open(t.Context(), place, &postgres.Options{Create: true})
			if err != nil {
				return nil, nil, err
			}
			keys, err := pgkeys.Open(t.Context(), place, &pgkeys.Options{Create: true})
			return log, keys, err
		},
	}
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lethetest.RunSealed(t, func(t *testing.T, service kms.KMS, o *lethe.Options) (store, home *lethe.Store) {
				log, keys, err := engine(t)
				if err != nil {
					t.Fatal(err)
				}
				o.Keystore = keys
				s, err := lethe.Open(t.Context(), log, service, o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				return s, s
			})
		})
	}
}

func TestKeysAreNeededForPersons(t *testing.T) {
	engine := memory.Open(memory.Options{})
	if _, err := lethe.Open(t.Context(), engine, nil, nil); event.Code(err) != "no_kms" {
		t.Errorf("got %v, want no_kms", err)
	}
	_, err := lethe.Open(t.Context(), engine, kms.None, &lethe.Options{Keystore: memory.NewKeys()})
	if event.Code(err) != "no_keystore" {
		t.Errorf("a keystore without a key service: got %v, want no_keystore", err)
	}
	if _, err := lethe.Open(t.Context(), engine, kmstest.New(t), nil); event.Code(err) != "no_keystore" {
		t.Errorf("a key service without a keystore: got %v, want no_keystore", err)
	}
	s, err := lethe.Open(t.Context(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	document := []byte(`{"version": 1, "kinds": {"customer": {"person": true}}}`)
	if _, err := s.Privacy().SetPolicy(t.Context(), event.Actor{}, document, false); err != nil {
		t.Fatal(err)
	}
	draft := event.Draft{Type: "Registered"}
	_, err = s.As(event.Actor{}).Append(t.Context(), event.Stream("customer", "4711"), event.Any, draft)
	if !errors.Is(err, event.ErrUnsupported) {
		t.Errorf("append about a person without keys: got %v, want ErrUnsupported", err)
	}
}

// TestDeclaredElsewhere reads about a person whose kind another process declared meanwhile.
func TestDeclaredElsewhere(t *testing.T) {
	engine, keys, service := memory.Open(memory.Options{}), memory.NewKeys(), kmstest.New(t)
	open := func() *lethe.Store {
		s, err := lethe.Open(t.Context(), engine, service, &lethe.Options{Keystore: keys})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	reader, writer := open(), open()
	document := []byte(`{"version": 1, "kinds": {"customer": {"person": true}}}`)
	if _, err := writer.Privacy().SetPolicy(t.Context(), event.Actor{}, document, false); err != nil {
		t.Fatal(err)
	}
	stream := event.Stream("customer", "4711")
	if _, err := writer.As(event.Actor{}).Append(t.Context(), stream, event.None, event.Draft{Type: "Met"}); err != nil {
		t.Fatal(err)
	}
	found := 0
	for e, err := range reader.As(event.Actor{}).Read(t.Context(), stream, lethe.Range{}) {
		if err != nil || e.Type != "Met" {
			t.Fatalf("read: %v, %v", e, err)
		}
		found++
	}
	if found != 1 {
		t.Errorf("%d events were found", found)
	}
	unknown := event.Draft{Type: "Met", Schema: event.SchemaID{1}}
	plain, err := lethe.Open(t.Context(), memory.Open(memory.Options{}), kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, err = plain.As(event.Actor{}).Append(t.Context(), event.Stream("case", "1"), event.Any, unknown)
	if event.Code(err) != "schema_unknown" {
		t.Errorf("append under a schema nobody pushed: %v", err)
	}
}
