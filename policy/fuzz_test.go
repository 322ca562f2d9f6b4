package policy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// FuzzDocument reads anything. What it accepts has a canonical form that reads back as the same, and can be asked.
func FuzzDocument(f *testing.F) {
	f.Add(string(readFile(f, "testdata/bank.json")))
	f.Add(string(readFile(f, "testdata/example.json")))
	f.Add(everyone)
	f.Add(`{"kinds": {"a": null}, "entities": [{"uid": {}}], "rules": "permit("}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := policy.ParseDocument([]byte(text))
		if err != nil {
			if !errors.Is(err, event.ErrInvalid) || d != nil {
				t.Fatalf("%v is not invalid input", err)
			}
			return
		}
		canonical, err := d.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, parse(t, string(canonical))); diff != "" {
			t.Fatal(diff)
		}
		p, err := policy.New(d)
		if err != nil {
			t.Fatal(err)
		}
		for name, u := range d.Purposes {
			g, err := p.Grant(opening("service", "1", name, "ticket 7"))
			if err == nil && !cmp.Equal(g.Of("no such group"), event.WithheldDenied) {
				t.Fatal("a group that is not declared is granted")
			}
			if err != nil && !errors.Is(err, event.ErrDenied) {
				t.Fatalf("%s on %s: %v", name, u.Basis, err)
			}
		}
		if len(policy.Compare(d, d, nil)) != 0 {
			t.Fatal("it differs from itself")
		}
	})
}

// FuzzRules compiles anything within bounds: what passes the guard does not cost its parser dearly.
func FuzzRules(f *testing.F) {
	for _, rules := range []string{
		parse(f, string(readFile(f, "testdata/bank.json"))).Rules,
		`permit(principal,action,resource) when { ((((((true)))))) && [1,[2,{a:3}]] == context };`,
		`forbid(principal == A::"b",action in [Action::"open"],resource is Group in Group::"c") unless { if true then 1 else -2 };`,
		"/* a ( b */ // c\n@id(\"x\") permit(principal,action,resource) when { \"\\\"(\" like \"*\\**\" };",
	} {
		f.Add(rules)
	}
	f.Fuzz(func(t *testing.T, rules string) {
		p, err := policy.New(&policy.Document{
			Kinds:    map[string]policy.Kind{"service": {}},
			Groups:   map[string]policy.Group{"contact": {}},
			Purposes: map[string]policy.Purpose{"support": {Basis: policy.Contract, Groups: []string{"contact"}}},
			Rules:    rules,
		})
		if err != nil {
			if !errors.Is(err, event.ErrInvalid) {
				t.Fatalf("%v is not invalid input", err)
			}
			return
		}
		if _, err := p.Grant(opening("service", "1", "support", "ticket 7")); err != nil && !errors.Is(err, event.ErrDenied) {
			t.Fatal(err)
		}
		if strings.TrimSpace(rules) == "" && err == nil {
			if _, err := p.Grant(opening("service", "1", "support", "")); err == nil {
				t.Fatal("no rules permit something")
			}
		}
	})
}

// FuzzRecord reads anything as data of every type, and applies what it accepts.
func FuzzRecord(f *testing.F) {
	for _, r := range records(f) {
		d, err := r.Draft()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(d.Data))
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, typ := range policy.StandingTypes() {
			r, err := policy.ParseRecord(typ, []byte(data))
			if err != nil {
				continue
			}
			d, err := r.Draft()
			if err != nil {
				t.Fatalf("%s is read and cannot be written: %v", typ, err)
			}
			again, err := policy.ParseRecord(typ, d.Data)
			if err != nil || !cmp.Equal(r, again, cmp.Comparer(time.Time.Equal)) && !finer(data) {
				t.Fatalf("%s reads back as something else: %v, %s", typ, err, cmp.Diff(r, again))
			}
			s := &policy.Standing{}
			if _, err := s.Apply(said{eventID(1), noon(1), r}.event(t)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// finer reports whether a text has times finer than a microsecond, which are not kept.
func finer(text string) bool { return strings.Contains(text, ".") }
