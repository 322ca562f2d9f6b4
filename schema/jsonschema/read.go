package jsonschema

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// reader reads the schemas in a text. It goes on after a fault, so that one error lists all of them.
type reader struct {
	old      bool // draft-07
	options  schema.Options
	formats  *formats
	nodes    []*node
	byEntry  map[uint32]*node // by the entry of the tape that they begin at
	anchors  map[string]*node
	fallback *declared // x-personal-default
	patterns int       // instructions of all patterns
	problems
}

// problems are the faults of a schema, in the order in which they were found.
type problems struct {
	code  string // of the first
	list  []string
	known map[string]bool
	more  int
	mend  string // of the first
}

// add notes a fault. mend, which may be empty, says what to write instead.
func (p *problems) add(code, place, mend, format string, args ...any) {
	text := shorten(place) + ": " + fmt.Sprintf(format, args...)
	if p.known[text] {
		return
	}
	if p.known == nil {
		p.known = map[string]bool{}
		p.code, p.mend = code, mend
	}
	p.known[text] = true
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, text)
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	text := strings.Join(p.list, "; ")
	if p.more > 0 {
		text += fmt.Sprintf("; and %d more", p.more)
	}
	e := event.Invalid(p.code, "check schema: %s", text)
	if p.mend != "" {
		return e.Hint("%s", p.mend)
	}
	return e
}

// node reads one schema and those in it.
func (r *reader) node(v *value) *node {
	n := newNode(v, len(r.nodes))
	r.nodes = append(r.nodes, n)
	r.byEntry[v.i] = n
	switch v.kind() {
	case 'f':
		n.never = true
	case 't':
	case '{':
		for _, member := range v.members() {
			r.keyword(n, member)
		}
		r.together(n)
	default:
		r.add("schema_invalid", v.place(), "", "a schema is an object, true or false")
	}
	return n
}

func (r *reader) keyword(n *node, v *value) {
	if r.draft(v) || r.core(n, v) || r.applicator(n, v) || r.membersOf(n, v) || r.assertion(n, v) || r.ours(n, v) {
		return
	}
	name := v.step
	if want, ok := misspelt(name); ok {
		r.add("schema_keyword", v.place(), "write "+want, "there is no keyword %q; is %s meant?", shorten(name), want)
	} else if want, ok := misspeltStandard(name); ok {
		r.add("schema_keyword", v.place(), "write "+want, "there is no keyword %q; is %s meant?", shorten(name), want)
	} else if hidden := r.hidden(v); hidden != "" {
		r.add("schema_keyword", v.place(), "", "%q is no keyword, so %s in it would mean nothing", shorten(name), hidden)
	}
}

// hidden finds one of our keywords in what is not read.
func (r *reader) hidden(v *value) string {
	for i, end := v.i, v.t.Entries[v.i].Next; i < end; i++ {
		if e := v.t.Entries[i]; e.Kind == '"' && slices.Contains(ourKeywords(), string(v.t.Text(i))) {
			return string(v.t.Text(i))
		}
	}
	return ""
}

