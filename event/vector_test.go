package event_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/event/pagetest"
)

// worked lays out an example of docs/format.
type worked struct{ pagetest.Layout }

// text writes a length of 2 bytes and the text.
func (w *worked) text(what, s string) []byte {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(s)))
	w.Part("length of "+what, length)
	if s != "" {
		w.Part(fmt.Sprintf("%s %q", what, s), []byte(s))
	}
	return append(length, s...)
}

func exampleDraft(t *testing.T) event.Draft {
	t.Helper()
	id, err1 := event.ParseID("0199a0d4-e7c0-7abc-8def-0123456789ab")
	cause, err2 := event.ParseID("0199a0d4-e6f2-7123-8456-789abcdef012")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	d := event.Draft{
		ID: id, Type: "OfferSent", OccurredAt: time.Date(2026, time.January, 5, 9, 30, 0, 250_000_000, time.UTC),
		Correlation: "request-81", Causation: cause,
		Producer: event.Producer{Name: "loans", Version: "1.4.0"},
		Relations: []event.Relation{
			{Role: "issuer", Kind: "employee", ID: "112"}, {Role: "affected", Kind: "customer", ID: "4711"},
		},
		Metadata: map[string]string{"channel": "web"},
		Data:     json.RawMessage(`{"amount":20000,"note":null}`),
	}
	d.Canonical()
	return d
}

// TestBodyExample lays the bytes out by hand, from the page and not from the code.
func TestBodyExample(t *testing.T) {
	d := exampleDraft(t)
	var w worked
	var all []byte
	raw := func(label string, b []byte) { w.Part(label, b); all = append(all, b...) }
	text := func(what, s string) { all = append(all, w.text(what, s)...) }
	raw("format version 1", []byte{1})
	raw("flags: occurred_at, correlation, causation, producer, relations, metadata, data", []byte{0x01, 0xee})
	raw("occurred_at 2026-01-05T09:30:00.25Z", binary.BigEndian.AppendUint64(nil, 1767605400250000))
	text("correlation", "request-81")
	raw("causation", d.Causation[:])
	text("producer's name", "loans")
	text("producer's version", "1.4.0")
	text("producer's commit", "")
	raw("2 relations", []byte{0, 2})
	for i, s := range []string{"affected", "customer", "4711", "issuer", "employee", "112"} {
		text([]string{"role", "kind", "id"}[i%3], s)
	}
	raw("1 key of metadata", []byte{0, 1})
	text("key", "channel")
	text("value", "web")
	raw(fmt.Sprintf("data %s", `{"amount":20000,"note":null}`), []byte(`{"amount":20000,"note":null}`))
	if diff := cmp.Diff(all, event.AppendBody(nil, &d)); diff != "" {
		t.Errorf("the code gives other bytes (-page +code):\n%s", diff)
	}
	pagetest.Compare(t, "../docs/format/body.md", "", w.String())
}

func TestCursorExample(t *testing.T) {
	c := event.Cursor{Incarnation: 7, Position: 42}
	for i := range c.Store {
		c.Store[i] = byte(i)
	}
	var w worked
	var all []byte
	part := func(label string, b []byte) { w.Part(label, b); all = append(all, b...) }
	part("format version 1", []byte{1})
	part("store", c.Store[:])
	part("incarnation 7", binary.BigEndian.AppendUint64(nil, 7))
	part("position 42", binary.BigEndian.AppendUint64(nil, 42))
	sum := sha256.Sum256(all)
	part("checksum", sum[:4])
	text := base64.RawURLEncoding.EncodeToString(all)
	if got := c.String(); got != text {
		t.Errorf("the page gives %s, the code %s", text, got)
	}
	fmt.Fprintf(&w, "\n%s\n", text)
	pagetest.Compare(t, "../docs/format/cursor.md", "", w.String())
}

func TestEnvelopeExample(t *testing.T) {
	e := event.Event{
		Position: 42, Stream: event.Stream("application", "173688"), Version: 3, Draft: exampleDraft(t),
		RecordedAt: time.Date(2026, time.January, 5, 9, 30, 0, 312_046_000, time.UTC),
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Compare(t, "../docs/format/envelope.md", "", string(text)+"\n")
}
