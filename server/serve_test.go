package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/lethetest"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
)

// served is a world that Serve serves over the loopback, on the machine's clock.
type served struct {
	*world
	address string
	stop    context.CancelFunc
	ended   <-chan error // of Serve
}

func (s *served) url() string { return "http://" + s.address }

func newServed(t testing.TB, o server.Options, engine memory.Options) *served {
	t.Helper()
	return serveWith(t, newReal(t, o, engine), nil)
}

// newReal is a world whose server has the machine's clock, if it has no other, and logs everything.
func newReal(t testing.TB, o server.Options, engine memory.Options) *world {
	t.Helper()
	w := &world{clock: lethetest.NewClock(), log: &syncBuffer{}, engine: memory.Open(engine)}
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Limits.Drain == 0 {
		o.Limits.Drain = 50 * time.Millisecond // who tests no draining need not wait for it
	}
	o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.options = o
	spare := memory.Open(memory.Options{})
	w.loans, w.other = open(t, w.engine, o.Clock), open(t, spare, o.Clock)
	var err error
	w.server, err = server.New([]server.Tenant{
		{Name: "loans", Store: w.loans, Tokens: w.engine}, {Name: "other", Store: w.other, Tokens: spare},
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func serveWith(t testing.TB, w *world, config *tls.Config) *served {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		ended <- w.server.Serve(ctx, listener, config)
	}()
	t.Cleanup(func() {
		stop()
		<-over
	})
	return &served{world: w, address: listener.Addr().String(), stop: stop, ended: ended}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// settled waits until there are no more goroutines than there were.
func settled(t testing.TB, before int) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			stacks := make([]byte, 1<<20)
			t.Logf("%s", stacks[:runtime.Stack(stacks, true)])
		}
	})
	eventually(t, "no goroutine is left over", func() bool { return runtime.NumGoroutine() <= before })
}

// get asks in process.
func (w *world) get(method, path string, headers map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+path, nil)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(answer, r)
	return answer
}

// gate is a hook of storage that holds commits back while it is shut.
type gate struct {
	shut    chan struct{} // holds one: the next commit is held back
	reached chan struct{}
	open    chan struct{}
}

func newGate() *gate {
	return &gate{make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

func (g *gate) fail(op string) error {
	if op != memory.OpCommit {
		return nil
	}
	select {
	case <-g.shut:
		close(g.reached)
		<-g.open
	default:
	}
	return nil
}

func TestServeDrains(t *testing.T) {
	g := newGate()
	s := newServed(t, server.Options{Limits: server.Limits{Drain: time.Minute}}, memory.Options{Fail: g.fail})
	secret := s.mint(t, everything())
	stream := subscribe(t, lethev1LogClient(s.url(), as(secret)), &lethev1.SubscribeRequest{})
	next(t, stream)
	g.shut <- struct{}{}
	appended := make(chan error, 1)
	go func() {
		_, err := lethev1LogClient(s.url(), as(secret)).Append(context.Background(), connect.NewRequest(write("a/1")))
		appended <- err
	}()
	<-g.reached
	s.stop()
	if err := ended(t, stream); event.Code(err) != "draining" || !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("the subscription ended with %v", err)
	}
	if answer := s.get(http.MethodGet, "/readyz", nil); answer.Code != 503 ||
		!strings.Contains(answer.Body.String(), "draining") {
		t.Errorf("readyz: %d %s", answer.Code, answer.Body)
	}
	if answer := s.get(http.MethodGet, "/healthz", nil); answer.Code != 200 {
		t.Errorf("healthz: %d", answer.Code)
	}
	select {
	case err := <-s.ended:
		t.Fatalf("Serve did not wait for an append: %v", err)
	default:
	}
	close(g.open)
	if err := <-appended; err != nil {
		t.Errorf("the append under way: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	stored, err := s.engine.Tokens(t.Context())
	if err != nil || len(stored) != 1 || stored[0].Used == 0 {
		t.Errorf("the use of the token was not noted: %+v, %v", stored, err)
	}
	if _, err := net.Dial("tcp", s.address); err == nil {
		t.Error("it still listens")
	}
}

func TestDrainIsBounded(t *testing.T) {
	g := newGate()
	limits := server.Limits{Drain: 50 * time.Millisecond}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{Fail: g.fail})
	defer close(g.open)
	g.shut <- struct{}{}
	cut := make(chan error, 1)
	go func() {
		_, err := lethev1LogClient(s.url(), inLoans()).Append(context.Background(), connect.NewRequest(write("a/1")))
		cut <- err
	}()
	<-g.reached
	s.stop()
	if err := <-s.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the append was answered")
	}
}

func TestServeTellsWhyItFailed(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true}, memory.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := w.server.Serve(t.Context(), listener, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("served on a closed listener: %v", err)
	}
}

