package openapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// object is a JSON object that keeps its order, so that people find fields where the sources have them.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := encode(m.name)
		if err != nil {
			return nil, err
		}
		value, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// with is the object and one more member, unless the value says nothing.
func (o object) with(name, text string) object {
	if text == "" {
		return o
	}
	return append(o, member{name, text})
}

// encode is json.Marshal without escapes for HTML: comments hold quotes and arrows.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// joined makes one line of the lines of a comment.
func joined(comment string) string { return strings.Join(strings.Fields(comment), " ") }

func sorted(m map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(m)) }
