package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/lethe-es/lethe/event/pagetest"
	"github.com/lethe-es/lethe/policy"
)

const (
	guidePage  = "../docs/policy.md"
	formatPage = "../docs/format/policy.md"
)

// TestGuideDocument reads the document of the guide, as a person would write it, and finds the bank's.
func TestGuideDocument(t *testing.T) {
	shown := pagetest.Example(t, guidePage, "document")
	var tree any
	if err := yaml.Unmarshal([]byte(shown), &tree); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	asValue := func(r json.RawMessage) (v any) {
		if err := json.Unmarshal(r, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if diff := cmp.Diff(bank(t).Document(), parse(t, string(text)), cmp.Transformer("JSON", asValue)); diff != "" {
		t.Errorf("it is not testdata/bank.json:\n%s", diff)
	}
}

// TestGuideExamples holds the other examples of the guide.
func TestGuideExamples(t *testing.T) {
	_, err := policy.ParseDocument([]byte(`{"groups": {"contact": {}}, "purposes": {
		"support": {"basis": "contrakt", "groups": ["contact", "contcat"]}}}`))
	pagetest.Compare(t, guidePage, "problems", fmt.Sprintln(err))
	pagetest.Compare(t, guidePage, "receipt", string(readFile(t, "testdata/receipt.txt")))
	rules := regexp.MustCompile("(?s)```\n(// investigators.*?)```").FindStringSubmatch(string(readFile(t, guidePage)))
	if rules == nil {
		t.Fatal("the guide has no rules")
	}
	d := *bank(t).Document()
	d.Rules = rules[1]
	p, err := policy.New(&d)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Grant(opening("employee", investigator, "aml", "case 9"))
	if err != nil || g.References() {
		t.Errorf("an investigator: %v", err)
	}
}

// TestGuideNamesCodes finds every code of this package in the guide, and no other.
func TestGuideNamesCodes(t *testing.T) {
	guide := string(readFile(t, guidePage))
	_, after, _ := strings.Cut(guide, "## What is refused, by code")
	table, _, _ := strings.Cut(after, "## Limits")
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z_]+)`[^|]*\\|").FindAllString(table, -1) {
		for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(m, -1) {
			named[code[1]] = true
		}
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") {
			for _, m := range regexp.MustCompile(`(?:Invalid|denied)\(\s*"([a-z_]+)"`).
				FindAllStringSubmatch(string(readFile(t, f.Name())), -1) {
				found[m[1]] = true
			}
		}
	}
	if diff := cmp.Diff(found, named); diff != "" || len(found) < 15 {
		t.Errorf("codes in the code, and in the guide:\n%s", diff)
	}
}

// TestFormatExamples holds the examples of the format.
func TestFormatExamples(t *testing.T) {
	p := compile(t, `{"kinds": {"customer": {"person": true}}, "groups": {"contact": {"title": "How to reach the person"}},
		"purposes": {"newsletter": {"basis": "consent", "groups": ["contact"], "marketing": true}},
		"rules": "permit(principal, action, resource);\n"}`)
	text, err := p.Document().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Compare(t, formatPage, "canonical", fmt.Sprintf("%s\n\nSHA-256 %x\n", text, p.Digest()))

	var all strings.Builder
	s := &policy.Standing{}
	for n, r := range records(t) {
		d, err := r.Draft()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s  %s\n%s\n\n", eventID(n+1), d.Type, d.Data)
		at := time.Date(2026, 12, 9, 9, 0, 0, 0, time.UTC)
		if n == 0 {
			at = time.Date(2026, 11, 22, 9, 30, 1, 0, time.UTC)
		}
		apply(t, s, n+1, at, r)
	}
	pagetest.Compare(t, formatPage, "records", strings.TrimSuffix(all.String(), "\n"))

	apply(t, s, 9, noon(1), policy.SubjectRestricted{Principal: krid(t, clerk), Ground: policy.NeededForClaims})
	again, ok := records(t)[0].(policy.ConsentRecorded)
	if again.At = time.Date(2026, 12, 24, 8, 0, 0, 0, time.UTC); !ok {
		t.Fatal("the first record is no consent")
	}
	apply(t, s, 10, again.At.Add(time.Second), again)
	standing, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Compare(t, formatPage, "standing", string(standing)+"\n")
}
