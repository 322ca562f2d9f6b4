package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
)

// whole is an event with everything that its JSON shows.
func whole() event.Event {
	at := time.Date(2026, 1, 5, 9, 30, 0, 312046000, time.UTC)
	krid := event.KRID{7}
	return event.Event{
		Position: 42, Stream: event.Stream("customer", krid.String()), Version: 3, RecordedAt: at,
		Boxes: []byte{1, 1, 0, 1, 0xff},
		Draft: event.Draft{
			ID: event.ID{1}, Type: "T", Schema: event.SchemaID{2}, OccurredAt: at.Add(-time.Hour), Causation: event.ID{3},
			Relations:   []event.Relation{{Role: "r", Kind: "k", ID: "1"}},
			Correlation: "c", Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Producer: event.Producer{Name: "loans"}, Metadata: map[string]string{"k": ""},
			Data: []byte(`{"a":1e400,"b":"<&\u2028>","c":null}`),
		},
		Withheld: []event.Withheld{{Path: "/c", Group: "contact", Reason: event.WithheldErased, Receipt: "er-1"}},
		Names:    []event.Name{{KRID: krid, Kind: "customer", Ref: "a/b"}},
	}
}

// TestEventJSON reads back what an event shows of itself.
func TestEventJSON(t *testing.T) {
	protobuf := whole()
	protobuf.Data, protobuf.Format = []byte{0, 1, 0xff}, event.Protobuf
	pruned := event.Event{Position: 1, Stream: event.Stream("a", "1"), Version: 1, RecordedAt: whole().RecordedAt,
		Draft: event.Draft{ID: event.ID{1}, Type: "T"}, Pruned: true}
	for name, e := range map[string]event.Event{"whole": whole(), "protobuf": protobuf, "pruned": pruned} {
		text, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.ParseEvent(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestParseEventRefuses(t *testing.T) {
	for code, texts := range map[string][]string{
		"invalid_json": {``, `{`, `{"type":"canary"} x`, `{"type":"canary","type":"T"}`, `{"data":{"canary":1,"canary":2}}`,
			"{\"type\":\"canary\xff\"}"},
		"wrong_type": {`[]`, `"canary"`, `{"position":"canary"}`, `{"position":-1}`, `{"relations":{}}`,
			`{"names":["canary"]}`},
		"malformed_base64": {`{"boxes":"canary!"}`, `{"data_base64":"canary!"}`},
		"malformed_time":   {`{"recorded_at":"canary"}`, `{"occurred_at":"2026-13-01T00:00:00Z"}`},
		"malformed_stream": {`null`, `{}`, `{"stream":"canary"}`},
		"malformed_schema": {`{"schema":"canary"}`},
		"malformed_krid":   {`{"stream":"a/1","names":{"canary":"customer/canary"}}`},
	} {
		for _, text := range texts {
			_, err := event.ParseEvent([]byte(text))
			if got := event.Code(err); got != code {
				t.Errorf("%s: got %s (%v), want %s", text, got, err, code)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: the error quotes it: %v", text, err)
			}
		}
	}
	later := `{"stream":"a/1","type":"T","later":{"y":[1]}}`
	if e, err := event.ParseEvent([]byte(later)); err != nil || e.Type != "T" {
		t.Errorf("a field of a later version: %v, %v", e, err)
	}
}

func FuzzParseEvent(f *testing.F) {
	text, err := json.Marshal(whole())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := event.ParseEvent(b)
		if err != nil {
			if event.Code(err) == "internal" {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		text, err := json.Marshal(e)
		if err != nil {
			return // a time beyond the years of RFC 3339
		}
		again, err := event.ParseEvent(text)
		if err != nil {
			t.Fatalf("it shows itself as %s, which is refused: %v", text, err)
		}
		if diff := cmp.Diff(e.Draft.Metadata, again.Draft.Metadata); diff != "" {
			t.Error(diff)
		}
	})
}
