package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"pgregory.net/rapid"
)

var draftGen = rapid.Custom(func(t *rapid.T) event.Draft {
	name := rapid.StringMatching(`[a-z][a-z0-9_.-]{0,12}`)
	ref := rapid.StringMatching(`[a-zA-Z0-9/:_äß漢-]{1,20}`)
	d := event.Draft{
		Type:        rapid.StringMatching(`[A-Z][A-Za-z_ +]{0,30}`).Draw(t, "type"),
		Correlation: rapid.OneOf(rapid.Just(""), ref).Draw(t, "correlation"),
		Producer:    event.Producer{Name: rapid.OneOf(rapid.Just(""), name).Draw(t, "producer")},
	}
	if rapid.Bool().Draw(t, "occurred") {
		d.OccurredAt = time.UnixMicro(rapid.Int64Range(-1e15, 1e16).Draw(t, "µs")).UTC()
	}
	for range rapid.IntRange(0, 4).Draw(t, "relations") {
		d.Relations = append(d.Relations,
			event.Relation{Role: name.Draw(t, "role"), Kind: name.Draw(t, "kind"), ID: ref.Draw(t, "ref")})
	}
	if m := rapid.MapOfN(name, ref, 0, 4).Draw(t, "metadata"); len(m) > 0 {
		d.Metadata = m
	}
	if m := rapid.MapOfN(rapid.String(), rapid.Int64(), 0, 4).Draw(t, "data"); len(m) > 0 {
		d.Data, _ = json.Marshal(m)
	}
	if rapid.Bool().Draw(t, "caused") {
		d.Causation = event.ID{1, 2, 3}
		d.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	}
	return d
})

func TestBodyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := draftGen.Draw(t, "draft")
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		d.Canonical()
		body := event.AppendBody(nil, &d)
		got := event.Draft{ID: d.ID, Type: d.Type}
		if err := event.DecodeBody(body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got); diff != "" {
			t.Fatalf("body lost something (-want +got):\n%s", diff)
		}
	})
}

