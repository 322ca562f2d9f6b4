package openapi

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// set is messages and enums, in the order in which they were met first.
type set struct {
	order []protoreflect.Descriptor
	in    map[protoreflect.FullName]bool
}

// add takes a message and everything it is made of.
func (s *set) add(m protoreflect.MessageDescriptor) {
	if _, known := wellKnown(m); known || s.in[m.FullName()] {
		return
	}
	s.take(m)
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.IsMap() {
			f = f.MapValue()
		}
		switch {
		case f.Message() != nil:
			s.add(f.Message())
		case f.Enum() != nil && !s.in[f.Enum().FullName()]:
			s.take(f.Enum())
		}
	}
}

func (s *set) take(d protoreflect.Descriptor) {
	if s.in == nil {
		s.in = map[protoreflect.FullName]bool{}
	}
	s.in[d.FullName()] = true
	s.order = append(s.order, d)
}

// wellKnown is the JSON of the messages that have one of their own.
func wellKnown(m protoreflect.MessageDescriptor) (object, bool) {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return object{{"type", "string"}, {"format", "date-time"}}, true
	case "google.protobuf.Duration":
		return object{{"type", "string"}, {"pattern", `^-?[0-9]+(\.[0-9]{1,9})?s$`}, {"examples", []string{"86400s"}}}, true
	}
	return nil, false
}

func reference(d protoreflect.Descriptor) object {
	return object{{"$ref", "#/components/schemas/" + string(d.FullName())}}
}

// writer makes schemas. What is in requests is read more generously than it is written in answers, where numbers are
// concerned, and more strictly where names are: answers may get new fields, a request with an unknown one is refused.
type writer struct{ requests, answers set }

func (w *writer) schema(d protoreflect.Descriptor) object {
	if e, ok := d.(protoreflect.EnumDescriptor); ok {
		return enumeration(e)
	}
	m := d.(protoreflect.MessageDescriptor)
	properties := object{}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		properties = append(properties, member{string(f.Name()), w.property(f)})
	}
	s := object{{"type", "object"}}.with("description", Comment(m))
	s = append(s, member{"properties", properties})
	if !w.answers.in[m.FullName()] {
		s = append(s, member{"additionalProperties", false})
	}
	return append(s, choices(m)...)
}

// choices says which fields exclude each other. An optional field is no choice.
func choices(m protoreflect.MessageDescriptor) object {
	var all []object
	for i := range m.Oneofs().Len() {
		one := m.Oneofs().Get(i)
		if one.IsSynthetic() {
			continue
		}
		alternatives := []object{}
		none := []object{}
		for j := range one.Fields().Len() {
			only := object{{"required", []string{string(one.Fields().Get(j).Name())}}}
			alternatives = append(alternatives, only)
			none = append(none, only)
		}
		alternatives = append(alternatives, object{{"not", object{{"anyOf", none}}}})
		all = append(all, object{{"oneOf", alternatives}})
	}
	if len(all) == 0 {
		return nil
	}
	return object{{"allOf", all}}
}

func (w *writer) property(f protoreflect.FieldDescriptor) object {
	comment := Comment(f)
	switch {
	case f.FullName() == "lethe.v1.Draft.data":
		return object{{"type", []string{"string", "object"}}}.with("description", comment)
	case f.IsMap():
		values := object{{"type", "object"}, {"additionalProperties", w.value(f.MapValue())}}
		return values.with("description", comment)
	case f.IsList():
		return object{{"type", "array"}, {"items", w.value(f)}}.with("description", comment)
	}
	return w.value(f).with("description", comment)
}

func (w *writer) value(f protoreflect.FieldDescriptor) object {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if known, ok := wellKnown(f.Message()); ok {
			return known
		}
		return reference(f.Message())
	case protoreflect.EnumKind:
		return reference(f.Enum())
	case protoreflect.StringKind:
		return object{{"type", "string"}}
	case protoreflect.BytesKind:
		return object{{"type", "string"}, {"contentEncoding", "base64"}}
	case protoreflect.BoolKind:
		return object{{"type", "boolean"}}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{{"type", "integer"}, {"minimum", 0}, {"maximum", uint32(1<<32 - 1)}}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return w.wide(f, `^[0-9]{1,20}$`)
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind, protoreflect.Sint64Kind:
		return w.wide(f, `^-?[0-9]{1,19}$`)
	}
	return nil // a kind the contract does not use; the test refuses an empty schema
}

// wide is a number that JavaScript cannot hold, and therefore a text.
func (w *writer) wide(f protoreflect.FieldDescriptor, pattern string) object {
	if f.Parent() != nil && w.requests.in[f.Parent().FullName()] {
		return object{{"type", []string{"string", "integer"}}, {"pattern", pattern}}
	}
	return object{{"type", "string"}, {"pattern", pattern}}
}

func enumeration(e protoreflect.EnumDescriptor) object {
	names := []string{}
	text := Comment(e)
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		if v.Number() == 0 {
			continue // what is not set is left out
		}
		names = append(names, string(v.Name()))
		if c := Comment(v); c != "" {
			text += " " + string(v.Name()) + ": " + c
		}
	}
	return object{{"type", "string"}, {"enum", names}}.with("description", text)
}
