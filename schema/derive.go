package schema

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

// deriver walks over a Go type.
type deriver struct{ inside []reflect.Type }

// personalField is what event.Personal tells of itself.
type personalField interface{ PersonalType() reflect.Type }

// object derives the schema of a struct.
func (d *deriver) object(t reflect.Type) (orderedObject, error) {
	if slices.Contains(d.inside, t) {
		return nil, event.Invalid("schema_recursive", "derive schema: the type %s contains itself", t).
			Hint("write its schema by hand, or keep the inner part as json.RawMessage with a personal tag")
	}
	d.inside = append(d.inside, t)
	defer func() { d.inside = d.inside[:len(d.inside)-1] }()
	properties, required := orderedObject{}, []string{}
	if err := d.fields(t, &properties, &required); err != nil {
		return nil, err
	}
	o := orderedObject{{"type", "object"}, {"additionalProperties", false}}
	if len(required) > 0 {
		o = o.with("required", required)
	}
	return o.with("properties", properties), nil
}

func (d *deriver) fields(t reflect.Type, properties *orderedObject, required *[]string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && embedded(f.Type).Kind() == reflect.Struct {
			if err := d.fields(embedded(f.Type), properties, required); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() || name == "-" && options == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		o, err := d.field(t, &f)
		if err != nil {
			return err
		}
		*properties = properties.with(name, o)
		if !strings.Contains(options, "omit") {
			*required = append(*required, name)
		}
	}
	return nil
}

func embedded(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// field is the schema of one field with its declaration.
func (d *deriver) field(t reflect.Type, f *reflect.StructField) (orderedObject, error) {
	o, err := d.value(f.Type)
	if err != nil {
		return nil, err
	}
	tags := 0
	if kind, ok := f.Tag.Lookup("person"); ok {
		tags++
		o = o.with("x-person", kind)
	}
	if reason, ok := f.Tag.Lookup("open"); ok {
		tags++
		o = o.with("x-not-personal", reason)
	}
	if text, ok := f.Tag.Lookup("personal"); ok {
		tags++
		mark, err := personalTag(text)
		if err != nil {
			return nil, event.Invalid("schema_invalid", "derive schema: the personal tag of %s.%s: %s", t, f.Name, err)
		}
		o = o.with("x-personal", mark)
	} else if f.Type.Implements(reflect.TypeFor[personalField]()) {
		return nil, event.Invalid("schema_invalid", "derive schema: %s.%s has no personal tag", t, f.Name).
			Hint(`add personal:"group=…,subject=…"`)
	}
	if tags > 1 {
		return nil, event.Invalid("schema_conflict", "derive schema: %s.%s has several of the tags personal, person and open",
			t, f.Name)
	}
	return o, nil
}

// tagError says what is wrong with a tag; tags are program text.
type tagError string

func (e tagError) Error() string { return string(e) }

func personalTag(text string) (orderedObject, error) {
	var o orderedObject
	for part := range strings.SplitSeq(text, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "subject" && strings.Contains(value, "|"):
			o = o.with(name, strings.Split(value, "|"))
		case given && slices.Contains([]string{"group", "subject", "retention", "from", "category", "origin"}, name):
			o = o.with(name, value)
		case !given && name == "indexed":
			o = o.with(name, true)
		case !given && name == "free-text":
			o = o.with("kind", name)
		default:
			return nil, tagError("it has no part " + part)
		}
	}
	return o, nil
}

// value is the schema of values of a type.
func (d *deriver) value(t reflect.Type) (orderedObject, error) {
	if t.Implements(reflect.TypeFor[personalField]()) {
		inner := reflect.Zero(t).Interface().(personalField).PersonalType()
		o, err := d.value(inner)
		return nullable(o), err
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return orderedObject{{"type", "string"}, {"format", "date-time"}}, nil
	case reflect.TypeFor[json.Number]():
		return orderedObject{{"type", "number"}}, nil
	case reflect.TypeFor[json.RawMessage]():
		return orderedObject{}, nil
	}
	text := reflect.TypeFor[encoding.TextMarshaler]()
	marshaler := reflect.TypeFor[json.Marshaler]()
	switch {
	case t.Implements(text) || reflect.PointerTo(t).Implements(text):
		return orderedObject{{"type", "string"}}, nil
	case t.Kind() != reflect.Pointer && (t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)):
		return orderedObject{}, nil
	}
	return d.kind(t)
}

func (d *deriver) kind(t reflect.Type) (orderedObject, error) {
	switch t.Kind() {
	case reflect.Bool:
		return orderedObject{{"type", "boolean"}}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return orderedObject{{"type", "integer"}}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return orderedObject{{"type", "integer"}, {"minimum", 0}}, nil
	case reflect.Float32, reflect.Float64:
		return orderedObject{{"type", "number"}}, nil
	case reflect.String:
		return orderedObject{{"type", "string"}}, nil
	case reflect.Interface:
		return orderedObject{}, nil
	case reflect.Pointer:
		o, err := d.value(t.Elem())
		return nullable(o), err
	case reflect.Struct:
		return d.object(t)
	case reflect.Map:
		o, err := d.value(t.Elem())
		return orderedObject{{"type", []string{"object", "null"}}, {"additionalProperties", o}}, err
	case reflect.Slice, reflect.Array:
		return d.list(t)
	}
	return nil, event.Invalid("schema_invalid", "derive schema: the type %s has no JSON", t)
}

func (d *deriver) list(t reflect.Type) (orderedObject, error) {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return orderedObject{{"type", []string{"string", "null"}}, {"contentEncoding", "base64"}}, nil
	}
	o, err := d.value(t.Elem())
	if t.Kind() == reflect.Array {
		return orderedObject{{"type", "array"}, {"items", o}, {"minItems", t.Len()}, {"maxItems", t.Len()}}, err
	}
	return orderedObject{{"type", []string{"array", "null"}}, {"items", o}}, err
}

// nullable lets null in beside what a schema takes.
func nullable(o orderedObject) orderedObject {
	for i := range o {
		if typ, one := o[i].value.(string); one && o[i].name == "type" {
			o[i].value = []string{typ, "null"}
		}
	}
	return o
}
