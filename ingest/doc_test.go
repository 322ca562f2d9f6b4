package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/log"
)

// examples are the worked examples of docs/import.md: name → part → text.
func examples(tb testing.TB) map[string]map[string]string {
	tb.Helper()
	page, err := os.ReadFile("../docs/import.md")
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string]map[string]string{}
	block := regexp.MustCompile("(?s)```\\w+ example=(\\S+) part=(\\w+)\n(.*?)```\n")
	for _, m := range block.FindAllStringSubmatch(string(page), -1) {
		if found[m[1]] == nil {
			found[m[1]] = map[string]string{}
		}
		found[m[1]][m[2]] = m[3]
	}
	return found
}

// TestDocumentedExamples holds docs/import.md to its word, also for packed inputs and inputs with a byte order mark.
func TestDocumentedExamples(t *testing.T) {
	all := examples(t)
	if len(all) != 3 {
		t.Fatalf("docs/import.md has %d worked examples, want one for each format", len(all))
	}
	for name, parts := range all {
		m := parse(t, parts["map"])
		want := strings.Split(strings.TrimSpace(parts["events"]), "\n")
		for form, input := range map[string]string{
			"plain": parts["input"], "marked": "\ufeff" + parts["input"], "packed": pack(t, parts["input"]),
			"lines end in CRLF": crlf(parts["input"], name),
		} {
			got := importText(t, m, input)
			if got.err != nil || got.rejects != "" {
				t.Fatalf("%s, %s: %v, rejects %s", name, form, got.err, got.rejects)
			}
			if diff := cmp.Diff(want, got.events); diff != "" {
				t.Errorf("%s, %s: documented (-), made (+):\n%s", name, form, diff)
			}
		}
	}
}

// crlf is the input with the line ends of another system. In a quoted CSV cell RFC 4180 keeps them, so not there.
func crlf(text, name string) string {
	if name == "csv" {
		return text
	}
	return strings.ReplaceAll(text, "\n", "\r\n")
}

func pack(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// TestDocumentedIDs holds the worked example of docs/format/import-id.md, which was computed by other means.
func TestDocumentedIDs(t *testing.T) {
	page, err := os.ReadFile("../docs/format/import-id.md")
	if err != nil {
		t.Fatal(err)
	}
	var key [32]byte
	for i := range key {
		key[i] = byte(i)
	}
	for _, c := range []struct{ row, key, input string }{
		{"| number 1 | 0 | `", "", `{"first":true}`},
		{"| number 2 | 1 | `", "", "{\"first\":true}\n{}"},
		{"| key `173688` | 0 | `", "key: a", `{"first":true,"a":173688}`},
		{"| key `UserRoleBinding`, `9f01`, `1` | 0 | `", "key: [a, b, c]",
			`{"first":true,"a":"UserRoleBinding","b":"9f0\u0031","c":1}`},
	} {
		m := parse(t, `
source: bpi-challenge-2012
format: jsonl
events:
  - {stream: s/1, type: First, when: [{field: first, present: true}], `+strings.TrimSuffix(c.key+", ", ", ")+`}
  - {stream: s/1, type: Other, when: [{field: first, present: false}]}`)
		store := newFakeStore()
		inputs := []ingest.Input{text("in", c.input)}
		if _, err := ingest.Run(t.Context(), store, key, m, inputs, ingest.Options{}); err != nil {
			t.Fatal(err)
		}
		events := store.streams[event.Stream("s", "1")]
		want := c.row + events[len(events)-1].ID.String() + "` |"
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks the row %s", want)
		}
	}
}

// TestIDsDependOnNothingElse: the file's name, the batches and the other inputs have no part in ids.
func TestIDsDependOnNothingElse(t *testing.T) {
	m := parse(t, "{source: s, format: jsonl, events: [{stream: 'a/{id}', type: T}]}")
	rows := []string{`{"id":"1"}`, `{"id":"2"}`, "", `{"id":"3"}`}
	whole, parts := newFakeStore(), newFakeStore()
	run := func(store *fakeStore, batch int, inputs ...ingest.Input) {
		options := ingest.Options{BatchEvents: batch}
		if _, err := ingest.Run(t.Context(), store, [32]byte{}, m, inputs, options); err != nil {
			t.Fatal(err)
		}
	}
	run(whole, 100, text("one", strings.Join(rows, "\n")))
	run(parts, 1, text("x", rows[0]+"\n"), text("y", ""), text("z", strings.Join(rows[1:], "\n")))
	if diff := cmp.Diff(whole.content(), parts.content()); diff != "" {
		t.Error(diff)
	}
	other := parse(t, "{source: t, format: jsonl, events: [{stream: 'a/{id}', type: T}]}")
	m = other
	run(whole, 100, text("one", strings.Join(rows, "\n")))
	if whole.events() != 6 {
		t.Errorf("%d events after the same records of another source, want 6", whole.events())
	}
}

// TestOneRequestPerRecord: events of one record go in together, those of one stream in one write.
func TestOneRequestPerRecord(t *testing.T) {
	m := parse(t, `
source: s
format: jsonl
events:
  - {stream: 'a/{id}', type: A}
  - {stream: 'b/{id}', type: B}
  - {stream: 'a/{id}', type: C, when: [{field: id, not: "2"}]}`)
	store := &shapes{}
	sum, err := ingest.Run(t.Context(), store, [32]byte{}, m,
		[]ingest.Input{text("in", "{\"id\":\"1\"}\n{\"id\":\"2\"}")}, ingest.Options{})
	if err != nil || sum.EventsAdded != 5 {
		t.Fatalf("%v, %+v", err, sum)
	}
	want := []string{"a/1(any version): A C; b/1(any version): B; ", "a/2(any version): A; b/2(any version): B; "}
	if diff := cmp.Diff(want, store.shown); diff != "" {
		t.Error(diff)
	}
}

type shapes struct{ shown []string }

func (s *shapes) show(r log.Request) (out string) {
	for _, w := range r.Writes {
		out += w.Stream.String() + "(" + w.Expected.String() + "):"
		for _, d := range w.Events {
			out += " " + d.Type
		}
		out += "; "
	}
	return out
}

func (s *shapes) AppendEach(_ context.Context, requests []log.Request) []log.Outcome {
	for _, r := range requests {
		s.shown = append(s.shown, s.show(r))
	}
	return make([]log.Outcome, len(requests))
}
