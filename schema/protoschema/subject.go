package protoschema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/schema"
)

// start is the message from which the path of a subject goes.
type start uint8

const (
	startHere  start = iota // the message that holds the value
	startBelow              // the nearest message around it with an option that covers what is below
	startKey                // the nearest message around it that has a key (the founding document's option)
	startRoot               // the whole event
)

// route is a subject, resolved: where it stands.
type route struct {
	from  schema.Source
	kind  string // FromData
	role  string // FromRelation
	start start  // FromData
	path  []protowire.Number
}

// fixed is the subject where it does not depend on data.
func (r route) fixed() schema.Subject { return schema.Subject{From: r.from, Role: r.role} }

// resolve turns the subjects of a declaration into routes, and notes the fields at their ends as references.
func (b *builder) resolve(d *declaration) error {
	if len(d.routes) > 0 {
		return nil
	}
	if len(d.subjects) > maxOwners {
		return subjectError(d.by, "a joint value has at most %d subjects", maxOwners)
	}
	for i, s := range d.subjects {
		if slices.Contains(d.subjects[:i], s) {
			return subjectError(d.by, "subject %q is there twice", clip(s))
		}
		r, err := b.route(d, s)
		if err != nil {
			return err
		}
		if r.from == schema.FromStore && len(d.subjects) > 1 {
			return subjectError(d.by, "store cannot be one of several subjects")
		}
		d.routes = append(d.routes, r)
	}
	return nil
}

func (b *builder) route(d *declaration, subject string) (route, error) {
	role, isRelation := strings.CutPrefix(subject, "relation:")
	switch {
	case subject == "stream":
		return route{from: schema.FromStream}, nil
	case subject == "store":
		return route{from: schema.FromStore}, nil
	case isRelation && !isName(role):
		return route{}, subjectError(d.by, "subject %q names no role", clip(subject)).Hint("write it as relation:affected")
	case isRelation:
		return route{from: schema.FromRelation, role: role}, nil
	}
	r := route{from: schema.FromData, start: startHere}
	from, names := d.holder, strings.TrimPrefix(subject, "./")
	if _, onMessage := d.by.(protoreflect.MessageDescriptor); onMessage {
		r.start = startBelow
	}
	if names != "" && (names[0] == '.' || names[0] == '/') {
		r.start, from, names = startRoot, b.root, names[1:]
	}
	target, err := b.follow(d, &r, from, names)
	if err != nil {
		return route{}, err
	}
	r.kind, err = b.refer(d, target)
	return r, err
}

// follow walks a path of names by the types, and returns the field at its end.
func (b *builder) follow(d *declaration, r *route, from protoreflect.MessageDescriptor, names string) (
	protoreflect.FieldDescriptor, error,
) {
	steps := strings.FieldsFunc(names, func(c rune) bool { return c == '.' || c == '/' })
	if len(steps) == 0 || len(steps) > maxDepth {
		return nil, subjectError(d.by, "subject is no field path").Hint(`write it as "customer_id" or "owner.id"`)
	}
	for i, step := range steps {
		last := i == len(steps)-1
		f := from.Fields().ByName(protoreflect.Name(step))
		switch {
		case f == nil:
			return nil, subjectError(d.by, "subject: message %s has no field %q", from.FullName(), clip(step)).
				Hint("paths go from the message they are written in; a leading dot goes from the whole event")
		case f.IsMap() || f.IsList() && (last || r.start != startRoot):
			return nil, subjectError(d.by, "subject: %s holds several", f.FullName()).
				Hint("mark the fields of the element's message instead, relative to its own reference")
		case !last && (f.Message() == nil || isWellKnown(f.Message())):
			return nil, subjectError(d.by, "subject: nothing can be named below %s", f.FullName())
		}
		r.path = append(r.path, f.Number())
		if last {
			return f, nil
		}
		from = f.Message()
	}
	return nil, nil
}

// refer notes a field as a reference to a person, and returns the person's kind.
func (b *builder) refer(d *declaration, target protoreflect.FieldDescriptor) (string, error) {
	own := b.fields[target.FullName()]
	switch {
	case own != nil && own.person == "":
		return "", subjectError(d.by, "subject: %s is declared as something else", target.FullName()).
			Hint(`declare it with {person: "customer"}, or as nothing`)
	case own != nil:
		return own.person, nil
	}
	if err := checkReference(d.by, target); err != nil {
		return "", err
	}
	b.references[target.FullName()] = b.kind
	return b.kind, nil
}

// checkReference checks that a KRID can stand in the place of a reference.
func checkReference(by protoreflect.Descriptor, f protoreflect.FieldDescriptor) error {
	if !f.IsMap() && (f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind) {
		return nil
	}
	return subjectError(by, "the reference %s is of type %s, and the person's alias is text", f.FullName(), typeName(f)).
		Hint("declare it as: string %s = %d;", f.Name(), f.Number())
}

// typeName is the type of a field as it is written.
func typeName(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map<" + f.MapKey().Kind().String() + ", " + typeName(f.MapValue()) + ">"
	case f.Enum() != nil:
		return string(f.Enum().FullName())
	case f.Message() != nil:
		return string(f.Message().FullName())
	}
	return f.Kind().String()
}
