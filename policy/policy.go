package policy

import (
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Policy is a compiled document. It is immutable and safe for concurrent use.
type Policy struct {
	doc      *Document
	digest   [32]byte
	periods  map[string]period   // of retention classes
	purposes map[string]*purpose //
	covered  map[string][]string // group → purposes, by name
	withheld verdicts            // what every group reads as for whom nothing is granted
	rules    *rules
	memo     memo
}

// purpose is a Purpose as verdicts use it.
type purpose struct {
	Purpose
	name     string
	groups   map[string]bool
	explicit map[string]bool // groups that need an explicit consent
}

// New compiles a document. A nil document is the empty policy: nothing is personal, and nothing opens. A document that
// was not parsed is checked as ParseDocument checks it.
func New(d *Document) (*Policy, error) {
	if d == nil {
		d = &Document{Version: DocumentVersion}
	}
	text, err := d.Canonical()
	if err != nil {
		return nil, err
	}
	parsed, compiled, err := parse(text)
	if err != nil {
		return nil, err
	}
	p := &Policy{doc: parsed, digest: digest(text), rules: compiled,
		periods: map[string]period{}, purposes: map[string]*purpose{}, covered: map[string][]string{},
		withheld: verdicts{{Reference, event.WithheldDenied}}}
	for name, r := range parsed.Retention {
		if p.periods[name], err = parsePeriod(r); err != nil {
			return nil, err
		}
	}
	for name, g := range parsed.Groups {
		why := event.WithheldDenied
		if g.Undisclosed {
			why = Undisclosed
		}
		p.withheld = append(p.withheld, groupVerdict{name, why})
	}
	slices.SortFunc(p.withheld, func(a, b groupVerdict) int { return strings.Compare(a.group, b.group) })
	for name, u := range parsed.Purposes {
		p.purposes[name] = p.compile(name, u)
		for _, g := range u.Groups {
			p.covered[g] = append(p.covered[g], name)
		}
	}
	for _, names := range p.covered {
		slices.Sort(names)
	}
	return p, nil
}

func (p *Policy) compile(name string, u Purpose) *purpose {
	c := &purpose{Purpose: u, name: name, groups: map[string]bool{}, explicit: map[string]bool{}}
	for _, g := range u.Groups {
		c.groups[g] = true
		if u.Special == explicitConsent && p.doc.Groups[g].Category == schema.Special {
			c.explicit[g] = true
		}
	}
	return c
}

// Document is what the policy was compiled from. It must not be changed.
func (p *Policy) Document() *Document { return p.doc }

// Digest names the document: SHA-256 over "lethe/policy/1" and its canonical form.
func (p *Policy) Digest() [32]byte { return p.digest }

// Person reports whether entities of a kind are persons.
func (p *Policy) Person(kind string) bool { return p.doc.Kinds[kind].Person }

// MetadataMark says whose a personal metadata value is, and how it is kept.
type MetadataMark struct {
	Group     string
	Retention string // class; empty: without a fixed end
	Role      string // of the relation that names the person
}

// Metadata is the mark of a metadata key; false: its values are not personal.
func (p *Policy) Metadata(key string) (MetadataMark, bool) {
	m, ok := p.doc.Metadata[key]
	return MetadataMark{Group: m.Group, Retention: m.Retention, Role: m.Subject}, ok
}

// Collection is a registered context of collection.
func (p *Policy) Collection(name string) (Collection, bool) {
	c, ok := p.doc.Collections[name]
	return c, ok
}

// Purpose is a declared purpose. Who lists purposes to somebody leaves out those that are Undisclosed.
func (p *Policy) Purpose(name string) (Purpose, bool) {
	u, ok := p.doc.Purposes[name]
	return u, ok
}

// Undisclosed reports whether a group does not exist for whom it is not granted: it is left out of maps, uses, counts,
// plans, exports and letters.
func (p *Policy) Undisclosed(group string) bool { return p.doc.Groups[group].Undisclosed }

// Covering lists the purposes that cover a group, by name.
func (p *Policy) Covering(group string) []string { return slices.Clone(p.covered[group]) }

// MayHold reports whether a value of a category may be stored in a group: a purpose covers the group, and for special
// and criminal data every purpose that covers it has its condition, for whoever may open the group may open the value.
// Otherwise it is event.ErrDenied with code no_purpose, or no_condition.
func (p *Policy) MayHold(group string, c schema.Category) error {
	if _, declared := p.doc.Groups[group]; !declared {
		return denied("no_purpose", "hold personal data: group %s is not declared", group).
			Hint("declare it in the policy, and a purpose that covers it")
	}
	if len(p.covered[group]) == 0 {
		return denied("no_purpose", "hold personal data: no purpose covers group %s", group).
			Hint("name the group in a purpose of the policy, or do not collect it")
	}
	for _, name := range p.covered[group] {
		if cause := p.purposes[name].unmet(group, c); cause != "" {
			return denied("no_condition", "hold %s data in group %s: purpose %s %s", c, group, name, cause).
				Hint("declare the category of the group, and the condition of each purpose that covers it")
		}
	}
	return nil
}

// unmet says why a purpose does not allow a category in a group; "": it does. It always does if the declaration of the
// group names the category.
func (u *purpose) unmet(group string, c schema.Category) string {
	switch {
	case c == schema.Special && u.Special == "":
		return "has no condition of Article 9(2)"
	case c == schema.Special && u.Special == explicitConsent && !u.explicit[group]:
		return "needs explicit consent, which is asked for only where the group is declared special"
	case c == schema.Criminal && u.Criminal == "":
		return "has no ground of Article 10"
	}
	return ""
}

func denied(code, format string, args ...any) *event.Error {
	e := event.Errorf(event.ErrDenied, format, args...)
	e.Code = code
	return e
}
