package policy

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// maxDepth bounds the nesting of a document; what is below the sections of it is flat, but for attributes of entities.
const maxDepth = 24

// node is a JSON value. Kind is that of jsontext: one of { [ " 0 t f n.
type node struct {
	kind    jsontext.Kind
	text    string // of a string or number
	members []member
	items   []*node
	raw     []byte // as it stands
}

type member struct {
	name  string
	value *node
}

// parseTree reads one JSON object. A name that is repeated is a problem with its place, and so the reading goes on;
// what is not JSON ends it.
func parseTree(text []byte, found *Problems) (*node, error) {
	if len(text) > MaxDocumentBytes {
		return nil, event.Invalid("oversized", "check policy: %d bytes are more than %d", len(text), MaxDocumentBytes)
	}
	r := treeReader{
		text: text, found: found,
		dec: jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true)),
	}
	if r.dec.PeekKind() != '{' {
		return nil, event.Invalid("invalid_json", "check policy: want a JSON object")
	}
	root, err := r.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, event.Invalid("invalid_json", "check policy: something follows the JSON object at offset %d",
			r.dec.InputOffset())
	}
	return root, nil
}

type treeReader struct {
	text  []byte
	dec   *jsontext.Decoder
	found *Problems
}

func (r *treeReader) value(place string, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, event.Invalid("oversized", "check policy: %s is nested deeper than %d", place, maxDepth)
	}
	token, err := r.dec.ReadToken()
	if err != nil {
		return nil, r.syntax(err)
	}
	n := &node{kind: token.Kind()}
	switch n.kind {
	case '{':
		n.members, err = r.members(place, depth)
	case '[':
		n.items, err = r.items(place, depth)
	default:
		n.text = token.String()
	}
	return n, err
}

func (r *treeReader) members(place string, depth int) ([]member, error) {
	var list []member
	known := map[string]bool{}
	for r.dec.PeekKind() != '}' {
		token, err := r.dec.ReadToken()
		if err != nil {
			return nil, r.syntax(err)
		}
		name := token.String()
		below := within(place, name)
		start := r.start()
		value, err := r.value(below, depth+1)
		if err != nil {
			return nil, err
		}
		value.raw = r.text[start:r.dec.InputOffset()]
		if known[name] {
			r.found.add(below, "the name is repeated")
			continue
		}
		known[name] = true
		list = append(list, member{name, value})
	}
	_, err := r.dec.ReadToken()
	return list, err
}

// start is where the next value begins.
func (r *treeReader) start() int64 {
	r.dec.PeekKind()
	rest := r.text[r.dec.InputOffset():]
	return r.dec.InputOffset() + int64(len(rest)-len(bytes.TrimLeft(rest, " \t\r\n:,")))
}

func (r *treeReader) items(place string, depth int) ([]*node, error) {
	var list []*node
	for r.dec.PeekKind() != ']' {
		value, err := r.value(at(place, len(list)), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := r.dec.ReadToken()
	return list, err
}

// syntax keeps the place of an error and drops its text, which quotes the input.
func (r *treeReader) syntax(err error) error {
	offset := r.dec.InputOffset()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		offset = syntax.ByteOffset
	}
	offset = min(max(offset, 0), int64(len(r.text)))
	line := 1 + bytes.Count(r.text[:offset], []byte("\n"))
	return event.Invalid("invalid_json", "check policy: not valid JSON in line %d, at offset %d", line, offset)
}