// draft refuses what the schema's draft does not know, and what is refused in any.
func (r *reader) draft(v *value) bool {
	name := v.step
	newer := []string{"prefixItems", "$anchor", "dependentRequired", "dependentSchemas", "minContains", "maxContains",
		"unevaluatedItems", "unevaluatedProperties"}
	older := []string{"additionalItems", "dependencies"}
	remote := []string{"$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}
	switch {
	case slices.Contains(remote, name):
		r.add("schema_unsupported", v.place(), "write it with $ref and $defs", "%s is not supported", name)
	case r.old && slices.Contains(newer, name):
		r.add("schema_keyword", v.place(), `use "$schema": "`+draft2020+`"`, "draft-07 has no keyword %s", name)
	case !r.old && slices.Contains(older, name):
		r.add("schema_keyword", v.place(), "use items after prefixItems, dependentRequired and dependentSchemas",
			"draft 2020-12 has no keyword %s", name)
	default:
		return false
	}
	return true
}

// core reads $ref and what belongs to it.
func (r *reader) core(n *node, v *value) bool {
	switch v.step {
	case "$ref":
		if r.want(v, '"', "a text") {
			n.refText = v
		}
	case "$defs", "definitions":
		if r.want(v, '{', "an object of schemas") {
			for _, member := range v.members() {
				r.node(member)
			}
		}
	case "$anchor":
		if r.want(v, '"', "a text") && r.anchors[v.text()] != nil {
			r.add("schema_invalid", v.place(), "", "another schema has this anchor")
		} else if v.is('"') {
			r.anchors[v.text()] = n
		}
	case "$id", "$schema":
		if r.want(v, '"', "a text") && v.up.up != nil {
			r.add("schema_unsupported", v.place(), "remove it", "%s is supported at the top only", v.step)
		}
	default:
		return slices.Contains(annotations(), v.step)
	}
	return true
}

// want checks the kind of a keyword's value.
func (r *reader) want(v *value, kind byte, what string) bool {
	k := v.kind()
	if k == kind || kind == 't' && k == 'f' {
		return true
	}
	r.add("schema_invalid", v.place(), "", "want %s", what)
	return false
}

// resolve finds what $ref leads to, and refuses schemas that lead back to themselves without going deeper.
func (r *reader) resolve() {
	for _, n := range r.nodes {
		if n.refText == nil {
			continue
		}
		text := n.refText.text()
		fragment, local := strings.CutPrefix(text, "#")
		if !local {
			r.add("schema_unsupported", n.refText.place(), "copy it to $defs and refer to #/$defs/NAME",
				"it refers to another document; nothing is ever fetched")
			continue
		}
		pointer, err := url.PathUnescape(fragment)
		switch {
		case err != nil:
		case pointer == "":
			n.ref = r.byEntry[0]
		case pointer[0] == '/':
			n.ref = r.byEntry[pointed(n.at.t, pointer)]
		default:
			n.ref = r.anchors[pointer]
		}
		if n.ref == nil {
			r.add("schema_invalid", n.refText.place(), "", "it leads to no schema of this text")
		}
	}
	state := make([]uint8, len(r.nodes))
	for _, n := range r.nodes {
		r.loops(n, state)
	}
}

// pointed is the entry that a JSON pointer leads to.
func pointed(t *tape.Tape, pointer string) uint32 {
	steps, ok := splitPointer(pointer)
	if !ok {
		return tape.None
	}
	at := uint32(0)
	for _, step := range steps {
		switch {
		case at == tape.None:
			return at
		case t.Entries[at].Kind == '{':
			at = t.Member(at, step)
		default:
			n, ok := index(step)
			if !ok {
				return tape.None
			}
			at = t.Element(at, n)
		}
	}
	return at
}

// loops walks the schemas that hold for one value; state is 1 while a schema is being walked and 2 afterwards.
func (r *reader) loops(n *node, state []uint8) {
	if state[n.id] == 2 {
		return
	}
	if state[n.id] == 1 {
		r.add("schema_recursive", n.at.place(), "", "it refers to itself without going deeper into the data")
		return
	}
	state[n.id] = 1
	n.inPlace(func(child *node, _ bool) { r.loops(child, state) })
	if n.not != nil {
		r.loops(n.not, state)
	}
	state[n.id] = 2
}

// count reads a number that counts.
func (r *reader) count(v *value) int {
	if v.is('0') {
		if d := tape.Number(v.raw()); d.Integer() && !d.Negative {
			text := string(d.Digits) + strings.Repeat("0", int(min(20, d.Exponent-int64(len(d.Digits)))))
			if n, err := strconv.Atoi("0" + text); err == nil {
				return n
			}
			return 1 << 62
		}
	}
	r.add("schema_invalid", v.place(), "", "want a whole number that is not negative")
	return 0
}

func (r *reader) bound(v *value) *bound {
	if !r.want(v, '0', "a number") {
		return nil
	}
	return &bound{tape.Number(v.raw()), string(v.raw())}
}

// texts reads a list of different texts.
func (r *reader) texts(v *value) []string {
	if !r.want(v, '[', "a list of texts") {
		return nil
	}
	var list []string
	for _, element := range v.elements() {
		if !r.want(element, '"', "a text") {
			continue
		}
		if slices.Contains(list, element.text()) {
			r.add("schema_invalid", element.place(), "", "it is there twice")
			continue
		}
		list = append(list, element.text())
	}
	return list
}
