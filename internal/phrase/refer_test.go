package phrase_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
)

const direct = "ada@example.org"

// TestReferred puts the reference in the place of -, and nowhere else.
func TestReferred(t *testing.T) {
	var r phrase.Referred
	r.Give(direct)
	if err := r.Left(); event.Code(err) != "usage" {
		t.Errorf("a reference that nothing asks for gives %v", err)
	}
	if s, err := r.Stream("customer/-"); err != nil || s != event.Stream("customer", direct) {
		t.Errorf("it is read as %v, %v", s, err)
	}
	if err := r.Left(); err != nil {
		t.Errorf("a reference that was used gives %v", err)
	}
	if s, err := r.Stream("customer/4711"); err != nil || s != event.Stream("customer", "4711") {
		t.Errorf("an id of its own is read as %v, %v", s, err)
	}
	if link, err := r.Relation("affected=customer/-"); err != nil || link.ID != direct {
		t.Errorf("a relation is read as %v, %v", link, err)
	}
	want := event.Filter{{Relations: []event.Relation{{Kind: "customer", ID: direct}}}}
	if got, err := r.Match("relation=customer/-"); err != nil || !cmp.Equal(want, got) {
		t.Errorf("a filter is read as %v, %v", got, err)
	}

	var without phrase.Referred
	_, asStream := without.Stream("customer/-")
	_, asRelation := without.Relation("affected=customer/-")
	_, asFilter := without.Match("type=T relation=customer/-")
	for what, err := range map[string]error{"stream": asStream, "relation": asRelation, "filter": asFilter} {
		if event.Code(err) != "usage" || !strings.Contains(err.Error(), "--ref-file FILE") {
			t.Errorf("without a reference - in a %s gives %v", what, err)
		}
	}
	if _, err := phrase.ParseActor("employee/-"); event.Code(err) != "usage" {
		t.Errorf("- as an actor gives %v", err)
	}
}

// TestReferredRefuses what command lines would show, and what is no id at all; it repeats neither.
func TestReferredRefuses(t *testing.T) {
	var r phrase.Referred
	for _, text := range []string{"customer/" + direct, "thing/" + direct} {
		if _, err := r.Stream(text); event.Code(err) != "personal_reference" || strings.Contains(err.Error(), "ada") {
			t.Errorf("%s gives %v", text, err)
		}
		if _, err := r.Relation("affected=" + text); event.Code(err) != "personal_reference" {
			t.Errorf("a relation to %s gives %v", text, err)
		}
		if _, err := phrase.ParseActor(text); event.Code(err) != "personal_reference" {
			t.Errorf("actor %s gives %v", text, err)
		}
	}
	r.Give("a\x00b")
	if _, err := r.Stream("customer/-"); event.Code(err) == "" {
		t.Error("a reference that is not printable is taken")
	}

	var f phrase.Filter
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.Register(flags)
	if err := flags.Parse([]string{"--relation", "customer/" + direct}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Parse(); event.Code(err) != "personal_reference" {
		t.Errorf("a filter gives %v", err)
	}
}

// TestLinesMayIdentify lets files name persons directly; whether the kind is one of persons the store knows.
func TestLinesMayIdentify(t *testing.T) {
	text := `{"stream": "customer/` + direct + `", "type": "T", "collection": "branch",
		"relations": [{"role": "affected", "kind": "customer", "id": "` + direct + `"}]}`
	for line, err := range phrase.Lines(strings.NewReader(strings.ReplaceAll(text, "\n", " "))) {
		if err != nil {
			t.Fatal(err)
		}
		d := line.Write.Events[0]
		if line.Write.Stream.ID != direct || d.Relations[0].ID != direct || d.Collection != "branch" {
			t.Errorf("it is read as %v", line.Write)
		}
	}
	for _, relations := range []string{`7`, `[7]`, `[{"role": "a"}]`, `[{"role": "a b", "kind": "c", "id": "1"}]`,
		`[{"role": "a", "kind": "c", "id": "1", "secret": 1}]`, `[{"role": "a", "kind": "c", "id": ""}]`} {
		for _, err := range phrase.Lines(strings.NewReader(`{"stream": "a/1", "type": "T", "relations": ` + relations + `}`)) {
			if event.Code(err) == "" || strings.Contains(err.Error(), "secret") {
				t.Errorf("relations %s give %v", relations, err)
			}
		}
	}
}
