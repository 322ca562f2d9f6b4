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

// secretive is an append whose every field holds a canary. Those that begin with CANARY are told to nobody; those that
// begin with canary are names and ids, which a caller may be told again, in its own error only.
func secretive() *lethev1.AppendRequest {
	m := write("canary-kind/canary-stream")
	d := m.Writes[0].Events[0]
	d.Type, d.Correlation = "CanaryType", "canary-correlation"
	d.Relations = []*lethev1.Relation{{Role: "canary-role", Kind: "canary-kind", Id: "canary-relation"}}
	d.Metadata = map[string]string{"canary-key": "CANARY-metadata"}
	d.Data = `{"CANARY-name": "CANARY-data"}`
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
	change("data", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Data = `{"CANARY": CANARY}` })
	change("data twice", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Data = `{"CANARY":1,"CANARY":2}` })
	change("metadata", func(_ *lethev1.AppendRequest, d *lethev1.Draft) {
		d.Metadata["canary-key"] = strings.Repeat("CANARY", 10_000)
	})
	change("id", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Id = "CANARY" })
	change("causation", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Causation = "CANARY" })
	change("trace", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Traceparent = "CANARY" })
	change("schema", func(_ *lethev1.AppendRequest, d *lethev1.Draft) { d.Schema = []byte("CANARY") })
	change("version", func(m *lethev1.AppendRequest, _ *lethev1.Draft) {
		m.Writes[0].ExpectedVersion = new(uint64)
		*m.Writes[0].ExpectedVersion = 77
	})
	change("relation", func(_ *lethev1.AppendRequest, d *lethev1.Draft) {
		d.Relations[0].Id = strings.Repeat("CANARY", 1000)
	})
	change("correlation", func(_ *lethev1.AppendRequest, d *lethev1.Draft) {
		d.Correlation = strings.Repeat("CANARY", 1000)
	})
	return all
}

func TestNothingIsTold(t *testing.T) {
	f := &failing{}
	w := newReal(t, server.Options{}, memory.Options{Fail: f.fail, Indexed: []string{"canary-key"}})
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
		for _, m := range []*lethev1.Match{{Causation: "CANARY"}, {Metadata: map[string]string{"k": "CANARY"}},
			{Types: []string{strings.Repeat("CANARY", 100)}}, {Stream: "CANARY"}} {
			_, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{Filter: []*lethev1.Match{m}}))
			note(told, err)
		}
		stream := subscribe(t, client, &lethev1.SubscribeRequest{After: "CANARY"})
		note(told, ended(t, stream))
		stolen := as(w.mint(t, everything()))
		other := lethev1connect.NewLogServiceClient(h2c(), s.url(), stolen,
			connect.WithInterceptors(bring{"Authorization": "Bearer lethe_CANARY", "Lethe-Store": "CANARY"}))
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
			if strings.Contains(strings.ToLower(line), "canary") || strings.Contains(line, secret.Reveal()) {
				t.Errorf("the %s tells: %s", name, line)
			}
		}
	}
	if text := told.String(); strings.Contains(text, "CANARY") || strings.Contains(text, secret.Reveal()) {
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
		"CANARY\r\n\r\n", "GET /CANARY" + get, "GET /healthz?CANARY" + get, "GET /v1/events?CANARY=CANARY&type=CANARY" + get,
		"GET /v1/events?stream=CANARY" + get, "GET /v1/events?CANARY;a=%zz" + get, "GET /v1/events?after=CANARY" + get,
		"GET /v1/events?limit=CANARY&follow=CANARY" + get,
		"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: CANARY\r\n\r\n",
		"GET /lethe.v1.LogService/Find?message=CANARY&encoding=CANARY" + get, "CANARY /healthz" + get,
		"GET / HTTP/CANARY\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: CANARY\r\n\r\n",
		post + "Content-Length: CANARY\r\n\r\n", post + "Transfer-Encoding: CANARY\r\n\r\n",
		post + "Content-Type: CANARY\r\nContent-Length: 6\r\n\r\nCANARY",
		post + "Content-Type: application/json\r\nContent-Length: 6\r\n\r\nCANARY",
		post + "Content-Type: application/json\r\nTraceparent: CANARY\r\nOrigin: CANARY\r\n" +
			"Content-Encoding: CANARY\r\nContent-Length: 0\r\n\r\n",
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

// TestConnectionsTellNothing greets with a canary where HTTP/2 was agreed on, of which net/http would log it.
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
	say(t, conn, strings.Repeat("CANARY", 10))
	_, _ = io.Copy(io.Discard, conn)
	plain := dial(t, s) // no TLS at all
	say(t, plain, "CANARY CANARY CANARY\r\n\r\n")
	_, _ = io.Copy(io.Discard, plain)
	eventually(t, "it is logged", func() bool { return strings.Contains(s.log.String(), "connection failed") })
	s.stop()
	<-s.ended
	if strings.Contains(s.log.String(), "CANARY") {
		t.Errorf("the log tells: %s", s.log)
	}
}

// TestPanicsTellNothing panics in storage, with what was stored.
func TestPanicsTellNothing(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true}, memory.Options{Fail: func(op string) error {
		if op == memory.OpPage {
			panic("CANARY was stored")
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
	if both := told.String() + s.log.String(); strings.Contains(both, "CANARY") || !strings.Contains(both, "panic") {
		t.Errorf("told: %s", both)
	}
}
