package jsonschema

import (
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// The founding document's notation: a value with this media type is personal, and the property beside it is whose.
const (
	vaultMedia   = "aes256gcm"
	vaultSubject = "piiref"
	vaultGroup   = "personal" // unless x-personal-default names one
)

// defaultKind is the kind of persons where neither declarations nor options name one.
const defaultKind = "person"

// declared is an x-personal as it is written.
type declared struct {
	at       *value
	mark     schema.Mark
	subjects []subject
	given    []string // members that are written
}

// subject is one subject of a declaration: a pointer, or another source.
type subject struct {
	text   string
	source schema.Source
	role   string
	up     int // levels up from the marked value; -1: from the top
	steps  []string
}

// ours reads our keywords.
func (r *reader) ours(n *node, v *value) bool {
	switch v.step {
	case keyPersonal:
		n.personal = r.declared(v)
	case keyDefault:
		if v.up.up != nil {
			r.add("schema_keyword", v.place(), "move it to the top", "%s stands at the top only", keyDefault)
			break
		}
		r.fallback = r.declared(v)
	case keyPerson:
		if r.want(v, '"', "a kind, such as \"customer\"") {
			n.person = v.text()
			r.kind(v, n.person)
		}
	case keyOpen:
		n.opening = v
		if r.want(v, '"', "a reason") {
			n.open = v.text()
			r.reason(v)
		}
	default:
		return false
	}
	return true
}

func (r *reader) reason(v *value) {
	var words []string
	for _, reason := range schema.Reasons() {
		words = append(words, string(reason))
	}
	if slices.Contains(words, v.text()) {
		return
	}
	mend := "write one of " + strings.Join(words, ", ")
	if want, ok := nearest(v.text(), words, 3); ok {
		mend = "write " + want
	}
	r.add("schema_reason", v.place(), mend, "there is no reason %q", shorten(v.text()))
}

func (r *reader) kind(v *value, kind string) {
	if (event.StreamID{Kind: kind, ID: "1"}).Validate() != nil {
		r.add("schema_invalid", v.place(), "", "want a kind: 1 to 64 letters, digits or _ . - :, a letter first")
	}
}

// declared reads x-personal and x-personal-default.
func (r *reader) declared(v *value) *declared {
	d := &declared{at: v}
	if !r.want(v, '{', `an object, such as {"group": "contact", "subject": "/customer_id"}`) {
		return d
	}
	for _, member := range v.members() {
		d.given = append(d.given, member.step)
		switch member.step {
		case "subject":
			d.subjects = r.subjects(member)
		case "indexed":
			d.mark.Indexed = r.want(member, 't', "true or false") && member.is('t')
		case "group", "retention", "from", "category", "origin", "kind":
			if r.want(member, '"', "a text") {
				r.member(d, member)
			}
		default:
			r.unknownMember(member)
		}
	}
	return d
}

func (r *reader) unknownMember(v *value) {
	mend := "known are " + strings.Join(markMembers(), ", ")
	if want, ok := nearest(v.step, markMembers(), 2); ok {
		mend = "write " + want
	}
	r.add("schema_keyword", v.place(), mend, "there is no member %q", shorten(v.step))
}

func (r *reader) member(d *declared, v *value) {
	text := v.text()
	switch v.step {
	case "group":
		d.mark.Group = text
		r.name(v)
	case "retention":
		d.mark.Retention = text
		r.name(v)
	case "from":
		d.mark.From = text
		if text != "recorded" && text != "occurred" && !strings.HasPrefix(text, "/") {
			r.add("schema_invalid", v.place(), "", "want recorded, occurred, or a JSON pointer to a date")
		}
	case "category":
		d.mark.Category = schema.Category(text)
		if !slices.Contains(schema.Categories(), d.mark.Category) {
			r.add("schema_invalid", v.place(), "", "want special, criminal, child, location or financial")
		}
	case "origin":
		d.mark.Origin = schema.Origin(text)
		if !slices.Contains(schema.Origins(), d.mark.Origin) {
			r.add("schema_invalid", v.place(), "", "want provided, observed, derived or inferred")
		}
	case "kind":
		d.mark.FreeText = text == "free-text"
		if !d.mark.FreeText {
			r.add("schema_invalid", v.place(), "write "+keyPerson+" for a kind of person", "want free-text")
		}
	}
}

// name checks names of groups and retention classes.
func (r *reader) name(v *value) {
	if (event.Relation{Role: v.text(), Kind: "k", ID: "1"}).Validate() != nil {
		r.add("schema_invalid", v.place(), "", "want a name: 1 to 64 letters, digits or _ . - :, a letter first")
	}
}

// maxOwners bounds the subjects of one joint value.
const maxOwners = 16

func (r *reader) subjects(v *value) []subject {
	if !v.is('[') {
		if s, ok := r.subject(v); ok {
			return []subject{s}
		}
		return nil
	}
	var list []subject
	for _, element := range v.elements() {
		s, ok := r.subject(element)
		switch {
		case !ok:
		case s.source == schema.FromStore:
			r.add("schema_subject", element.place(), "", "what is the store's is nobody's besides")
		case slices.ContainsFunc(list, func(o subject) bool { return o.text == s.text }):
			r.add("schema_subject", element.place(), "", "the subject is there twice")
		default:
			list = append(list, s)
		}
	}
	if n := len(v.elements()); n < 2 || n > maxOwners {
		r.add("schema_subject", v.place(), "", "a joint value has 2 to %d subjects", maxOwners)
	}
	return list
}

func (r *reader) subject(v *value) (subject, bool) {
	mend := `write "/customer_id", "1/customer_id", "stream", "relation:ROLE" or "store"`
	if !v.is('"') {
		r.add("schema_subject", v.place(), mend, "a subject is a text")
		return subject{}, false
	}
	s := subject{text: v.text(), up: -1}
	role, related := strings.CutPrefix(s.text, "relation:")
	switch {
	case s.text == "stream":
		s.source = schema.FromStream
	case s.text == "store":
		s.source = schema.FromStore
	case related:
		s.source, s.role = schema.FromRelation, role
		if (event.Relation{Role: role, Kind: "k", ID: "1"}).Validate() != nil {
			r.add("schema_subject", v.place(), mend, "the role is no name")
		}
	default:
		s.source = schema.FromData
		if !s.pointer() {
			r.add("schema_subject", v.place(), mend, "it is neither a JSON pointer nor a word that is known")
			return s, false
		}
	}
	return s, true
}

// pointer reads an absolute JSON pointer (RFC 6901) or a relative one (digits, then a pointer).
func (s *subject) pointer() bool {
	text := s.text
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	if digits > 0 {
		if digits > 2 || digits == 2 && text[0] == '0' {
			return false
		}
		s.up = 0
		for _, c := range []byte(text[:digits]) {
			s.up = s.up*10 + int(c-'0')
		}
		text = text[digits:]
	}
	if text == "" || text[0] != '/' {
		return false
	}
	steps, ok := splitPointer(text)
	s.steps = steps
	return ok
}

func splitPointer(text string) ([]string, bool) {
	steps := strings.Split(text[1:], "/")
	for i, step := range steps {
		if strings.HasSuffix(step, "~") || strings.Count(step, "~") != strings.Count(step, "~0")+strings.Count(step, "~1") {
			return nil, false
		}
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
	}
	return steps, true
}

// complete fills in what a declaration leaves to x-personal-default. Subjects are not among it: an enclosing object's
// come first.
func (d *declared) complete(fallback *declared) *declared {
	if fallback == nil {
		return d
	}
	full := *d
	take := func(name string) bool {
		return !slices.Contains(d.given, name) && slices.Contains(fallback.given, name)
	}
	if take("group") {
		full.mark.Group = fallback.mark.Group
	}
	if take("retention") {
		full.mark.Retention = fallback.mark.Retention
	}
	if take("from") {
		full.mark.From = fallback.mark.From
	}
	if take("category") {
		full.mark.Category = fallback.mark.Category
	}
	if take("origin") {
		full.mark.Origin = fallback.mark.Origin
	}
	if take("indexed") {
		full.mark.Indexed = fallback.mark.Indexed
	}
	if take("kind") {
		full.mark.FreeText = fallback.mark.FreeText
	}
	return &full
}

// same reports whether two declarations of one place say the same.
func (d *declared) same(o *declared) bool {
	sameText := func(a, b subject) bool { return a.text == b.text }
	return d.mark == o.mark && slices.EqualFunc(d.subjects, o.subjects, sameText)
}
