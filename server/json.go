package server

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lethe-es/lethe/event"
)

// parseJSON reads a message from one JSON object, strictly: unknown fields, repeated names and invalid UTF-8 are
// refused, as event.ParseDraft refuses them. Where a field is named data, the object itself may stand instead of its
// text; it is taken byte for byte, so that no number in it changes. Errors name fields and places, never values.
func parseJSON(data []byte, m proto.Message) error {
	w := rewriter{dec: jsontext.NewDecoder(bytes.NewReader(data)), out: make([]byte, 0, len(data)+len(data)/8+64)}
	if w.dec.PeekKind() != '{' {
		if _, err := w.dec.ReadToken(); err != nil && !errors.Is(err, io.EOF) {
			return w.broken(err)
		}
		return event.Invalid("invalid_json", "read request: want a JSON object").Hint("send {} for an empty request")
	}
	if err := w.object(m.ProtoReflect().Descriptor(), nil); err != nil {
		return err
	}
	if _, err := w.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return event.Invalid("invalid_json", "read request: bytes after the JSON object at offset %d", w.dec.InputOffset())
	}
	if protojson.Unmarshal(w.out, m) != nil { // its error quotes what was sent
		return event.Invalid("malformed_value", "read request: a number, a time, a duration or base64 text in it is "+
			"malformed or out of range")
	}
	return nil
}

// rewriter goes through a JSON text along the descriptor of a message and writes the same with data as text.
type rewriter struct {
	dec   *jsontext.Decoder
	out   []byte
	parts int // elements of lists and maps so far
}

// path is where in a request something stands.
type path struct {
	above *path
	name  string
	index int // within a list; -1: it is none
}

func (p *path) String() string {
	if p == nil {
		return ""
	}
	text := p.name
	if p.index >= 0 {
		text += "[" + strconv.Itoa(p.index) + "]"
	}
	if p.above == nil {
		return text
	}
	return p.above.String() + "." + text
}

// broken keeps the place and the nature of a JSON error and drops its text, which quotes what was sent.
func (w *rewriter) broken(err error) error {
	offset := w.dec.InputOffset()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset = syntax.ByteOffset
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return event.Invalid("duplicate_name", "read request: an object repeats a name at offset %d", offset)
	}
	return event.Invalid("invalid_json", "read request: not valid JSON at offset %d", offset)
}

// token copies one token of a structure.
func (w *rewriter) token() error {
	t, err := w.dec.ReadToken()
	if err != nil {
		return w.broken(err)
	}
	w.out = append(w.out, byte(t.Kind()))
	return nil
}

// value copies one value as it is.
func (w *rewriter) value() error {
	v, err := w.dec.ReadValue()
	if err != nil {
		return w.broken(err)
	}
	w.out = append(w.out, v...)
	return nil
}

// object copies the members of a message.
func (w *rewriter) object(md protoreflect.MessageDescriptor, at *path) error {
	if err := w.token(); err != nil {
		return err
	}
	var seen []protoreflect.FieldNumber
	for w.dec.PeekKind() == '"' {
		name, err := w.dec.ReadToken()
		if err != nil {
			return w.broken(err)
		}
		fd := field(md, name.String())
		switch {
		case fd == nil:
			return unknownField(name.String(), at)
		case slices.Contains(seen, fd.Number()): // under its two names
			return w.broken(jsontext.ErrDuplicateName)
		case len(seen) > 0:
			w.out = append(w.out, ',')
		}
		seen = append(seen, fd.Number())
		w.out = append(strconv.AppendQuote(w.out, string(fd.Name())), ':')
		if err := w.member(fd, &path{at, string(fd.Name()), -1}); err != nil {
			return err
		}
	}
	return w.token()
}

// field finds a field by its name in the sources, or in lowerCamelCase as protobuf's JSON form has it.
func field(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
		return fd
	}
	return md.Fields().ByJSONName(name)
}

// maxName is the longest name that is shown: a longer one is no field that was mistyped.
const maxName = 40

func unknownField(name string, at *path) error {
	where := "read request"
	if at != nil {
		where += " at " + at.String()
	}
	if len(name) > maxName {
		return event.Invalid("unknown_field", "%s: unknown field", where)
	}
	return event.Invalid("unknown_field", "%s: unknown field %q", where, name)
}

// member copies the value of a field.
func (w *rewriter) member(fd protoreflect.FieldDescriptor, at *path) error {
	kind := w.dec.PeekKind()
	switch {
	case kind == 'n':
		return w.value()
	case fd.IsMap():
		return w.elements('{', fd.MapValue(), at)
	case fd.IsList():
		return w.elements('[', fd, at)
	}
	return w.single(fd, at)
}

// elements copies a list or a map. None of them holds more than one kind of things.
func (w *rewriter) elements(open jsontext.Kind, fd protoreflect.FieldDescriptor, at *path) error {
	if kind := w.dec.PeekKind(); kind != open {
		return w.wrongType(kind, at)
	}
	if err := w.token(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if kind := w.dec.PeekKind(); kind == ']' || kind == '}' {
			return w.token()
		}
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if w.parts++; w.parts > maxParts {
			return tooManyParts()
		}
		if open == '{' {
			if err := w.value(); err != nil { // the key
				return err
			}
			w.out = append(w.out, ':')
		}
		if err := w.single(fd, &path{at.above, at.name, i}); err != nil {
			return err
		}
	}
}

// single copies one value that is no list and no map.
func (w *rewriter) single(fd protoreflect.FieldDescriptor, at *path) error {
	kind := w.dec.PeekKind()
	if kind == '{' && fd.Kind() == protoreflect.StringKind && fd.Name() == "data" {
		v, err := w.dec.ReadValue()
		if err != nil {
			return w.broken(err)
		}
		if w.out, err = jsontext.AppendQuote(w.out, v); err != nil {
			return w.broken(err)
		}
		return nil
	}
	if !slices.Contains(kinds(fd), kind) {
		return w.wrongType(kind, at)
	}
	if kind == '{' {
		return w.object(fd.Message(), at)
	}
	return w.value()
}

func (w *rewriter) wrongType(kind jsontext.Kind, at *path) error {
	if kind == 0 || kind == ']' || kind == '}' { // not a value at all
		if _, err := w.dec.ReadToken(); err != nil {
			return w.broken(err)
		}
	}
	return event.Invalid("wrong_type", "read request: field %s has the wrong JSON type", at)
}

// kinds are the JSON types that can be a value of a field; protojson checks the rest. Numbers of 64 bits may be
// strings, since JavaScript rounds them.
func kinds(fd protoreflect.FieldDescriptor) []jsontext.Kind {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if fd.Message().FullName().Parent() == "google.protobuf" { // times and durations
			return []jsontext.Kind{'"'}
		}
		return []jsontext.Kind{'{'}
	case protoreflect.BoolKind:
		return []jsontext.Kind{'t', 'f'}
	case protoreflect.StringKind, protoreflect.BytesKind:
		return []jsontext.Kind{'"'}
	}
	return []jsontext.Kind{'0', '"'}
}
