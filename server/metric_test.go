package server_test

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

// scraped is the page for Prometheus, as the headers get to see it.
func (w *world) scraped(t testing.TB, headers map[string]string) string {
	t.Helper()
	answer := w.get(http.MethodGet, "/metrics", headers)
	if answer.Code != http.StatusOK {
		t.Fatalf("metrics: %d %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// metric is a series of a server without tokens; 0: it is not there.
func (w *world) metric(t testing.TB, series string) float64 {
	t.Helper()
	for line := range strings.Lines(w.scraped(t, map[string]string{"Lethe-Store": "loans"})) {
		if text, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

func TestSeries(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true, Version: "v9.8.7"}, memory.Options{})
	client := w.logClient(t, inLoans())
	m := write("a/1")
	m.Writes[0].Events[0].Id = "00000000-0000-0000-0000-000000000001"
	for range 2 { // the second is a repetition
		if _, err := client.Append(t.Context(), connect.NewRequest(m)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Find(t.Context(), connect.NewRequest(&lethev1.FindRequest{Id: "no id"})); err == nil {
		t.Fatal("found")
	}
	stream := subscribe(t, client, &lethev1.SubscribeRequest{})
	next(t, stream)
	if n := w.metric(t, `lethe_subscriptions_open{store="loans"}`); n != 1 {
		t.Errorf("%v subscriptions", n)
	}
	w.server.End()
	_ = ended(t, stream)
	for series, want := range map[string]float64{
		`lethe_calls_total{code="ok",procedure="` + appendPath + `",store="loans"}`:                   2,
		`lethe_calls_total{code="malformed_id",procedure="/lethe.v1.LogService/Find",store="loans"}`:  1,
		`lethe_calls_total{code="draining",procedure="/lethe.v1.LogService/Subscribe",store="loans"}`: 1,
		`lethe_call_seconds_count{procedure="` + appendPath + `",store="loans"}`:                      2,
		`lethe_events_appended_total{store="loans"}`:                                                  1,
		`lethe_subscriptions_open{store="loans"}`:                                                     0,
		`lethe_subscriptions_ended_total{code="draining",store="loans"}`:                              1,
		`lethe_head_position{store="loans"}`:                                                          1,
		`lethe_build_info{version="v9.8.7"}`:                                                          1,
		`lethe_message_bytes_held`:                                                                    0,
		`lethe_calls_open`:                                                                            1,
	} {
		eventually(t, series, func() bool { return w.metric(t, series) == want })
	}
}

func TestMetricsAreForAdmins(t *testing.T) {
	w := newReal(t, server.Options{}, memory.Options{})
	fill(t, w.other, 3, "a")
	bearer := func(g token.Scope) map[string]string {
		secret := w.mint(t, token.Grant{Scope: g})
		return map[string]string{"Lethe-Store": "loans", "Authorization": "Bearer " + secret.Reveal()}
	}
	if answer := w.get(http.MethodGet, "/metrics", nil); answer.Code == 200 {
		t.Error("without a token")
	}
	if answer := w.get(http.MethodGet, "/metrics", bearer(token.Scope{Read: true, Append: true})); answer.Code != 403 {
		t.Errorf("without admin: %d", answer.Code)
	}
	admin := bearer(token.Scope{Admin: true})
	elsewhere := maps.Clone(admin)
	elsewhere["Lethe-Store"] = "other"
	if answer := w.get(http.MethodGet, "/metrics", elsewhere); answer.Code != 401 {
		t.Errorf("with the token of another store: %d", answer.Code)
	}
	page := w.scraped(t, admin)
	if strings.Contains(page, `store="other"`) || !strings.Contains(page, `lethe_head_position{store="loans"} 0`) {
		t.Errorf("the page of loans is\n%s", page)
	}
	open := newReal(t, server.Options{NoTokens: true}, memory.Options{})
	page = open.scraped(t, map[string]string{"Lethe-Store": "loans"})
	for _, name := range []string{"loans", "other"} {
		if !strings.Contains(page, `lethe_head_position{store="`+name+`"}`) {
			t.Errorf("without tokens %s is missing", name)
		}
	}
}

// TestProceduresAreNotMadeUp calls what is not there, both at the door and when it is shut.
func TestProceduresAreNotMadeUp(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true, Limits: server.Limits{BufferBytes: 8}}, memory.Options{})
	for _, path := range []string{
		"/CANARYBIRD", "/lethe.v1.LogService/CANARYBIRD", "/lethe/v1/LogService/Append", "/lethe.v1.LogService.Append",
		"/lethe.v1.Event", "/lethe.v1/Event/type", "/google/protobuf/Any", "/metrics/CANARYBIRD", appendPath,
	} {
		for _, body := range []string{"{}", strings.Repeat("x", 100)} {
			w.post(path, body, w.loansHeader())
		}
	}
	page := w.scraped(t, w.loansHeader())
	found := regexp.MustCompile(`procedure="([^"]*)"`).FindAllStringSubmatch(page, -1)
	got := map[string]bool{}
	for _, match := range found {
		got[match[1]] = true
	}
	if want := []string{appendPath, "other"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("procedures %v, want %v", slices.Sorted(maps.Keys(got)), want)
	}
}

// TestPageOfMetrics compares docs/metrics.md with what there is.
func TestPageOfMetrics(t *testing.T) {
	w := newReal(t, server.Options{NoTokens: true, Version: "v1"}, memory.Options{})
	client := w.logClient(t, inLoans())
	if _, err := client.Append(t.Context(), connect.NewRequest(write("a/1"))); err != nil {
		t.Fatal(err)
	}
	stream := subscribe(t, client, &lethev1.SubscribeRequest{})
	next(t, stream)
	w.server.End()
	_ = ended(t, stream)
	eventually(t, "the subscription is counted", func() bool {
		return w.metric(t, `lethe_subscriptions_ended_total{code="draining",store="loans"}`) == 1
	})
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	table := families(`(?m)^\| .(lethe_[a-z_]+).? \| (\w+) \|`, string(page))
	served := families(`(?m)^# TYPE (lethe_[a-z_]+) (\w+)$`, w.scraped(t, w.loansHeader()))
	if len(served) == 0 || !maps.Equal(table, served) {
		t.Errorf("docs/metrics.md has %v, the server %v", table, served)
	}
}

// families are names with their types.
func families(pattern, text string) map[string]string {
	found := map[string]string{}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[match[1]] = match[2]
	}
	return found
}
