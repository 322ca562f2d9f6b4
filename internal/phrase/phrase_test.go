package phrase_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/log"
)

func TestParseMatch(t *testing.T) {
	for text, want := range map[string]event.Match{
		"type=A":                 {Types: []string{"A"}},
		`type="Loan paid"`:       {Types: []string{"Loan paid"}},
		`"type=A B"  kind=k`:     {Types: []string{"A B"}, Kinds: []string{"k"}},
		"type=A type=B":          {Types: []string{"A", "B"}},
		"stream=a/1":             {Stream: event.Stream("a", "1")},
		"relation=on=f/LH=1":     {Relations: []event.Relation{{Role: "on", Kind: "f", ID: "LH=1"}}},
		"relation=f/LH=1":        {Relations: []event.Relation{{Kind: "f", ID: "LH=1"}}},
		"metadata=k=v=w":         {Metadata: map[string]string{"k": "v=w"}},
		"correlation=op-1":       {Correlation: "op-1"},
		"kind=a kind=b":          {Kinds: []string{"a", "b"}},
		" type=A correlation=x ": {Types: []string{"A"}, Correlation: "x"},
	} {
		got, err := phrase.ParseMatch(text)
		if diff := cmp.Diff(event.Filter{want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"", " ", "A", "amount=7", `type="A`, "stream=a/1 stream=a/2", "relation=f", "type=",
		"causation=1", "kind=a/b", "metadata=k"} {
		if got, err := phrase.ParseMatch(text); event.Code(err) == "" {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "90m": 90 * time.Minute, "30d": 720 * time.Hour, "0.5d": 12 * time.Hour,
	} {
		if got, err := phrase.ParseAge(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "-1d", "soon", "1000000000d", "1h30"} {
		if got, err := phrase.ParseAge(text); event.Code(err) != "malformed_age" {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

// now is when the texts of these tests are read.
var now = time.Date(2026, time.January, 31, 8, 0, 0, 0, time.UTC)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"": {}, "2026-01-30": now.Add(-32 * time.Hour), "24h": now.Add(-24 * time.Hour), "0s": now,
		"2026-01-31T09:00:00.5+01:00": now.Add(time.Second / 2),
	} {
		if got, err := phrase.ParseTime(now, "since", text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "2026-13-01", "31.01.2026", "1"} {
		if got, err := phrase.ParseTime(now, "since", text); event.Code(err) != "malformed_time" {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

func TestParseExpiry(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-02-01": now.Add(16 * time.Hour), "2h": now.Add(2 * time.Hour), "30d": now.Add(720 * time.Hour),
		"2026-01-31T08:00:01Z": now.Add(time.Second),
	} {
		if got, err := phrase.ParseExpiry("expires", now, text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-2h", "2026-01-31", "2026-01-31T08:00:00Z", "2020-01-01", "soon"} {
		if got, err := phrase.ParseExpiry("expires", now, text); event.Code(err) != "malformed_time" {
			t.Errorf("%q is accepted as %v", text, got)
		}
	}
}

func TestParseVersions(t *testing.T) {
	for text, want := range map[string]event.Expected{
		"any": event.Any, "none": event.None, "0": event.None, "3": event.At(3),
	} {
		if got, err := phrase.ParseExpected(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]event.Version{"0": 0, "3": 3} {
		if got, err := phrase.ParseVersion(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "v3", "99999999999999999999"} {
		_, expected := phrase.ParseExpected(text)
		_, version := phrase.ParseVersion(text)
		if event.Code(expected) != "malformed_version" || event.Code(version) != "malformed_version" {
			t.Errorf("%q is accepted: %v, %v", text, expected, version)
		}
	}
}

// TestLines: what a line says becomes one write; the first bad line ends it, by number and without its content.
func TestLines(t *testing.T) {
	const good = "{\"stream\": \"a/1\", \"type\": \"T\", \"expect\": 2}\n\n{\"stream\": \"a/2\", \"type\": \"T\"}\n"
	var numbers []int
	for line, err := range phrase.Lines(strings.NewReader(good + "{\"stream\": \"a/1\", \"top-secret\": 1}\n" + good)) {
		if numbers = append(numbers, line.Number); err == nil {
			continue
		}
		if event.Code(err) != "unknown_field" || !strings.HasPrefix(err.Error(), "line 4: ") ||
			strings.Contains(err.Error(), "top-secret") {
			t.Errorf("the fault is %v", err)
		}
	}
	if diff := cmp.Diff([]int{1, 3, 4}, numbers); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	var all log.Request
	for line, err := range phrase.Lines(strings.NewReader(good + "{\"stream\": \"a/1\", \"type\": \"U\"}\n")) {
		if err == nil {
			err = line.Join(&all, line.Number)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all.Writes) != 2 || len(all.Writes[0].Events) != 2 || all.Writes[0].Expected != event.At(2) {
		t.Errorf("joined: %+v", all)
	}
}
