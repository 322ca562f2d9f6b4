package lethetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
)

// dataExact: data comes back as it was given, byte for byte, from every way of reading.
func dataExact(t *testing.T, r *rig) {
	var planes strings.Builder
	for plane := range rune(17) {
		fmt.Fprintf(&planes, "%c%c", plane<<16+0x41, plane<<16+0xabcd)
	}
	texts := []string{
		`{}`,
		`{"n":1234567890123456789012345678901234567890}`,
		`{"n":0.1234567890123456789012345678901234567890e-40, "m": 1E400}`,
		`{"zero":-0,"z":-0.0,"e":1e+2,"E":100E-0}`,
		"{ \"spaced\" :\t[ 1 ,\r\n 2 ] }\n",
		`{"a":{"b":{"c":[[[{"d":[]}]],{}]}},"":null,"t":true,"f":false}`,
		`{"escaped":"\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\","<>&":"<>&"}`,
		`{"planes":"` + planes.String() + `"}`,
		"{\"separators\":\"\u2028\u2029\ufeff\x7f\"}",
		`{"z":1,"a":2,"M":3}`,
		`{"deep":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"",
	}
	var list []event.Draft
	for _, text := range texts {
		d := draft("A")
		if text != "" {
			d.Data = []byte(text)
		}
		list = append(list, d)
	}
	r.append(t, stream("1"), list...)
	for way, events := range ways(t, r) {
		for i, e := range events {
			if string(e.Data) != texts[i] {
				t.Errorf("%s: data %d of %d bytes comes back as %d bytes", way, i, len(texts[i]), len(e.Data))
			}
		}
		if len(events) != len(texts) {
			t.Errorf("%s: %d events", way, len(events))
		}
	}
	if e := r.all(t)[len(texts)-1]; e.Data != nil {
		t.Errorf("no data is nil, got %d bytes", len(e.Data))
	}
}

// ways are all ways of reading the log, which has one stream.
func ways(t *testing.T, r *rig) map[string][]event.Event {
	t.Helper()
	all := r.all(t)
	var found, live []event.Event
	for _, e := range all {
		got, err := r.session.Event(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, got)
	}
	for e, err := range r.session.Subscribe(t.Context(), nil, event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if live = append(live, e); len(live) == len(all) {
			break
		}
	}
	return map[string][]event.Event{
		"query": all, "event": found, "subscribe": live,
		"read": collect(t, r.session.Read(t.Context(), all[0].Stream, lethe.Range{})),
	}
}

// envelopeExact: every field of an event comes back, from every way of reading.
func envelopeExact(t *testing.T, r *rig) {
	d := event.Draft{
		ID: id(9), Type: "Loan paid back – Ω",
		OccurredAt: time.Date(-44, 3, 15, 12, 0, 0, 123_456_000, time.UTC),
		Relations: []event.Relation{
			{Role: "affected", Kind: "branch", ID: "3/4=5"}, {Role: "issuer", Kind: "employee", ID: "7"},
			{Role: "issuer", Kind: "x-1:y_z.0", ID: "ünï"},
		},
		Correlation: "op/1", Causation: id(8), Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
		Producer: event.Producer{Name: "loan desk", Version: "1.2", Commit: "abc"},
		Metadata: map[string]string{"channel": "web shop", "empty": "", "branch": "3"},
		Data:     []byte(`{"amount": 1}`),
	}
	given := d
	given.Relations = []event.Relation{d.Relations[2], d.Relations[0], d.Relations[1], d.Relations[0]}
	given.OccurredAt = d.OccurredAt.Add(999).In(time.FixedZone("east", 3600))
	r.append(t, stream("1"), given)
	first := r.all(t)[0]
	want := event.Event{
		Position: 1, Stream: stream("1"), Version: 1, RecordedAt: r.clock.Now(), Draft: d, Leaf: first.Leaf,
	}
	for way, events := range ways(t, r) {
		if len(events) != 1 {
			t.Fatalf("%s: %d events", way, len(events))
		}
		same(t, way, want, events[0])
	}
}

// namesLegal: what is allowed is taken as it is, however odd.
func namesLegal(t *testing.T, r *rig) {
	ids := []string{
		"a/b//c/", "/", "?x=1&y#z", "%2F", "..", "ünïcödé", "日本", "'\"", "@", "a@b", strings.Repeat("x", 255),
		strings.Repeat("ß", 127),
	}
	for i, id := range ids {
		s := event.Stream("Kind-1.x:y_z", id)
		d := event.Draft{Type: "T " + strings.Repeat("é", 90), Correlation: id,
			Relations: []event.Relation{{Role: "r.1", Kind: "k", ID: id}}, Metadata: map[string]string{"branch": "x y " + id}}
		r.append(t, s, d)
		for _, f := range []event.Match{
			{Stream: s}, {Correlation: id}, {Relations: []event.Relation{{Kind: "k", ID: id}}},
			{Metadata: map[string]string{"branch": "x y " + id}},
		} {
			got := collect(t, r.session.Query(t.Context(), lethe.Query{Filter: event.Filter{f}}))
			if len(got) != 1 || got[0].Stream != s || got[0].Position != event.Position(i+1) {
				t.Errorf("%q: found %v", id, got)
			}
		}
		if got := collect(t, r.session.Read(t.Context(), s, lethe.Range{})); len(got) != 1 || got[0].Type != d.Type {
			t.Errorf("%q: read %v", id, got)
		}
	}
}
