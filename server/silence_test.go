package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
)

// secretive is an append whose every field holds a marker. Those that begin with CANARYBIRD are told to nobody; those
// that begin with canarybird are names and ids, which a caller may be told again, in its own error only.
func secretive() *lethev1.AppendRequest {
	m := write("canarybird-kind/canarybird-stream")
	d := m.Writes[0].Events[0]
	d.Type, d.Correlation = "CanaryBirdType", "canarybird-correlation"
	d.Relations = []*lethev1.Relation{{Role: "canarybird-role", Kind: "canarybird-kind", Id: "canarybird-relation"}}
	d.Metadata = map[string]string{"canarybird-key": "CANARYBIRD-metadata"}
	d.Data = `{"CANARYBIRD-name": "CANARYBIRD-data"}`
	return m
}

// failing is storage that fails when it is told to.
type failing struct{ broken atomic.Bool }

func (f *failing) fail(op string) error {
	if op != memory.OpCommit {
		return nil
	}
	if f.broken.Load() {
		return errors.New("disk: I/O error")
	}
	return nil
}

// broken are requests that are wrong in one place.
func broken() map[string]*lethev1.AppendRequest {
	all := map[string]*lethev1.AppendRequest{"none": secretive()}
	change := func(name string, how func(*lethev1.AppendRequest, *lethev1.Draft)) {
		m := secretive()
		how(m, m.Writes[0].Events[0])
		all[name] = m
	}
	change("data", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Data = `{"CANARYBIRD": CANARYBIRD}` })
	change("data twice", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Data = `{"CANARYBIRD":1,"CANARYBIRD":2}` })
	change("metadata", func(_ *lethev1.AppendRequest, d *lethev1.Draft) {
		d.Metadata["canarybird-key"] = strings.Repeat("CANARYBIRD", 10_000)
	})
	change("id", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Id = "CANARYBIRD" })
	change("causation", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Causation = "CANARYBIRD" })
	change("trace", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Traceparent = "CANARYBIRD" })
	change("schema", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Schema = []byte("CANARYBIRD") })
	change("version", func(m *lethev1.AppendRequest, _ *lethev1.Draft) {
		m.Writes[0].ExpectedVersion = new(uint64)
		*m.Writes[0].ExpectedVersion = 77
	})
	change("relation", func(_ *lethev1.AppendRequest, d *lethev1.Draft) {
		d.Relations[0].Id = strings.Repeat("CANARYBIRD", 1000)
	})
	change("correlation", func(_ *lethev1.AppendRequest, d *lethev1.Draft) {
		d.Correlation = strings.Repeat("CANARYBIRD", 1000)
	})
	return all
}

func TestNothingIsTold(t *testing.T) {
	f := &failing{}
	w := newReal(t, server.Options{}, memory.Options{Fail: f.fail, Indexed: []string{"canarybird-key"}})
	s := serveWith(t, w, nil)
	secret := w.mint(t, everything())
	told := &bytes.Buffer{} // everything that errors said
	for name, options := range protocols() {
		client := lethev1LogClient(s.url(), append(options, as(secret))...)
		for place, m := range broken() {
			_, err := client.Append(t.Context(), connect.NewRequest(m))
			if (place == "none") != (err == nil) {
				t.Errorf("%s, %s: %v", name, place, err)
			}
			note(told, err)
		}
		for _, m := range []*lethev1.Match{{Causation: "CANARYBIRD"}, {Metadata: map[string]string{"k": "CANARYBIRD"}},
			{Types: []string{strings.Repeat("CANARYBIRD", 100)}}, {Stream: "CANARYBIRD"}} {
			_, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{Filter: []*lethev1.Match{m}}))
			note(told, err)
		}
		stream := subscribe(t, client, &lethev1.SubscribeRequest{After: "CANARYBIRD"})
		note(told, ended(t, stream))
		stolen := as(w.mint(t, everything()))
		other := lethev1connect.NewLogServiceClient(h2c(), s.url(), stolen,
			connect.WithInterceptors(bring{"Authorization": "Bearer lethe_CANARYBIRD", "Lethe-Store": "CANARYBIRD"}))
		_, err := other.Head(t.Context(), connect.NewRequest(&lethev1.HeadRequest{}))
		note(told, err)
	}
	rubbish(t, s, secret.Reveal(), told)
	f.broken.Store(true)
	_, err := lethev1LogClient(s.url(), as(secret)).Append(t.Context(), connect.NewRequest(secretive()))
	if err == nil {
		t.Error("a disk that fails was not noticed")
	}
	note(told, err)
	page := w.get(http.MethodGet, "/metrics", map[string]string{
		"Lethe-Store": "loans", "Authorization": "Bearer " + secret.Reveal(),
	}).Body.String()
	if !strings.Contains(page, "lethe_calls_total") || !strings.Contains(w.log.String(), "procedure=") || told.Len() == 0 {
		t.Fatal("there is nothing to look at")
	}
	s.stop()
	<-s.ended
	for name, text := range map[string]string{"log": w.log.String(), "page of metrics": page} {
		for line := range strings.Lines(text) {
			if strings.Contains(strings.ToLower(line), "canarybird") || strings.Contains(line, secret.Reveal()) {
				t.Errorf("the %s tells: %s", name, line)
			}
		}
	}
	if text := told.String(); strings.Contains(text, "CANARYBIRD") || strings.Contains(text, secret.Reveal()) {
		t.Errorf("errors tell: %s", text)
	}
}

