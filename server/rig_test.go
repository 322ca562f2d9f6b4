package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/lethetest"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

// world is a server of two stores on a clock that stands still, and what tests need of it.
type world struct {
	clock   *lethetest.Clock
	options server.Options
	engine  *memory.Store
	loans   *lethe.Store // embedded
	other   *lethe.Store
	server  *server.Server
	log     *syncBuffer
}

// syncBuffer is what the server logged.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newWorld(t testing.TB, o server.Options, engine memory.Options) *world {
	t.Helper()
	w := &world{clock: lethetest.NewClock(), log: &syncBuffer{}, engine: memory.Open(engine)}
	o.Clock, o.Logger = w.clock, slog.New(slog.NewTextHandler(w.log, nil))
	w.options = o
	spare := memory.Open(memory.Options{})
	w.loans, w.other = open(t, w.engine, w.clock), open(t, spare, w.clock)
	var err error
	w.server, err = server.New([]server.Tenant{
		{Name: "loans", Store: w.loans, Tokens: w.engine}, {Name: "other", Store: w.other, Tokens: spare},
	}, w.options)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func open(t testing.TB, engine storage.Store, clock event.Clock) *lethe.Store {
	t.Helper()
	s, err := lethe.Open(t.Context(), engine, kms.None, &lethe.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// listen serves on the loopback, over HTTP/1.1 and HTTP/2.
func (w *world) listen(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(w.server.Handler())
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func h2c() *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: transport}
}

// mint makes a token of the store loans through the server.
func (w *world) mint(t testing.TB, g token.Grant) token.Secret {
	t.Helper()
	secret, _, err := token.New(w.engine, w.clock, rand.Reader).Create(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// as adds what a call of the store loans brings.
func as(secret token.Secret) connect.ClientOption {
	return connect.WithInterceptors(bring{"Lethe-Store": "loans", "Authorization": "Bearer " + secret.Reveal()})
}

// inLoans is for servers without tokens.
func inLoans() connect.ClientOption { return connect.WithInterceptors(bring{"Lethe-Store": "loans"}) }

// plain is for clients that take nothing packed: to pack large events takes longer than all else.
func plain() connect.ClientOption { return connect.WithAcceptCompression("gzip", nil, nil) }

func (w *world) session() *lethe.Session { return w.loans.As(event.Actor{}) }

func ofKind(kind string) []*lethev1.Match { return []*lethev1.Match{{Kinds: []string{kind}}} }

// bring sets headers of calls.
type bring map[string]string

func (b bring) set(h http.Header) {
	for name, value := range b {
		h.Set(name, value)
	}
}

func (b bring) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		b.set(r.Header())
		return next(ctx, r)
	}
}

func (b bring) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		b.set(conn.RequestHeader())
		return conn
	}
}

func (bring) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (w *world) logClient(t testing.TB, o ...connect.ClientOption) lethev1connect.LogServiceClient {
	t.Helper()
	return lethev1LogClient(w.listen(t).URL, o...)
}

func lethev1LogClient(host string, o ...connect.ClientOption) lethev1connect.LogServiceClient {
	return lethev1connect.NewLogServiceClient(h2c(), host, o...)
}

// fill appends n events to streams of the kinds, in turns.
func fill(t testing.TB, s *lethe.Store, n int, kinds ...string) {
	t.Helper()
	for i := range n {
		d := event.Draft{Type: fmt.Sprintf("Type%d", i%3), Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))}
		stream := event.Stream(kinds[i%len(kinds)], fmt.Sprint(i%5))
		if _, err := s.As(event.Actor{}).Append(t.Context(), stream, event.Any, d); err != nil {
			t.Fatal(err)
		}
	}
}

// post calls in process: a unary procedure of Connect in JSON.
func (w *world) post(path, body string, headers map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(answer, r)
	return answer
}

// told is the detail of an error as the JSON of connect has it.
func told(t testing.TB, body []byte) *lethev1.Error {
	t.Helper()
	var m struct {
		Details []struct {
			Type, Value string
		}
	}
	if err := json.Unmarshal(body, &m); err != nil || len(m.Details) != 1 || m.Details[0].Type != "lethe.v1.Error" {
		t.Fatalf("an error without its detail (%v): %s", err, body)
	}
	return decodeError(t, m.Details[0].Value)
}

func everything() token.Grant {
	return token.Grant{Scope: token.Scope{Read: true, Append: true, Admin: true, Open: true}}
}

func storageQuery(limit int) storage.StreamQuery { return storage.StreamQuery{Limit: limit} }