// TestSubscriptionsOutliveTheBody waits until the limit for sending a call is over: the subscription is not.
func TestSubscriptionsOutliveTheBody(t *testing.T) {
	const limit = 50 * time.Millisecond
	s := newServed(t, server.Options{NoTokens: true, Limits: server.Limits{Header: limit, Body: limit}}, memory.Options{})
	plain := http.Client{Transport: &http.Transport{}}
	defer plain.CloseIdleConnections()
	streams := map[string]*watching{}
	for name, c := range map[string]*http.Client{"HTTP/1.1": &plain, "HTTP/2": h2c()} {
		streams[name] = subscribe(t, lethev1connect.NewLogServiceClient(c, s.url(), inLoans()), &lethev1.SubscribeRequest{})
		next(t, streams[name])
	}
	// A call that began later and never sends its body is cut: so the time of the earlier ones is over.
	conn := dial(t, s)
	say(t, conn, "POST /lethe.v1.LogService/Append HTTP/1.1\r\nHost: localhost\r\nLethe-Store: loans\r\n"+
		"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
	_, _ = io.Copy(io.Discard, conn)
	fill(t, s.loans, 1, "application")
	for name, stream := range streams {
		if m := next(t, stream); len(m.GetEvents()) != 1 {
			t.Errorf("%s: got %v", name, m)
		}
	}
}

// certificate is one for the loopback, and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := event.SystemClock{}.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	own, pool := certificate(t)
	s := serveWith(t, newReal(t, server.Options{NoTokens: true}, memory.Options{}),
		&tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13})
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Errorf("negotiated %q", got)
	}
	conn.Close()
	for _, major := range []int{1, 2} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: major == 2}
		answer, err := (&http.Client{Transport: transport}).Get("https://" + s.address + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		transport.CloseIdleConnections()
		if answer.StatusCode != 200 || answer.ProtoMajor != major {
			t.Errorf("HTTP/%d: %s %s", major, answer.Proto, answer.Status)
		}
	}
}

func TestOrigins(t *testing.T) {
	const listed, stranger = "https://console.example.org", "https://evil.example.org"
	for _, c := range []struct {
		origins       []string
		origin, allow string
	}{
		{[]string{listed}, listed, listed}, {[]string{listed}, stranger, ""}, {nil, listed, ""},
	} {
		w := newReal(t, server.Options{NoTokens: true, Origins: c.origins}, memory.Options{})
		preflight := w.get(http.MethodOptions, appendPath, map[string]string{
			"Origin": c.origin, "Access-Control-Request-Method": "POST",
			"Access-Control-Request-Headers": "authorization,connect-protocol-version,content-type,lethe-store",
		})
		real := w.post("/lethe.v1.LogService/Head", "{}", map[string]string{"Origin": c.origin, "Lethe-Store": "loans"})
		for name, answer := range map[string]*httptest.ResponseRecorder{"preflight": preflight, "call": real} {
			if got := answer.Header().Get("Access-Control-Allow-Origin"); got != c.allow {
				t.Errorf("%s from %s with %v: allowed %q", name, c.origin, c.origins, got)
			}
		}
		if names := preflight.Header().Get("Access-Control-Allow-Headers"); c.allow != "" &&
			!strings.Contains(strings.ToLower(names), "lethe-store") {
			t.Errorf("headers allowed: %q", names)
		}
		if real.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Error("cookies are allowed")
		}
	}
}

