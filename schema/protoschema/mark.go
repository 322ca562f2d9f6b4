package protoschema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// Defaults of what a declaration leaves out. The founding document's two notations share the group.
const (
	foundingGroup = "personal"
	defaultKind   = "person"
	maxOwners     = 16 // of one joint value
)

// declaration is what a schema says of a field, or of every field of a message. One of its three parts is set; only
// the founding document's key with pii has a mark beside the person.
type declaration struct {
	mark     *schema.Mark  // personal
	subjects []string      // as written; none: those of what covers it
	keyed    bool          // the founding document's key is the subject
	routes   []route       // subjects, resolved; none before that
	person   string        // kind it is a reference to
	reason   schema.Reason // why it is not personal
	by       protoreflect.Descriptor
	holder   protoreflect.MessageDescriptor // the message in which it stands
}

func (d *declaration) personal() bool { return d.mark != nil && d.person == "" }

// founding makes a declaration of the founding document's option; nil where it says nothing. The subject of pii is
// the key field, which whoever builds the plan knows.
func founding(g *gdpr, f protoreflect.FieldDescriptor, kind string) (*declaration, error) {
	d := &declaration{by: f, holder: f.ContainingMessage()}
	group := g.group
	if group == "" {
		group = foundingGroup
	}
	switch {
	case g.key && !g.pii && g.group != "":
		return nil, markError(f, "a key cannot be sealed under the store's own keyring").
			Hint("leave dataGrouping out, or write pii: true too")
	case g.key:
		d.person = kind
		if g.group != "" {
			d.mark = &schema.Mark{Group: group}
		}
	case g.pii:
		d.mark, d.keyed = &schema.Mark{Group: group}, true
	case g.group != "":
		d.mark, d.subjects = &schema.Mark{Group: group}, []string{"store"}
		d.routes = []route{{from: schema.FromStore}}
	default:
		return nil, nil
	}
	return d, checkMark(d)
}

// declare makes a declaration of our option.
func declare(p *privacy, by protoreflect.Descriptor, holder protoreflect.MessageDescriptor) (*declaration, error) {
	d := &declaration{by: by, holder: holder}
	said := 0
	for _, says := range []bool{p.saysPersonal, p.saysPerson, p.saysNot} {
		if says {
			said++
		}
	}
	switch {
	case said != 1:
		return nil, markError(by, "it says %d of: personal (subject and group), person, not_personal", said).
			Hint(`say one of them, such as {subject: "customer_id", group: "contact"}`)
	case p.saysNot:
		d.reason = schema.Reason(p.notPersonal)
		if !slices.Contains(schema.Reasons(), d.reason) {
			e := markError(by, "not_personal wants a reason of the list").Hint("say one of: %s", words(schema.Reasons()))
			e.Code = "schema_reason"
			return nil, e
		}
		return d, nil
	case p.saysPerson:
		d.person = p.person
		return d, checkKind(by, p.person)
	case p.group == "":
		return nil, markError(by, "it has no group").Hint(`add group, such as group: "contact"`)
	}
	d.subjects = p.subject
	d.mark = &schema.Mark{
		Group: p.group, Retention: p.retention, From: p.from, Category: schema.Category(p.category),
		Origin: schema.Origin(p.origin), Indexed: p.indexed, FreeText: p.freeText,
	}
	return d, checkMark(d)
}

// checkKind checks the kind of a person.
func checkKind(by protoreflect.Descriptor, kind string) error {
	entity := event.Relation{Role: event.RoleIssuer, Kind: kind, ID: "1"}
	if entity.Validate() != nil || kind == event.SystemKind {
		return markError(by, "%q is no kind of person", clip(kind)).
			Hint("want 1 to 64 letters, digits or _ . - :, a letter first, such as customer")
	}
	return nil
}

// checkMark checks the words of a mark.
func checkMark(d *declaration) error {
	m := d.mark
	if m == nil {
		return nil
	}
	for _, n := range []struct{ what, name string }{{"group", m.Group}, {"retention", m.Retention}} {
		if n.name != "" && !isName(n.name) {
			return markError(d.by, "%s %q is no name", n.what, clip(n.name)).
				Hint("want 1 to 64 letters, digits or _ . - :, a letter first")
		}
	}
	switch {
	case !slices.Contains([]string{"", "recorded", "occurred"}, m.From):
		return markError(d.by, "from is not known").Hint("say recorded or occurred")
	case m.Category != "" && !slices.Contains(schema.Categories(), m.Category):
		return markError(d.by, "category is not known").Hint("say one of: %s", words(schema.Categories()))
	case m.Origin != "" && !slices.Contains(schema.Origins(), m.Origin):
		return markError(d.by, "origin is not known").Hint("say one of: %s", words(schema.Origins()))
	case m.Indexed && (m.Category == schema.Special || m.Category == schema.Criminal):
		return markError(d.by, "values of category %s are not indexed", m.Category).Hint("leave indexed out")
	}
	return nil
}

// isName is the rule of names in events: kinds, roles, groups.
func isName(s string) bool {
	return event.Relation{Role: s, Kind: defaultKind, ID: "1"}.Validate() == nil
}

// words joins a list for a hint.
func words[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, w := range list {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}

func markError(by protoreflect.Descriptor, format string, args ...any) *event.Error {
	e := event.Invalid("schema_invalid", format, args...)
	e.Message = "compile schema " + at(by) + ": " + e.Message
	return e
}

func subjectError(by protoreflect.Descriptor, format string, args ...any) *event.Error {
	e := markError(by, format, args...)
	e.Code = "schema_subject"
	return e
}
