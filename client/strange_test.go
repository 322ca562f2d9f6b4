package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
)

const secretBody = "do not quote me"

// TestStrangers: what answers and is no Lethe server is named in one sentence, which quotes nothing of its answer.
func TestStrangers(t *testing.T) {
	page := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>"+secretBody+"</html>")
		}
	}
	json := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	message := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			_, _ = io.WriteString(w, body)
		}
	}
	for _, test := range []struct {
		name    string
		answer  http.HandlerFunc
		class   error
		code    string
		patient bool // it is tried again
	}{
		{"page", page(200), event.ErrUnavailable, "not_lethe", false},
		{"no page", page(404), event.ErrUnavailable, "not_lethe", false},
		{"server error", page(500), event.ErrUnavailable, "not_lethe", false},
		{"bad gateway", page(502), event.ErrUnavailable, "unavailable", true},
		{"unavailable", page(503), event.ErrUnavailable, "unavailable", true},
		{"gateway timeout", page(504), event.ErrUnavailable, "unavailable", true},
		{"too many", page(429), event.ErrUnavailable, "unavailable", true},
		{"proxy login", page(401), event.ErrDenied, "denied", false},
		{"proxy forbids", page(403), event.ErrDenied, "denied", false},
		{"too large", page(413), event.ErrInvalid, "oversized", false},
		{"JSON 404", json(404, `{"error":"`+secretBody+`"}`), event.ErrUnavailable, "not_lethe", false},
		{"JSON 500", json(500, `{"message":"`+secretBody+`"}`), event.ErrUnavailable, "not_lethe", false},
		{"no JSON 500", json(500, secretBody), event.ErrUnavailable, "unavailable", true},
		{"JSON 503", json(503, `{"code":"unavailable","message":"`+secretBody+`"}`), event.ErrUnavailable, "unavailable", true},
		{"JSON 403", json(403, `{"code":"permission_denied","message":"`+secretBody+`"}`), event.ErrDenied, "denied", false},
		{"JSON 200", json(200, `{"store":"`+secretBody+`"}`), event.ErrUnavailable, "not_lethe", false},
		{"other message", message("\x0a\x0f" + secretBody), event.ErrUnavailable, "not_lethe", false},
		{"empty message", message(""), event.ErrUnavailable, "not_lethe", false},
		{"huge", message(strings.Repeat("\x0a\x0f"+secretBody, 2<<20)), event.ErrUnavailable, "not_lethe", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var calls atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				test.answer(w, r)
			}))
			defer s.Close()
			_, err := client.Open(t.Context(), s.URL, &client.Options{Clock: &hurried{}, Retry: time.Second})
			named(t, err, test.class, test.code)
			if again := calls.Load() > 1; again != test.patient {
				t.Errorf("tried %d times", calls.Load())
			}
		})
	}
}

func named(t *testing.T, err, class error, code string) {
	t.Helper()
	if !errors.Is(err, class) || event.Code(err) != code {
		t.Errorf("got %v (%s), want %v (%s)", err, event.Code(err), class, code)
	}
	if err != nil && (strings.Contains(err.Error(), secretBody) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("the answer is quoted: %v", err)
	}
}

// TestWrongDoor: TLS where there is none, none where there is, a certificate of somebody else, and not even HTTP.
func TestWrongDoor(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	ssh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ssh.Close()
	go func() {
		for {
			conn, err := ssh.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-"+secretBody+"\r\n")
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	https := func(address string) string { return "https://" + strings.TrimPrefix(address, "http://") }
	for _, test := range []struct {
		address, code string
		roots         *x509.CertPool
	}{
		{https(plain.URL), "not_tls", nil},
		{"http://" + strings.TrimPrefix(secure.URL, "https://"), "not_lethe", nil},
		{secure.URL, "untrusted_certificate", nil},
		{secure.URL, "not_lethe", roots},
		{"http://" + ssh.Addr().String(), "not_lethe", nil},
		{"http://127.0.0.1:1", "unavailable", nil},
	} {
		o := &client.Options{Clock: &hurried{}, Retry: time.Second, TLS: &tls.Config{RootCAs: test.roots}}
		_, err := client.Open(t.Context(), test.address, o)
		named(t, err, event.ErrUnavailable, test.code)
	}
}

// TestSilence: a subscription that says nothing for three heartbeats is given up and resumed elsewhere.
func TestSilence(t *testing.T) {
	w := newWorld(t, nil, nil)
	var subscriptions atomic.Int32
	waiting := make(chan struct{})
	mute := roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/Subscribe") && subscriptions.Add(1) == 1 {
			close(waiting)
			dead, end := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = end.CloseWithError(r.Context().Err()) })
			return &http.Response{StatusCode: 200, Body: dead, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Content-Type": {"application/connect+proto"}}}, nil
		}
		return w.direct.RoundTrip(r)
	})
	clock := &hurried{silence: make(chan time.Time)}
	c := open(t, "http://localhost", &client.Options{Transport: mute, Clock: clock})
	got := make(chan event.Position)
	go func() {
		defer close(got)
		for e, err := range c.As(clerk()).Subscribe(t.Context(), nil, event.Cursor{}) {
			if err != nil {
				t.Error(err)
			}
			got <- e.Position
			return
		}
	}()
	<-waiting
	if _, err := w.store.As(clerk()).Append(t.Context(), stream("1"), event.Any, event.Draft{Type: "A"}); err != nil {
		t.Fatal(err)
	}
	clock.silence <- clock.Now()
	if p := <-got; p != 1 {
		t.Errorf("saw %d", p)
	}
}

// TestTraces: the trace context of the caller is that of his events, unless they name one.
func TestTraces(t *testing.T) {
	w := newWorld(t, nil, nil)
	var header atomic.Value
	seen := roundTripper(func(r *http.Request) (*http.Response, error) {
		header.Store(r.Header.Get("Traceparent"))
		return w.direct.RoundTrip(r)
	})
	c := open(t, "http://localhost", &client.Options{Transport: seen})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 15: 2}, SpanID: trace.SpanID{3, 7: 4},
		TraceFlags: trace.FlagsSampled})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	const parent, other = "00-01000000000000000000000000000002-0300000000000004-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	_, err := c.As(clerk()).Append(ctx, stream("1"), event.Any, event.Draft{Type: "A"},
		event.Draft{Type: "B", Traceparent: other})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(w.all(t)[0].Traceparent, " ", w.all(t)[1].Traceparent)
	if got != parent+" "+other {
		t.Errorf("got %s", got)
	}
	if _, err := c.Head(ctx); err != nil || header.Load() != parent {
		t.Errorf("a call that asks carries %q, %v", header.Load(), err)
	}
}