func TestOpenPages(t *testing.T) {
	w := newReal(t, server.Options{}, memory.Options{})
	for path, word := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ready"`, "/openapi.json": `"openapi"`} {
		answer := w.get(http.MethodGet, path, nil)
		if answer.Code != 200 || !strings.Contains(answer.Body.String(), word) || !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%s: %d %.100s", path, answer.Code, answer.Body)
		}
	}
	for _, path := range []string{"/healthz", "/openapi.json", "/metrics", "/v1/events", "/nowhere", appendPath} {
		h := w.get(http.MethodGet, path, nil).Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s has headers %v", path, h)
		}
	}
	if err := w.other.Close(); err != nil {
		t.Fatal(err)
	}
	answer := w.get(http.MethodGet, "/readyz", nil)
	if answer.Code != 503 || strings.Contains(answer.Body.String(), "other") {
		t.Errorf("readyz with a closed store: %d %s", answer.Code, answer.Body)
	}
}

func TestTransport(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true}, memory.Options{})
	before := runtime.NumGoroutine()
	client := lethev1connect.NewLogServiceClient(&http.Client{Transport: w.server.Transport()}, "http://local", inLoans())
	if _, err := client.Append(t.Context(), connect.NewRequest(write("a/1"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left, err := client.Subscribe(ctx, connect.NewRequest(&lethev1.SubscribeRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if m := next(t, left); len(m.GetEvents()) != 1 {
		t.Errorf("got %v", m)
	}
	open := `lethe_subscriptions_open{store="loans"}`
	if n := w.metric(t, open); n != 1 {
		t.Errorf("%v subscriptions", n)
	}
	cancel()
	eventually(t, "the subscription is gone", func() bool { return w.metric(t, open) == 0 })
	stays := subscribe(t, client, &lethev1.SubscribeRequest{After: w.loans.Cursor(1).String()})
	next(t, stays)
	if err := w.server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ended(t, stays); event.Code(err) != "draining" {
		t.Errorf("ended with %v", err)
	}
	eventually(t, "the closed server does not answer", func() bool {
		_, err := client.Head(t.Context(), connect.NewRequest(&lethev1.HeadRequest{}))
		return err != nil
	})
	settled(t, before)
}

// TestSlowSubscriber stops reading. Another gets everything meanwhile, and the slow one loses nothing.
func TestSlowSubscriber(t *testing.T) {
	const events = 10
	limits := server.Limits{Stall: 300 * time.Millisecond}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{})
	slow := dial(t, s)
	if err := slow.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil { // so that most of it has to wait in the log
		t.Fatal(err)
	}
	say(t, slow, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLethe-Store: loans\r\nAccept: application/jsonl\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := subscribe(t, lethev1LogClient(s.url(), inLoans()), &lethev1.SubscribeRequest{})
	fillBig(t, s, events)
	for n := 0; n < events; {
		n += len(next(t, other).GetEvents())
	}
	eventually(t, "the slow one is cut", func() bool {
		return s.metric(t, `lethe_subscriptions_ended_total{code="slow_subscriber",store="loans"}`) == 1
	})
	if err := slow.(*net.TCPConn).SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	seen, cursor := 0, ""
	for lines := bufio.NewReader(answer.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var m struct {
			Cursor string
			Event  *struct{ Position int }
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if cursor = m.Cursor; m.Event != nil {
			if seen++; m.Event.Position != seen {
				t.Errorf("event %d is at %d", seen, m.Event.Position)
			}
		}
	}
	if seen == events {
		t.Error("the slow one got everything")
	}
	again := subscribe(t, lethev1LogClient(s.url(), inLoans()), &lethev1.SubscribeRequest{After: cursor})
	for seen < events {
		for _, e := range next(t, again).GetEvents() {
			if seen++; int(e.GetPosition()) != seen {
				t.Errorf("resumed event %d is at %d", seen, e.GetPosition())
			}
		}
	}
}

func fillBig(t *testing.T, s *served, n int) {
	t.Helper()
	data := json.RawMessage(`{"x":"` + strings.Repeat("x", 900_000) + `"}`)
	for range n {
		d := []event.Draft{{Type: "T", Data: data}}
		if _, err := s.session().Append(t.Context(), event.Stream("a", "1"), event.Any, d...); err != nil {
			t.Fatal(err)
		}
	}
}