func TestRelationsAreASet(t *testing.T) {
	a := event.Relation{Role: "issuer", Kind: "employee", ID: "1"}
	b := event.Relation{Role: "affected", Kind: "customer", ID: "2"}
	given := []event.Relation{a, b, a, b, a}
	d := event.Draft{Type: "T", Relations: given}
	d.Canonical()
	if diff := cmp.Diff([]event.Relation{b, a}, d.Relations); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]event.Relation{a, b, a, b, a}, given); diff != "" {
		t.Errorf("the caller's slice changed:\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	ok := func() event.Draft { return event.Draft{Type: "T", Data: []byte(`{}`)} }
	tests := []struct {
		code   string
		change func(*event.Draft)
	}{
		{"malformed_type", func(d *event.Draft) { d.Type = "" }},
		{"malformed_type", func(d *event.Draft) { d.Type = "a\nb" }},
		{"malformed_type", func(d *event.Draft) { d.Type = strings.Repeat("x", 201) }},
		{"invalid_json", func(d *event.Draft) { d.Data = []byte(`{`) }},
		{"invalid_json", func(d *event.Draft) { d.Data = []byte(`[]`) }},
		{"invalid_json", func(d *event.Draft) { d.Data = []byte(`{} {}`) }},
		{"invalid_json", func(d *event.Draft) { d.Data = []byte("{\"a\":\"\xff\"}") }},
		{"invalid_json", func(d *event.Draft) { d.Data = []byte(`{"a":01}`) }},
		{"duplicate_name", func(d *event.Draft) { d.Data = []byte(`{"a":1,"a":2}`) }},
		{"duplicate_name", func(d *event.Draft) { d.Data = []byte(`{"a":[{"b":1,"b":2}]}`) }},
		{"duplicate_name", func(d *event.Draft) { d.Data = []byte("{\"a\":1,\"\\u0061\":2}") }},
		{"oversized", func(d *event.Draft) { d.Data = []byte(`{"a":"` + strings.Repeat("x", event.MaxDataBytes) + `"}`) }},
		{"oversized", func(d *event.Draft) { d.Relations = make([]event.Relation, event.MaxRelations+1) }},
		{"personal_reference", func(d *event.Draft) {
			d.Relations = []event.Relation{{Role: "owner", Kind: "customer", ID: "jo@example.org"}}
		}},
		{"personal_reference", func(d *event.Draft) { d.Correlation = "jo%40example.org" }},
		{"malformed_name", func(d *event.Draft) { d.Relations = []event.Relation{{Role: "", Kind: "k", ID: "1"}} }},
		{"malformed_reference", func(d *event.Draft) { d.Relations = []event.Relation{{Role: "r", Kind: "k"}} }},
		{"malformed_traceparent", func(d *event.Draft) {
			d.Traceparent = "00-00000000000000000000000000000000-b7ad6b7169203331-01"
		}},
		{"malformed_metadata", func(d *event.Draft) { d.Metadata = map[string]string{"a": "\x00"} }},
		{"malformed_name", func(d *event.Draft) { d.Metadata = map[string]string{"": "x"} }},
		{"malformed_producer", func(d *event.Draft) { d.Producer.Name = "\x1b[31m" }},
		{"malformed_time", func(d *event.Draft) { d.OccurredAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
	}
	for _, test := range tests {
		d := ok()
		test.change(&d)
		err := d.Validate()
		if got := event.Code(err); got != test.code || !errors.Is(err, event.ErrInvalid) {
			t.Errorf("got code %q (%v), want %q", got, err, test.code)
		}
	}
	if d := ok(); d.Validate() != nil {
		t.Error("the unchanged draft must be valid")
	}
}

func TestParseDraftIsStrict(t *testing.T) {
	for text, code := range map[string]string{
		`{"type":"T","dta":{}}`:                  "unknown_field",
		`{"type":"T","type":"U"}`:                "duplicate_name",
		`{"type":7}`:                             "wrong_type",
		`{"type":"T","id":"7"}`:                  "malformed_id",
		`{"type":"T","occurred_at":"yesterday"}`: "malformed_time",
		`{"type":"T","data":[]}`:                 "invalid_json",
		`{"type":"T","data":{"a":1,"a":1}}`:      "duplicate_name",
		`{"type":"T","relations":[{"rol":"x"}]}`: "unknown_field",
		``:                                       "invalid_json",
		`{"type":"T","position":5}`:              "unknown_field",
		`{"type":"T","data":{}} x`:               "invalid_json",
		`{"type":"T","causation":"00000000-0000-0000-0000-000000000000"}`: "malformed_id",
	} {
		if _, err := event.ParseDraft([]byte(text)); event.Code(err) != code {
			t.Errorf("%s: got %q (%v), want %q", text, event.Code(err), err, code)
		}
	}
}

func TestNothingPrintsAPayload(t *testing.T) {
	const canary = "CANARY-7f3a"
	d := event.Draft{Type: "T", Data: []byte(`{"name":"` + canary + `"}`), Metadata: map[string]string{"k": canary}}
	e := event.Event{Draft: d, Stream: event.Stream("k", "1")}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "draft", d, "event", e, "pointer", &e)
	printed := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %v", d, d, d, d, e, e, e, &e) + log.String()
	if strings.Contains(printed, canary) {
		t.Errorf("a payload was printed: %s", printed)
	}
	if !strings.Contains(printed, `"T"`) {
		t.Error("the type should be printed")
	}
}

func TestCursor(t *testing.T) {
	c := event.Cursor{Store: event.StoreID{1, 2}, Incarnation: 77, Position: 12}
	back, err := event.ParseCursor(c.String())
	if err != nil || back != c {
		t.Fatalf("got %v, %v", back, err)
	}
	text := c.String()
	for i := range text {
		for _, r := range []byte{'A', 'x', '!', '='} {
			bad := text[:i] + string(r) + text[i+1:]
			if _, err := event.ParseCursor(bad); bad != text && event.Code(err) != "malformed_cursor" {
				t.Fatalf("%s was taken for a cursor", bad)
			}
		}
	}
}

func TestIDsAscend(t *testing.T) {
	ids := event.NewIDs(event.SystemClock{}, strings.NewReader(strings.Repeat("0123456789abcdef", 4096)))
	last := ""
	for range 100 {
		id, err := ids.Next()
		if err != nil {
			t.Fatal(err)
		}
		if s := id.String(); s[14] != '7' || s[:18] < last {
			t.Fatalf("%s after %s", s, last)
		} else {
			last = s[:18]
		}
	}
}

func TestParseStream(t *testing.T) {
	s, err := event.ParseStream("file/a/b")
	if err != nil || s != event.Stream("file", "a/b") {
		t.Errorf("got %v, %v", s, err)
	}
	for _, bad := range []string{"", "a", "/x", "a/", "a b/c", "a/b c", "customer/jo@example.org", "1a/x", "a/\u202e"} {
		if _, err := event.ParseStream(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestMatch(t *testing.T) {
	e := event.Event{Stream: event.Stream("application", "1"), Draft: event.Draft{
		Type: "A", Correlation: "op", Causation: event.ID{9},
		Relations: []event.Relation{{Role: "issuer", Kind: "employee", ID: "7"}},
		Metadata:  map[string]string{"k": ""},
	}}
	yes := []event.Filter{
		nil, {{}}, {{Types: []string{"B", "A"}}}, {{Kinds: []string{"application"}}},
		{{Stream: e.Stream}}, {{Relations: []event.Relation{{Kind: "employee", ID: "7"}}}},
		{{Relations: e.Relations}}, {{Metadata: map[string]string{"k": ""}}}, {{Correlation: "op"}},
		{{Causation: event.ID{9}}}, {{Types: []string{"B"}}, {Types: []string{"A"}}},
	}
	no := []event.Filter{
		{{Types: []string{"B"}}}, {{Types: []string{"A"}, Kinds: []string{"x"}}},
		{{Relations: []event.Relation{{Role: "owner", Kind: "employee", ID: "7"}}}},
		{{Metadata: map[string]string{"z": ""}}}, {{Correlation: "o"}}, {{Causation: event.ID{8}}},
		{{Stream: event.Stream("application", "2")}},
	}
	for i, f := range yes {
		if !f.Matches(&e) {
			t.Errorf("yes %d does not match", i)
		}
	}
	for i, f := range no {
		if f.Matches(&e) {
			t.Errorf("no %d matches", i)
		}
	}
	pruned := event.Event{Stream: e.Stream, Draft: event.Draft{Type: "A"}, Pruned: true}
	if !(event.Filter{{Types: []string{"A"}}}).Matches(&pruned) || (event.Filter{{Correlation: "op"}}).Matches(&pruned) {
		t.Error("a pruned event matches by header only")
	}
}

func FuzzDecodeBody(f *testing.F) {
	d := event.Draft{Type: "T", Data: []byte(`{"a":1}`), Metadata: map[string]string{"k": "v"},
		Relations: []event.Relation{{Role: "r", Kind: "k", ID: "1"}}, Correlation: "c", Causation: event.ID{1}}
	f.Add(event.AppendBody(nil, &d))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d event.Draft
		if event.DecodeBody(b, &d) != nil {
			return
		}
		if got := event.AppendBody(nil, &d); string(got) != string(b) {
			t.Fatalf("accepted %x, which encodes to %x", b, got)
		}
	})
}

func FuzzParseDraft(f *testing.F) {
	f.Add([]byte(`{"type":"T","relations":[{"role":"r","kind":"k","id":"1"}],"data":{"a":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := event.ParseDraft(b)
		if err == nil && d.Validate() != nil {
			t.Fatal("a parsed draft must be valid")
		}
		if err != nil && event.Code(err) == "internal" {
			t.Fatalf("an error without a code: %v", err)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add(event.Cursor{Position: 5}.String())
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := event.ParseCursor(s); err == nil && c.String() != s {
			t.Fatalf("accepted %q for %q", s, c.String())
		}
	})
}

func BenchmarkAppendBody(b *testing.B) {
	d := event.Draft{Type: "T", Data: []byte(`{"amount":20000,"currency":"EUR","note":"none"}`),
		Relations: []event.Relation{{Role: "issuer", Kind: "employee", ID: "112"}}}
	buf := event.AppendBody(nil, &d)
	b.ReportAllocs()
	for b.Loop() {
		buf = event.AppendBody(buf[:0], &d)
	}
}

func BenchmarkDecodeBody(b *testing.B) {
	d := event.Draft{Type: "T", Data: []byte(`{"amount":20000,"currency":"EUR","note":"none"}`),
		Relations: []event.Relation{{Role: "issuer", Kind: "employee", ID: "112"}}}
	body := event.AppendBody(nil, &d)
	b.ReportAllocs()
	for b.Loop() {
		var got event.Draft
		if err := event.DecodeBody(body, &got); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	d := event.Draft{Type: "T", Data: []byte(`{"amount":20000,"currency":"EUR","note":"none","nested":{"a":[1,2,3]}}`),
		Relations: []event.Relation{{Role: "issuer", Kind: "employee", ID: "112"}}}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}
