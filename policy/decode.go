package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// reader turns a tree into a document, field by field as the types say. What has the wrong type or an unknown name is a
// problem; the rest is read.
type reader struct{ found *Problems }

func (r reader) document(n *node) *Document {
	d := &Document{}
	r.read("", n, reflect.ValueOf(d).Elem())
	d.Version = DocumentVersion
	return d
}

func (r reader) read(place string, n *node, into reflect.Value) {
	switch into.Kind() {
	case reflect.Struct:
		r.object(place, n, into)
	case reflect.Map:
		r.section(place, n, into)
	case reflect.String:
		r.text(place, n, into)
	case reflect.Bool:
		if n.kind != 't' && n.kind != 'f' {
			r.found.add(place, "want true or false")
		}
		into.SetBool(n.kind == 't')
	case reflect.Int:
		if n.kind != '0' || n.text != "1" {
			r.found.add(place, "want 1, the only version there is")
		}
		into.SetInt(DocumentVersion)
	case reflect.Slice:
		if into.Type() == reflect.TypeFor[json.RawMessage]() {
			into.SetBytes(compact(n.raw))
			return
		}
		r.list(place, n, into)
	}
}

func (r reader) object(place string, n *node, into reflect.Value) {
	if n.kind != '{' {
		r.found.add(place, "want an object of fields, such as {}")
		return
	}
	known := map[string]reflect.Value{}
	for i := range into.NumField() {
		name, _, _ := strings.Cut(into.Type().Field(i).Tag.Get("json"), ",")
		known[name] = into.Field(i)
	}
	for _, m := range n.members {
		field, ok := known[m.name]
		if !ok {
			r.found.add(within(place, m.name), "the field is not known; known are %s",
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		r.read(within(place, m.name), m.value, field)
	}
}

// section reads an object of named entries.
func (r reader) section(place string, n *node, into reflect.Value) {
	if n.kind != '{' {
		r.found.add(place, "want an object of names, such as {}")
		return
	}
	if len(n.members) > MaxNames {
		r.found.add(place, "%d entries are more than %d", len(n.members), MaxNames)
		return
	}
	if len(n.members) > 0 {
		into.Set(reflect.MakeMapWithSize(into.Type(), len(n.members)))
	}
	for _, m := range n.members {
		entry := reflect.New(into.Type().Elem()).Elem()
		r.read(within(place, m.name), m.value, entry)
		into.SetMapIndex(reflect.ValueOf(m.name), entry)
	}
}

func (r reader) text(place string, n *node, into reflect.Value) {
	limit := MaxTextBytes
	if place == "rules" {
		limit = MaxRuleBytes
	}
	switch {
	case n.kind != '"':
		r.found.add(place, "want a text; put quotes around a number or a date")
	case len(n.text) > limit:
		r.found.add(place, "%d bytes are more than %d", len(n.text), limit)
	default:
		into.SetString(n.text)
	}
}

func (r reader) list(place string, n *node, into reflect.Value) {
	if n.kind != '[' {
		r.found.add(place, "want a list, such as []")
		return
	}
	if len(n.items) > MaxList {
		r.found.add(place, "%d entries are more than %d", len(n.items), MaxList)
		return
	}
	for i, item := range n.items {
		entry := reflect.New(into.Type().Elem()).Elem()
		r.read(at(place, i), item, entry)
		into.Set(reflect.Append(into, entry))
	}
}

// compact copies JSON without insignificant space.
func compact(raw []byte) []byte {
	v := jsontext.Value(bytes.Clone(raw))
	if v.Compact() != nil {
		return nil // a name is repeated, which was found before
	}
	return v
}
