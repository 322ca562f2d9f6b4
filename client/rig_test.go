package client_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/lethetest"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// world is a store, a server of it on the loopback, and what a test needs of both.
type world struct {
	engine  storage.Store
	store   *lethe.Store // embedded: what is really in the log
	server  *server.Server
	address string            // host:port
	direct  http.RoundTripper // to the server in process
	stop    func()            // ends the server; the store stays
}

func newWorld(t testing.TB, engine storage.Store, clock event.Clock) *world {
	t.Helper()
	if engine == nil {
		engine = memory.Open(memory.Options{Indexed: lethetest.Indexed()})
	}
	return newWorldWith(t, engine, kms.None, &lethe.Options{Clock: clock})
}

// newSealed is a world of a store that holds personal data.
func newSealed(t testing.TB, keys kms.KMS, o *lethe.Options) *world {
	t.Helper()
	return newWorldWith(t, memory.Open(memory.Options{}), keys, o)
}

func newWorldWith(t testing.TB, engine storage.Store, keys kms.KMS, o *lethe.Options) *world {
	t.Helper()
	store, err := lethe.Open(t.Context(), engine, keys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := &world{engine: engine, store: store}
	w.serve(t, server.Options{NoTokens: true})
	return w
}

// serve starts a server, again after stop.
func (w *world) serve(t testing.TB, o server.Options) {
	t.Helper()
	s, err := server.New([]server.Tenant{{Name: "loans", Store: w.store, Tokens: w.engine}}, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := s.Serve(ctx, l, nil); err != nil && ctx.Err() == nil {
			t.Errorf("serve: %v", err)
		}
	})
	w.server, w.address, w.direct = s, l.Addr().String(), s.Transport()
	w.stop = sync.OnceFunc(func() {
		cancel()
		ended.Wait()
	})
	t.Cleanup(w.stop)
}

func open(t testing.TB, address string, o *client.Options) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func clerk() event.Actor { return event.Actor{Kind: "employee", ID: "7"} }

func stream(id string) event.StreamID { return event.Stream("application", id) }

// h2c speaks HTTP/2 without TLS.
func h2c() *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// all is what is really in the log.
func (w *world) all(t testing.TB) (all []event.Event) {
	t.Helper()
	for e, err := range w.store.As(clerk()).Query(t.Context(), lethe.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// hurried is a clock on which every pause of a retry is over at once, and whose time goes on by it.
type hurried struct {
	mu     sync.Mutex
	now    time.Time
	paused []time.Duration

	silence chan time.Time // says that a subscription was silent for long; nil: it never is
}

func (c *hurried) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *hurried) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d >= 45*time.Second {
		return c.silence
	}
	now := make(chan time.Time, 1)
	c.now = c.now.Add(d)
	c.paused = append(c.paused, d)
	now <- c.now
	return now
}

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
