package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

// dial is a connection by hand.
func dial(t testing.TB, s *served) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// head is the head of a POST by hand.
func head(path, contentType string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nLethe-Store: loans\r\nContent-Type: %s\r\n"+
		"Content-Length: %d\r\n\r\n", path, contentType, length)
}

// works checks that others are served.
func works(t testing.TB, s *served, o ...connect.ClientOption) {
	t.Helper()
	if len(o) == 0 {
		o = append(o, inLoans())
	}
	client := lethev1LogClient(s.url(), o...)
	if _, err := client.Append(t.Context(), connect.NewRequest(write("a/1"))); err != nil {
		t.Errorf("an append meanwhile: %v", err)
	}
	if _, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{Limit: 1})); err != nil {
		t.Errorf("a query meanwhile: %v", err)
	}
}

const held = "lethe_message_bytes_held"

// unsized hides how much there is, so that it is sent in chunks.
type unsized struct{ io.Reader }

func TestOversized(t *testing.T) {
	s := newServed(t, server.Options{NoTokens: true, Limits: server.Limits{MessageBytes: 1 << 16}}, memory.Options{})
	large := strings.Repeat("x", 1<<18)
	for _, c := range []struct {
		name string
		body io.Reader
	}{{"with a length", strings.NewReader(large)}, {"in chunks", unsized{strings.NewReader(large)}}} {
		m, status := raw(t, s.url()+appendPath, "application/proto", c.body, nil)
		if m.GetCode() != "oversized" || status != 400 {
			t.Errorf("%s: %d %v", c.name, status, m)
		}
		works(t, s)
	}
	for _, length := range []uint32{1<<16 + 1, 1<<32 - 1} { // the frame says so, and is never sent
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url()+appendPath,
			bytes.NewReader(binary.BigEndian.AppendUint32([]byte{0}, length)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Lethe-Store", "loans")
		answer, err := h2c().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		status, text := answer.Trailer.Get("Grpc-Status"), answer.Trailer.Get("Grpc-Message")
		if status == "" { // an answer of headers only
			status, text = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
		}
		if status != "3" || !strings.Contains(text, "larger") {
			t.Errorf("a frame of %d bytes: status %q %q", length, status, text)
		}
	}
	works(t, s)
	eventually(t, "no bytes are held", func() bool { return s.metric(t, held) == 0 })
}

// TestSlowLoris begins many calls and ends none.
func TestSlowLoris(t *testing.T) {
	limits := server.Limits{Header: 200 * time.Millisecond, Body: 200 * time.Millisecond}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{})
	frame := string(binary.BigEndian.AppendUint32([]byte{0}, 1000))
	beginnings := []string{
		"", "POST ", "POST " + appendPath + " HTTP/1.1\r\nHost: localhost\r\nLethe-Sto",
		head(appendPath, "application/json", 1000), head(appendPath, "application/json", 1000) + `{"writes": [`,
		head("/lethe.v1.LogService/Subscribe", "application/connect+proto", 1005) + frame,
		head("/nowhere", "application/json", 1000), head("/healthz", "application/json", 1000),
	}
	var conns []net.Conn
	for range 5 {
		for _, text := range beginnings {
			conn := dial(t, s)
			say(t, conn, text)
			conns = append(conns, conn)
		}
	}
	works(t, s)
	for i, conn := range conns { // each is answered or not, and then closed by the server
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, net.ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	body, unsent := io.Pipe()
	defer unsent.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url()+appendPath, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/proto")
	r.Header.Set("Lethe-Store", "loans")
	if answer, err := h2c().Do(r); err == nil { // over HTTP/2 the call ends
		if answer.StatusCode == 200 {
			t.Errorf("over HTTP/2: %s", answer.Status)
		}
		answer.Body.Close()
	}
	works(t, s)
	eventually(t, "no bytes are held", func() bool { return s.metric(t, held) == 0 })
}

// TestBomb sends 1 GiB in about 1 MB, in each way of sending a packed message.
func TestBomb(t *testing.T) {
	s := newServed(t, server.Options{NoTokens: true}, memory.Options{})
	var part bytes.Buffer
	z := gzip.NewWriter(&part)
	if _, err := z.Write(make([]byte, 2<<20)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	packed := bytes.Repeat(part.Bytes(), 512) // parts that follow each other are one stream
	works(t, s)
	most, stop := peak(t)
	for range 2 {
		headers := map[string]string{"Content-Encoding": "gzip"}
		m, status := raw(t, s.url()+appendPath, "application/proto", bytes.NewReader(packed), headers)
		if m.GetCode() != "oversized" || status != 400 {
			t.Errorf("%d %v", status, m)
		}
		works(t, s)
	}
	stop()
	if grown := most.Load(); grown > 200<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	eventually(t, "no bytes are held", func() bool { return s.metric(t, held) == 0 })
}

// peak watches by how much the heap in use grows.
func peak(t *testing.T) (most *atomic.Int64, stop func()) {
	t.Helper()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most = new(atomic.Int64)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), int64(now.HeapInuse)-int64(before.HeapInuse)))
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return most, func() {
		cancel()
		<-over
	}
}

