package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

// sent is one server-sent event.
type sent struct{ id, kind, data string }

// source reads server-sent events as a browser does.
type source struct {
	answer *http.Response
	lines  *bufio.Scanner
}

func (w *world) source(t testing.TB, s *httptest.Server, query string, headers map[string]string) *source {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Lethe-Store", "loans")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 2<<20)
	return &source{answer, lines}
}

// next is the next event; false at the end.
func (s *source) next() (e sent, ok bool) {
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if e.kind != "" {
				return e, true
			}
		}
	}
	return e, false
}

func TestSentEventsResume(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	fill(t, w.loans, 30, "application", "customer")
	s := w.listen(t)
	headers := map[string]string{"Authorization": "Bearer " + w.mint(t, everything()).Reveal()}
	seen := 0
	for seen < 30 {
		src := w.source(t, s, "?after=&limit=7", headers)
		if got := src.answer.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Fatalf("content type %q", got)
		}
		for e, ok := src.next(); ok; e, ok = src.next() {
			if e.kind != "event" {
				continue
			}
			var m struct {
				Position int
				Data     json.RawMessage
			}
			if err := json.Unmarshal([]byte(e.data), &m); err != nil || m.Position != seen+1 {
				t.Fatalf("event %d: %s (%v)", seen+1, e.data, err)
			}
			seen++
			headers["Last-Event-ID"] = e.id
			if seen == 30 {
				break
			}
		}
	}
	src := w.source(t, s, "", headers)
	e, ok := src.next()
	if !ok || e.kind != "cursor" || e.id != headers["Last-Event-ID"] || !strings.Contains(e.data, `"live":true`) {
		t.Errorf("at the head comes %v", e)
	}
	fill(t, w.loans, 1, "application")
	if e, ok := src.next(); !ok || e.kind != "event" || !strings.Contains(e.data, `"position":31,`) {
		t.Errorf("live comes %v", e)
	}
	w.clock.Advance(15 * time.Second)
	if e, ok := src.next(); !ok || e.kind != "cursor" {
		t.Errorf("the heartbeat is %v", e)
	}
}

func TestSentEventsFilter(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{Indexed: []string{"channel"}})
	id := event.ID{15: 1}
	for i := range 6 {
		d := event.Draft{Type: fmt.Sprintf("Type%d", i%2), Metadata: map[string]string{"channel": fmt.Sprintf("c=%d", i%3)}}
		if i == 4 {
			d.Correlation, d.Causation = "op-1", id
			d.Relations = []event.Relation{{Role: "issuer", Kind: "employee", ID: "a=b/c"}}
		}
		stream := event.Stream([]string{"a", "b"}[i/3], "1/2")
		if _, err := w.session().Append(t.Context(), stream, event.Any, d); err != nil {
			t.Fatal(err)
		}
	}
	s := w.listen(t)
	for query, want := range map[string]string{
		"": "123456", "type=Type0": "135", "type=Type0&type=Type1": "123456", "kind=a": "123", "kind=a&type=Type1": "2",
		"stream=b%2F1%2F2": "456", "metadata=channel%3Dc%3D1": "25", "correlation=op-1": "5", "causation=" + id.String(): "5",
		"relation=issuer%3Demployee%2Fa%3Db%2Fc": "5", "relation=employee%2Fa%3Db%2Fc": "5",
		"relation=payer%3Demployee%2F1": "",
		"limit=2":                       "12", "limit=2&kind=b": "45", "after=" + w.loans.Cursor(4).String(): "56",
	} {
		src := w.source(t, s, "?follow=false&"+query, map[string]string{"Accept": "application/jsonl"})
		got, cursor := "", ""
		for src.lines.Scan() {
			var line struct {
				Cursor string
				Event  struct{ Position int }
				Error  json.RawMessage
			}
			if err := json.Unmarshal(src.lines.Bytes(), &line); err != nil || line.Error != nil {
				t.Fatalf("%s: %s", query, src.lines.Text())
			}
			if cursor = line.Cursor; line.Event.Position > 0 {
				got += fmt.Sprint(line.Event.Position)
			}
		}
		if got != want || src.answer.Header.Get("Content-Type") != "application/jsonl" {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
		if at, err := event.ParseCursor(cursor); err != nil || at.Position == 0 {
			t.Errorf("%s ends at %q", query, cursor)
		}
	}
	for query, code := range map[string]string{
		"typ=CANARYBIRD": "unknown_field", "stream=CANARYBIRD": "malformed_stream",
		"stream=a%2F1&stream=a%2F2": "malformed_query", "relation=CANARYBIRD": "unknown_field",
		"metadata=CANARYBIRD": "unknown_field", "causation=CANARYBIRD": "malformed_id",
		"after=CANARYBIRD": "malformed_cursor", "limit=CANARYBIRD": "malformed_limit", "limit=0": "malformed_limit",
		"follow=CANARYBIRD":  "malformed_query",
		"present=CANARYBIRD": "malformed_query", "a=%zz": "malformed_query", "a;b": "malformed_query",
		"kind=NO+KIND": "malformed_name",
		"metadata=channel%3D1&metadata=channel%3D2": "unknown_field", "metadata=other%3D1": "not_indexed",
	} {
		src := w.source(t, s, "?"+query, nil)
		src.lines.Scan()
		m := told(t, src.lines.Bytes())
		if m.GetCode() != code || src.answer.StatusCode != 400 || strings.Contains(src.lines.Text(), "CANARYBIRD") {
			t.Errorf("%s: %d %s", query, src.answer.StatusCode, src.lines.Text())
		}
	}
}

func TestSentEventsAccess(t *testing.T) {
	w := newWorld(t, server.Options{Limits: server.Limits{StreamsOfToken: 1}}, memory.Options{})
	fill(t, w.loans, 4, "application", "secret")
	s := w.listen(t)
	secret := w.mint(t, token.Grant{Scope: token.Scope{Read: true, Kinds: []string{"application"}},
		Expires: w.clock.Now().Add(time.Hour)})
	headers := map[string]string{"Authorization": "Bearer " + secret.Reveal()}
	src := w.source(t, s, "", headers)
	for _, position := range []string{"1", "3"} {
		if e, ok := src.next(); !ok || !strings.Contains(e.data, `"position":`+position+`,`) {
			t.Errorf("got %v instead of event %s", e, position)
		}
	}
	second := w.source(t, s, "", headers)
	second.lines.Scan()
	if m := told(t, second.lines.Bytes()); m.GetCode() != "too_many_streams" || second.answer.StatusCode != 429 {
		t.Errorf("a second one: %d %v", second.answer.StatusCode, m)
	}
	w.clock.Advance(time.Hour)
	var last sent
	for e, ok := src.next(); ok; e, ok = src.next() {
		last = e
	}
	if last.kind != "error" || !strings.Contains(last.data, `"token_expired"`) {
		t.Errorf("it ended with %v", last)
	}
}
