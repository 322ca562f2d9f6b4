package schema

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/lethe-es/lethe/event"
)

// Typed is the schema of a Go type, and its codec.
type Typed[T any] struct{ version Version }

// Of derives a schema in JSON Schema from a Go struct: names and what may be left out from json tags, and declarations
// from these:
//
//	type Registered struct {
//		Customer string                 `json:"customer_id" person:"customer"`
//		Email    event.Personal[string] `json:"email,omitzero" personal:"group=contact,subject=/customer_id"`
//		Amount   int64                  `json:"amount" open:"business-fact"`
//	}
//	registered, err := schema.Of[Registered]("CustomerRegistered")
//
// The members of a personal tag are those of x-personal: group, subject (several are separated by |), retention, from,
// category, origin, and the words indexed and free-text. A tag on a struct covers what is in it; on a slice or a map it
// seals the whole. Types that contain themselves, and interfaces without a personal tag, are event.ErrInvalid.
func Of[T any](typ string) (*Typed[T], error) {
	text, err := derive(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return &Typed[T]{Version{Type: typ, Notation: "jsonschema", Text: text}}, nil
}

// Version is the schema, to be given to Registry.Next. It has no number and no fingerprint yet.
func (t *Typed[T]) Version() *Version {
	return &Version{Type: t.version.Type, Notation: t.version.Notation, Text: bytes.Clone(t.version.Text)}
}

// Draft is an event of the type with v as its data.
func (t *Typed[T]) Draft(v T) (event.Draft, error) {
	data, err := plainJSON(v)
	if err != nil {
		return event.Draft{}, event.Invalid("invalid_json", "encode data of %q: the value has no JSON", t.version.Type)
	}
	return event.Draft{Type: t.version.Type, Data: data}, nil
}

// Decode reads the data of an event of the type; what is withheld is known to the Personal fields of T.
func (t *Typed[T]) Decode(e *event.Event) (v T, err error) {
	if e.Type != t.version.Type {
		return v, event.Invalid("wrong_type", "decode event %s: it is %q and not %q", e.ID, e.Type, t.version.Type)
	}
	return v, e.Decode(&v)
}

// orderedObject is a JSON object whose members keep their order, so that a type gives the same text every time.
type orderedObject []member

type member struct {
	name  string
	value any
}

func (o orderedObject) with(name string, value any) orderedObject {
	return append(o, member{name, value})
}

// MarshalJSON keeps the order.
func (o orderedObject) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := plainJSON(m.name)
		if err != nil {
			return nil, err
		}
		value, err := plainJSON(m.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// derive is the schema's text of a struct.
func derive(t reflect.Type) ([]byte, error) {
	if t.Kind() != reflect.Struct {
		return nil, event.Invalid("schema_invalid", "derive schema of %s: it is no struct", t)
	}
	d := &deriver{}
	o, err := d.object(t)
	if err != nil {
		return nil, err
	}
	top := append(orderedObject{{"$schema", "https://json-schema.org/draft/2020-12/schema"}}, o...)
	text, err := plainJSON(top)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}