// TestBudget holds bodies half sent, until there is no room for more.
func TestBudget(t *testing.T) {
	limits := server.Limits{BufferBytes: 1 << 20}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{})
	var conns []net.Conn
	for range 2 {
		conn := dial(t, s)
		say(t, conn, head(appendPath, "application/json", 400_001)+strings.Repeat(" ", 400_000))
		conns = append(conns, conn)
	}
	eventually(t, "two bodies are held", func() bool { return s.metric(t, held) == 800_000 })
	large := strings.Repeat(" ", 400_000)
	for name, body := range map[string]io.Reader{
		"told": strings.NewReader(large), "in chunks": unsized{strings.NewReader(large)},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url()+appendPath, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Lethe-Store", "loans")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if m := told(t, text); m.GetCode() != "busy" || answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s %v %v", name, answer.Status, answer.Header, m)
		}
	}
	works(t, s) // what is small has room
	for _, conn := range conns {
		conn.Close()
	}
	eventually(t, "no bytes are held", func() bool { return s.metric(t, held) == 0 })
}

func TestTooManyCalls(t *testing.T) {
	g := newGate()
	s := newServed(t, server.Options{NoTokens: true, Limits: server.Limits{Calls: 1}}, memory.Options{Fail: g.fail})
	g.shut <- struct{}{}
	client := lethev1LogClient(s.url(), inLoans())
	first := make(chan error, 1)
	go func() {
		_, err := client.Append(context.Background(), connect.NewRequest(write("a/1")))
		first <- err
	}()
	<-g.reached
	_, err := client.Head(t.Context(), connect.NewRequest(&lethev1.HeadRequest{}))
	if got := parsed(t, err); event.Code(got) != "too_many_calls" || !errors.Is(got, event.ErrUnavailable) {
		t.Errorf("a second call: %v", got)
	}
	stream := subscribe(t, client, &lethev1.SubscribeRequest{}) // it is no unary call
	close(g.open)
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
	next(t, stream)
	eventually(t, "there is room again", func() bool {
		_, err := client.Head(t.Context(), connect.NewRequest(&lethev1.HeadRequest{}))
		return err == nil
	})
}

func TestRate(t *testing.T) {
	clock := lethetest.NewClock()
	s := newServed(t, server.Options{Clock: clock, Limits: server.Limits{Rate: 1, Burst: 3}}, memory.Options{})
	fast := lethev1LogClient(s.url(), as(s.mint(t, everything())))
	slow := lethev1LogClient(s.url(), as(s.mint(t, everything())))
	call := func(c lethev1connect.LogServiceClient) string {
		_, err := c.Head(t.Context(), connect.NewRequest(&lethev1.HeadRequest{}))
		if err == nil {
			return "ok"
		}
		return event.Code(parsed(t, err))
	}
	for range 3 {
		for _, want := range []string{"ok", "ok", "ok", "too_many_calls", "too_many_calls"} {
			if got := call(fast); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := call(slow); got != "ok" {
			t.Errorf("another token: %s", got)
		}
		clock.Advance(3 * time.Second)
	}
}

// TestRubbish is answered, or its connection is closed; either way others are served.
func TestRubbish(t *testing.T) {
	s := newServed(t, server.Options{NoTokens: true}, memory.Options{})
	frame := func(flags byte, length uint32, body string) string {
		return string(binary.BigEndian.AppendUint32([]byte{flags}, length)) + body
	}
	const streamed = "/lethe.v1.LogService/Subscribe"
	for _, c := range []struct{ path, contentType, body string }{
		{appendPath, "application/json", "{\"writes\": [{\"stream\": \"a/\xff\xfe\"}]}"},
		{appendPath, "application/proto", "\x0a\x07\x0a\x05a/\xff\xfe1"},
		{appendPath, "application/grpc+CANARYBIRD", frame(0, 2, "{}")}, {appendPath, "", "{}"},
		{appendPath, "application/grpc-web+proto", frame(0, 100, "short")},
		{appendPath, "application/grpc-web+proto", frame(0xff, 2, "{}")},
		{streamed, "application/connect+proto", frame(0, 100, "short")}, {streamed, "application/connect+proto", "\x00\x00"},
		{streamed, "application/connect+json", frame(1, 2, "{}")}, {streamed, "application/json", "{}"},
		{streamed, "application/connect+json", frame(0, 2, "{}") + frame(0, 2, "{}")},
		{"/", "application/json", "{}"}, {"/%00", "application/json", "{}"}, {"/lethe.v1.LogService/", "text/plain", "{}"},
	} {
		for _, more := range []string{"", "Content-Encoding: CANARYBIRD\r\n", "Connect-Content-Encoding: CANARYBIRD\r\n",
			"Grpc-Encoding: CANARYBIRD\r\n", "Connect-Protocol-Version: CANARYBIRD\r\n", "Grpc-Timeout: CANARYBIRD\r\n"} {
			conn := dial(t, s)
			say(t, conn, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nLethe-Store: loans\r\n"+
				"Content-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s", c.path, c.contentType, more, len(c.body), c.body))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%q %s: %v", c, more, err)
			}
			text, err := io.ReadAll(answer.Body)
			all := fmt.Sprint(answer.Header, answer.Trailer, string(text))
			if err != nil || strings.Contains(all, "CANARYBIRD") || !strings.Contains(strings.ToLower(all), "lethe.v1.error") &&
				!strings.Contains(all, "Grpc-Status") && !strings.Contains(all, "grpc-status") {
				t.Errorf("%q %s: %s %v", c, more, all, err)
			}
			conn.Close()
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "TRACE", "CANARYBIRD"} {
		r, err := http.NewRequestWithContext(t.Context(), method, s.url()+appendPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Lethe-Store", "loans")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode < 400 {
			t.Errorf("%s: %s", method, answer.Status)
		}
	}
	works(t, s)
	if h, err := s.loans.Head(t.Context()); err != nil || h.Position != 1 {
		t.Errorf("%d events, %v", h.Position, err)
	}
}

