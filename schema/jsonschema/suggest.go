package jsonschema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

var _ schema.Suggester = Notation{}

// lack is a place that is not declared, and the schema in which its declaration may be written.
type lack struct {
	scalar schema.Scalar
	node   *node
}

// lacking notes a place without a declaration.
func (x *expander) lacking(p *place, set []start, k kinds) {
	l := lack{scalar: schema.Scalar{Path: p.path, Type: k.String()}}
	for _, s := range set {
		if s.n.format != nil && l.scalar.Format == "" {
			l.scalar.Format = s.n.format.name
		}
		if l.node == nil && s.certain && s.n.at.is('{') {
			l.node = s.n
		}
	}
	x.lacks = append(x.lacks, l)
}

// Suggest proposes declarations for what has none, and gives the text with them in it; objects that are open it closes.
// A text that is printed in a usual way is made JSON first. What it cannot mend is left for Compile to tell.
func (n Notation) Suggest(text []byte, o schema.Options) ([]byte, []schema.Suggestion, error) {
	r, top, err := n.read(text, o)
	if mended, ok := Mend(text); err != nil && ok && !bytes.Equal(mended, text) {
		text = mended
		r, top, err = n.read(text, o)
	}
	if err != nil {
		return nil, nil, err
	}
	x := newExpander(r)
	x.strict = true
	x.visit(&place{}, []start{{top, true}}, covered{})
	var scalars []schema.Scalar
	for _, l := range x.lacks {
		scalars = append(scalars, l.scalar)
	}
	list := schema.Suggest(scalars, x.marks)
	edits, err := x.insertions(list)
	if err != nil {
		return nil, nil, err
	}
	return applied(text, edits), list, nil
}

// insertions are the suggestions as members of the schemas that they belong to.
func (x *expander) insertions(list []schema.Suggestion) ([]edit, error) {
	var edits []edit
	written := map[*node]bool{}
	insert := func(n *node, name string, value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return event.Invalid("schema_invalid", "suggest declarations: %s has no JSON", name)
		}
		with := `"` + name + `": ` + string(text)
		e := n.at.t.Entries[n.at.i]
		if e.Next > n.at.i+1 {
			with += ", "
		}
		edits = append(edits, edit{at: e.At + 1, end: e.At + 1, with: []byte(with)})
		return nil
	}
	for i, s := range list {
		n := x.lacks[i].node
		if n == nil || written[n] {
			continue
		}
		written[n] = true
		name, value := declaration(&s)
		if err := insert(n, name, value); err != nil {
			return nil, err
		}
	}
	closed := map[*node]bool{}
	for _, n := range x.opens {
		if closed[n] { // several places lead to it
			continue
		}
		closed[n] = true
		name := "additionalProperties"
		if !x.old && (len(n.allOf)+len(n.anyOf)+len(n.oneOf) > 0 || n.ref != nil || n.when != nil) {
			name = "unevaluatedProperties"
		}
		if n.additional == nil && n.restProperties == nil {
			if err := insert(n, name, false); err != nil {
				return nil, err
			}
		}
	}
	return edits, nil
}

// personalJSON is x-personal, as it is written.
type personalJSON struct {
	Group    string          `json:"group"`
	Subject  string          `json:"subject"`
	Category schema.Category `json:"category,omitempty"`
	Origin   schema.Origin   `json:"origin,omitempty"`
	Kind     string          `json:"kind,omitempty"`
}

func declaration(s *schema.Suggestion) (name string, value any) {
	switch {
	case s.Reference != "":
		return keyPerson, s.Reference
	case s.Mark == nil:
		return keyOpen, s.Open
	}
	p := personalJSON{Group: s.Mark.Group, Subject: s.Subject, Category: s.Mark.Category, Origin: s.Mark.Origin}
	if s.Mark.FreeText {
		p.Kind = "free-text"
	}
	return keyPersonal, p
}

// applied is text with insertions.
func applied(text []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	var out []byte
	done := uint32(0)
	for _, e := range edits {
		out = append(append(out, text[done:e.at]...), e.with...)
		done = e.end
	}
	return append(out, text[done:]...)
}
