package sealing_test

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/localkms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("LETHE_SEALING_VICTIM"); mode != "" {
		os.Exit(victim(context.Background(), mode))
	}
	pgtest.Run(m)
}

// scale is the number a test runs with: otherwise, unless the variable gives another one.
func scale(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("read %s: want a number above 0", variable)
	}
	return n
}

// seed is where the chance of a test begins; it is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := new(maphash.Hash).Sum64()
	if text := os.Getenv("LETHE_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("read LETHE_SEED: want a number")
		}
	}
	t.Logf("seed: LETHE_SEED=%d", s)
	return s
}

func chance(seed uint64, n int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(n))) }

// stepClock is a clock that moves when it is told to. A wait on it is over at once.
type stepClock struct {
	mu  sync.Mutex
	now time.Time
}

func newStepClock() *stepClock { return &stepClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *stepClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stepClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *stepClock) After(d time.Duration) <-chan time.Time {
	done := make(chan time.Time, 1)
	done <- c.Now().Add(d)
	return done
}

// site is where one store is kept: its log, its keystore and its key service. To open it again is another process, or
// the same one after a crash.
type site struct {
	name    string
	clock   event.Clock
	log     func(ctx context.Context) (storage.Store, error)
	keys    func(ctx context.Context) (storage.Keystore, error)
	service kms.KMS
}

// process is one opened store of a site.
type process struct {
	*lethe.Store
	engine storage.Store
	keys   storage.Keystore
}

// open opens the site. over, if not nil, is put before what it keeps.
func (s *site) open(ctx context.Context, over *faults) (*process, error) {
	p := new(process)
	var err error
	if p.engine, err = s.log(ctx); err != nil {
		return nil, err
	}
	if p.keys, err = s.keys(ctx); err != nil {
		return nil, errors.Join(err, p.engine.Close())
	}
	service := s.service
	engine, keys := p.engine, p.keys
	if over != nil {
		engine, keys, service = faultyLog{p.engine, over}, faultyKeys{p.keys, over}, faultyKMS{s.service, over}
	}
	p.Store, err = lethe.Open(ctx, engine, service, &lethe.Options{Clock: s.clock, Keystore: keys,
		Notations: []schema.Notation{jsonschema.New()}, Code: "sealing 1"})
	if err != nil {
		return nil, errors.Join(err, p.engine.Close(), p.keys.Close())
	}
	return p, nil
}

// mustOpen opens the site until the test ends.
func (s *site) mustOpen(t testing.TB) *process {
	t.Helper()
	p, err := s.open(t.Context(), nil)
	if err != nil {
		t.Fatalf("open %s: %v", s.name, err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close %s: %v", s.name, err)
		}
	})
	return p
}

// kept and keptKeys stay when they are closed: their processes come and go.
type kept struct{ storage.Store }

func (kept) Close() error { return nil }

type keptKeys struct{ storage.Keystore }

func (keptKeys) Close() error { return nil }

// memorySite is a site whose dump is all it keeps.
func memorySite(t testing.TB) (s *site, dump func() [][]byte) {
	engine, keys := memory.Open(memory.Options{}), memory.NewKeys()
	s = &site{name: "memory", clock: newStepClock(), service: kmstest.New(t),
		log:  func(context.Context) (storage.Store, error) { return kept{engine}, nil },
		keys: func(context.Context) (storage.Keystore, error) { return keptKeys{keys}, nil }}
	return s, func() [][]byte { return append(engine.Dump(), keys.Dump()...) }
}

// siteAt keeps root keys in a folder, and the store at an address of PostgreSQL; without one beside the keys.
func siteAt(ctx context.Context, dir, address string, clock event.Clock) (*site, error) {
	root, err := localkms.Open(ctx, filepath.Join(dir, "root"), nil)
	if err != nil {
		return nil, err
	}
	if address != "" {
		return postgresSite(address, root, clock), nil
	}
	store := filepath.Join(dir, "store")
	return &site{name: "folder", clock: clock, service: root,
		log:  func(ctx context.Context) (storage.Store, error) { return sqlite.Open(ctx, store, nil) },
		keys: func(ctx context.Context) (storage.Keystore, error) { return sqlitekeys.Open(ctx, store, nil) },
	}, nil
}

// postgresSite keeps log and keystore in one schema. Its engines pace themselves by the machine's clock.
func postgresSite(address string, service kms.KMS, clock event.Clock) *site {
	return &site{name: "postgres", clock: clock, service: service,
		log: func(ctx context.Context) (storage.Store, error) {
			return postgres.Open(ctx, address, &postgres.Options{Create: true})
		},
		keys: func(ctx context.Context) (storage.Keystore, error) {
			return pgkeys.Open(ctx, address, &pgkeys.Options{Create: true})
		}}
}

// one is a request with one write.
func one(stream event.StreamID, drafts ...event.Draft) log.Request {
	return log.Request{Writes: []log.Write{{Stream: stream, Expected: event.Any, Events: drafts}}}
}