// TestTenThousandSubscriptions tries to open them over some connections, which allow 250 streams each at once.
func TestTenThousandSubscriptions(t *testing.T) {
	const tried, places, conns = 10_000, 500, 8
	limits := server.Limits{Streams: places, Heartbeat: time.Hour}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{})
	clients := make([]lethev1connect.LogServiceClient, conns)
	for i := range clients {
		clients[i] = lethev1LogClient(s.url(), inLoans())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	most, stop := peak(t)
	var through, refused atomic.Int64
	var all sync.WaitGroup
	work := make(chan int)
	for range 2 * conns {
		all.Go(func() {
			for i := range work {
				stream, err := clients[i%conns].Subscribe(ctx, connect.NewRequest(&lethev1.SubscribeRequest{}))
				switch {
				case err == nil && stream.Receive():
					through.Add(1) // it stays open until ctx ends
				case err == nil && event.Code(parsed(t, stream.Err())) == "too_many_streams":
					refused.Add(1)
				default:
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	for i := range tried {
		work <- i
	}
	close(work)
	all.Wait()
	works(t, s)
	stop()
	if through.Load() != places || refused.Load() != tried-places {
		t.Errorf("%d got through, %d were refused", through.Load(), refused.Load())
	}
	if grown := most.Load(); grown > 200<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	cancel()
	eventually(t, "all places are free", func() bool {
		return s.metric(t, `lethe_subscriptions_open{store="loans"}`) == 0
	})
}

// TestConnections closes the connection that is too many, and no other.
func TestConnections(t *testing.T) {
	const places = 3
	limits := server.Limits{Connections: places}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{})
	ask := func(conn net.Conn) bool {
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return false
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, answer.Body)
		return err == nil && answer.StatusCode == 200
	}
	var conns []net.Conn
	for range places {
		conns = append(conns, dial(t, s))
		if !ask(conns[len(conns)-1]) {
			t.Fatal("not served")
		}
	}
	for range 3 {
		if ask(dial(t, s)) {
			t.Error("one too many is served")
		}
		for i, conn := range conns {
			if !ask(conn) {
				t.Errorf("connection %d is not served any more", i)
			}
		}
	}
	conns[0].Close()
	eventually(t, "the place is free", func() bool { return ask(dial(t, s)) })
}

// TestGoneCallers leave nothing behind.
func TestGoneCallers(t *testing.T) {
	s := newServed(t, server.Options{NoTokens: true}, memory.Options{})
	fill(t, s.loans, 1, "a")
	eventually(t, "it serves", func() bool { return strings.Contains(s.log.String(), "serving") })
	before := runtime.NumGoroutine()
	var clients []*http.Client
	for range 10 {
		sending := dial(t, s)
		say(t, sending, head(appendPath, "application/json", 1000)+"{")
		watching := dial(t, s)
		say(t, watching, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLethe-Store: loans\r\n\r\n")
		if _, err := watching.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		client := h2c()
		ctx, cancel := context.WithCancel(t.Context())
		c := lethev1connect.NewLogServiceClient(client, s.url(), inLoans())
		stream, err := c.Subscribe(ctx, connect.NewRequest(&lethev1.SubscribeRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		next(t, stream)
		sending.Close()
		watching.Close()
		cancel()
		clients = append(clients, client)
		eventually(t, "nothing of it is open", func() bool {
			return s.metric(t, `lethe_subscriptions_open{store="loans"}`) == 0 && s.metric(t, held) == 0
		})
	}
	eventually(t, "no connection is left over", func() bool {
		for _, client := range clients {
			client.CloseIdleConnections()
		}
		return runtime.NumGoroutine() <= before
	})
}
