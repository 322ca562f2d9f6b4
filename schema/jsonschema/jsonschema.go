// Package jsonschema reads schemas in JSON Schema, drafts 2020-12 and 07, with keywords that say which values are
// personal. It is a schema.Notation, named "jsonschema":
//
//	{
//	  "type": "object", "additionalProperties": false, "required": ["customer_id", "email"],
//	  "properties": {
//	    "customer_id": {"type": "string", "x-person": "customer"},
//	    "email":       {"type": "string", "x-personal": {"group": "contact", "subject": "/customer_id"}},
//	    "amount":      {"type": "integer", "x-not-personal": "business-fact"}
//	  }
//	}
//
// docs/schema.md is the reference of the keywords.
//
// # How it works
//
// Compile reads the text into nodes, one for each schema in it (read.go, keywords.go), and walks from them over the
// places in the data that they describe (expand.go): there it is decided what is personal, what is open, and whether
// the schema says it of everything. What is left is a tree of the places that are declared (place.go).
//
// Data is read into a tape (package tape), and then walked along the nodes to be checked (check.go), or along the
// places to be located (locate.go). Cut and Fill work on the bytes alone (cut.go). Numbers stay literals throughout.
package jsonschema

import (
	"errors"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	library "github.com/santhosh-tekuri/jsonschema/v6"
)

// Name is what stored schemas name this notation by.
const Name = "jsonschema"

const (
	draft2020 = "https://json-schema.org/draft/2020-12/schema"
	draft7    = "http://json-schema.org/draft-07/schema"
)

// Notation is JSON Schema. It is safe for concurrent use.
type Notation struct{ formats *formats }

var _ schema.Notation = Notation{}

// New makes the notation.
func New() Notation { return Notation{&formats{known: map[string]*format{}}} }

// Name is "jsonschema".
func (Notation) Name() string { return Name }

// Compile reads a schema. An error lists all that is wrong, up to fifty places.
func (n Notation) Compile(text []byte, o schema.Options) (schema.Plan, error) {
	r, top, err := n.read(text, o)
	if err != nil {
		return nil, err
	}
	x := newExpander(r)
	root := x.expand(top)
	if err := r.err(); err != nil {
		return nil, err
	}
	return newPlan(top, root, x), nil
}

// read is the first half of Compile: the text as nodes, which are right as a JSON Schema.
func (n Notation) read(text []byte, o schema.Options) (*reader, *node, error) {
	v, err := readText(text)
	if err != nil {
		return nil, nil, err
	}
	r := &reader{options: o, formats: n.formats, byEntry: map[uint32]*node{}, anchors: map[string]*node{}}
	if r.options.Kind == "" {
		r.options.Kind = defaultKind
	}
	if (event.StreamID{Kind: r.options.Kind, ID: "1"}).Validate() != nil {
		return nil, nil, event.Invalid("schema_invalid", "check schema: the kind of its persons is no name of a kind")
	}
	if err := r.dialect(v); err != nil {
		return nil, nil, err
	}
	top := r.node(v)
	r.resolve()
	return r, top, r.err()
}

func (r *reader) dialect(v *value) error {
	if !v.is('{') {
		return event.Invalid("schema_invalid", "check schema: want an object")
	}
	s := v.member("$schema")
	if s == nil {
		return nil
	}
	switch {
	case s.is('"') && strings.TrimSuffix(s.text(), "#") == draft7:
		r.old = true
	case !s.is('"') || strings.TrimSuffix(s.text(), "#") != draft2020:
		return event.Invalid("schema_unsupported", "check schema: #/$schema: it is none of the drafts that are read").
			Hint("write %q or %q", draft2020, draft7+"#")
	}
	return nil
}

// nothing is what the library may load.
type nothing struct{}

var errNothing = errors.New("nothing is loaded")

func (nothing) Load(string) (any, error) { return nil, errNothing }

var _ library.URLLoader = nothing{}
