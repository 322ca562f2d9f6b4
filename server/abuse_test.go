package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
)

const openCalls = "lethe_calls_open"

// TestSlowSendersHoldNoPlace: calls that are still being sent are not among those that are worked on.
func TestSlowSendersHoldNoPlace(t *testing.T) {
	s := newServed(t, server.Options{NoTokens: true, Limits: server.Limits{Calls: 4}}, memory.Options{})
	for range 8 {
		say(t, dial(t, s), head(appendPath, "application/json", 200)+"{")
	}
	eventually(t, "all have begun", func() bool { return s.metric(t, held) == 8 })
	works(t, s)
}

// TestUnreadAnswers asks for much and reads nothing: such a caller gives its place back.
func TestUnreadAnswers(t *testing.T) {
	limits := server.Limits{Body: 200 * time.Millisecond, Stall: 200 * time.Millisecond}
	s := newServed(t, server.Options{NoTokens: true, Limits: limits}, memory.Options{})
	fillBig(t, s, 8)
	conn := dial(t, s)
	for range 30 { // one after the other, and no answer is read
		say(t, conn, head("/lethe.v1.LogService/Query", "application/json", 2)+"{}")
	}
	scrape := 1.0 // the call that asks for the metrics is open too
	eventually(t, "no call is open", func() bool { return s.metric(t, openCalls) == scrape })
	works(t, s)
}

// TestEndless: of a message without end no more is read than a message may have.
func TestEndless(t *testing.T) {
	s := newServed(t, server.Options{NoTokens: true, Limits: server.Limits{MessageBytes: 64 << 10}}, memory.Options{})
	sent := new(endless)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url()+appendPath, sent)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/proto")
	r.Header.Set("Lethe-Store", "loans")
	if answer, err := http.DefaultClient.Do(r); err == nil { // the connection may be closed before the answer is read
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if m := told(t, text); m.GetCode() != "oversized" {
			t.Errorf("%s: %v", answer.Status, m)
		}
	}
	if n := sent.bytes.Load(); n > 16<<20 { // what lies in buffers on the way was sent, not read
		t.Errorf("%d MiB were taken of a message of at most 64 KiB", n>>20)
	}
	works(t, s)
}

// endless is a message without end.
type endless struct{ bytes atomic.Int64 }

func (e *endless) Read(b []byte) (int, error) {
	clear(b)
	e.bytes.Add(int64(len(b)))
	return len(b), nil
}

// TestOriginsAreNamed: neither every page of the world, nor what is no origin.
func TestOriginsAreNamed(t *testing.T) {
	w := newWorld(t, server.Options{}, memory.Options{})
	for _, origin := range []string{"*", "https://*.example.org", "", "example.org", "https://example.org/", "file://x"} {
		_, err := server.New([]server.Tenant{{Name: "loans", Store: w.loans, Tokens: w.engine}},
			server.Options{Origins: []string{"https://console.example.org", origin}})
		if event.Code(err) != "malformed_origin" || origin != "" && !strings.Contains(err.Error(), origin) {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
}

// TestManyParts: a message of very many empty parts is small on its way and would be large in memory.
func TestManyParts(t *testing.T) {
	const path = "/lethe.v1.LogService/AppendEach"
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	json := `{"requests":[` + strings.Repeat("{},", 600_000) + `{}]}`
	packed := strings.Repeat("\x0a\x00", 600_000)
	for kind, body := range map[string]string{"application/json": json, "application/proto": packed} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Lethe-Store", "loans")
		answer := httptest.NewRecorder()
		w.server.Handler().ServeHTTP(answer, r)
		if m := told(t, answer.Body.Bytes()); m.GetCode() != "oversized" {
			t.Errorf("%s: %v", kind, m)
		}
	}
}