func note(out io.Writer, err error) {
	if err == nil {
		return
	}
	_, _ = fmt.Fprintln(out, err)
	var e *connect.Error
	if !errors.As(err, &e) {
		return
	}
	for _, detail := range e.Details() {
		if m, err := detail.Value(); err == nil {
			_, _ = fmt.Fprintln(out, m)
		}
	}
	_, _ = fmt.Fprintln(out, e.Meta())
}

// rubbish puts canaries into what is no call of a client: addresses, headers, bodies, what is no HTTP at all.
func rubbish(t *testing.T, s *served, secret string, told io.Writer) {
	t.Helper()
	const get, post = " HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST " + appendPath + " HTTP/1.1\r\nHost: localhost\r\n"
	for _, text := range []string{
		"CANARYBIRD\r\n\r\n", "GET /CANARYBIRD" + get, "GET /healthz?CANARYBIRD" + get,
		"GET /v1/events?CANARYBIRD=CANARYBIRD&type=CANARYBIRD" + get, "GET /v1/events?stream=CANARYBIRD" + get,
		"GET /v1/events?CANARYBIRD;a=%zz" + get, "GET /v1/events?after=CANARYBIRD" + get,
		"GET /v1/events?limit=CANARYBIRD&follow=CANARYBIRD" + get,
		"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: CANARYBIRD\r\n\r\n",
		"GET /lethe.v1.LogService/Find?message=CANARYBIRD&encoding=CANARYBIRD" + get, "CANARYBIRD /healthz" + get,
		"GET / HTTP/CANARYBIRD\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: CANARYBIRD\r\n\r\n",
		post + "Content-Length: CANARYBIRD\r\n\r\n", post + "Transfer-Encoding: CANARYBIRD\r\n\r\n",
		post + "Content-Type: CANARYBIRD\r\nContent-Length: 10\r\n\r\nCANARYBIRD",
		post + "Content-Type: application/json\r\nContent-Length: 10\r\n\r\nCANARYBIRD",
		post + "Content-Type: application/json\r\nTraceparent: CANARYBIRD\r\nOrigin: CANARYBIRD\r\n" +
			"Content-Encoding: CANARYBIRD\r\nContent-Length: 0\r\n\r\n",
	} {
		line, rest, _ := strings.Cut(text, "\r\n")
		for _, headers := range []string{"", "Lethe-Store: loans\r\nAuthorization: Bearer " + secret + "\r\n"} {
			conn := dial(t, s)
			say(t, conn, line+"\r\nConnection: close\r\n"+headers+rest)
			// A feed that is let in would stay open; none is, for each has something wrong.
			if answer, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				_, _ = fmt.Fprintln(told, answer.Header)
				_, _ = io.Copy(told, answer.Body)
			}
			conn.Close()
		}
	}
}

// TestConnectionsTellNothing greets with a canarybird where HTTP/2 was agreed on, of which net/http would log it.
func TestConnectionsTellNothing(t *testing.T) {
	own, pool := certificate(t)
	s := serveWith(t, newReal(t, server.Options{}, memory.Options{}), &tls.Config{
		Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13,
	})
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say(t, conn, strings.Repeat("CANARYBIRD", 10))
	_, _ = io.Copy(io.Discard, conn)
	plain := dial(t, s) // no TLS at all
	say(t, plain, "CANARYBIRD CANARYBIRD CANARYBIRD\r\n\r\n")
	_, _ = io.Copy(io.Discard, plain)
	eventually(t, "it is logged", func() bool { return strings.Contains(s.log.String(), "connection failed") })
	s.stop()
	<-s.ended
	if strings.Contains(s.log.String(), "CANARYBIRD") {
		t.Errorf("the log tells: %s", s.log)
	}
}

// TestPanicsTellNothing panics in storage, with what was stored.
func TestPanicsTellNothing(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true}, memory.Options{Fail: func(op string) error {
		if op == memory.OpPage {
			panic("CANARYBIRD was stored")
		}
		return nil
	}})
	s := serveWith(t, w, nil)
	fill(t, s.loans, 1, "a")
	client := lethev1LogClient(s.url(), inLoans())
	_, err := client.Query(context.Background(), connect.NewRequest(&lethev1.QueryRequest{}))
	told := &bytes.Buffer{}
	note(told, err)
	if got := event.Code(parsed(t, err)); got != "internal" && got != "" {
		t.Errorf("code %q", got)
	}
	if both := told.String() + s.log.String(); strings.Contains(both, "CANARYBIRD") || !strings.Contains(both, "panic") {
		t.Errorf("told: %s", both)
	}
}
