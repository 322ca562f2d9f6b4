package phrase_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
)

func TestParseYAML(t *testing.T) {
	for text, want := range map[string]string{
		"a: {b: [x, '3', 4, true, ~]}\nc: |\n  l1\n  l2\n": `{"a":{"b":["x","3",4,true,null]},"c":"l1\nl2\n"}`,
		`{"a": 1.50, "a": "<"}`:                            `{"a": 1.50, "a": "<"}`, // JSON stays what it is
		"a: 1\na: 2":                                       `{"a":1,"a":2}`,         // whoever reads it refuses it
		"d: 2026-01-31":                                    `{"d":0}`,               // no text without quotes
		"n: 0x1F":                                          `{"n":0}`,
	} {
		got, err := phrase.ParseYAML([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{
		"", "a: [", "a: &x 1\nb: *x", "<<: {a: 1}", "? [1]\n: 2", "a: 1\n---\nb: 2", "a: !!binary aGk=",
		strings.Repeat("[", 200) + strings.Repeat("]", 200) + " #", strings.Repeat(" ", phrase.MaxYAML+1),
	} {
		if got, err := phrase.ParseYAML([]byte(text)); err == nil || event.Code(err) == "internal" {
			t.Errorf("%.40q gives %.40s and %v", text, got, err)
		}
	}
}

// TestFormatYAML writes what ParseYAML reads back as the same.
func TestFormatYAML(t *testing.T) {
	const text = `{"version":1,"notice":"3","on":"true","rules":"permit(a);\n\nforbid(b);","list":["x"],"none":null,"yes":true}`
	shown, err := phrase.FormatYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := phrase.ParseYAML(shown)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, shown)
	}
	var want, got any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\nin:\n%s", diff, shown)
	}
}
