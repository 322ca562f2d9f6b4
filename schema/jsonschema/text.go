package jsonschema

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// Limits of a schema's text, which is hostile input.
const (
	maxText     = 512 << 10
	maxDepth    = 64
	maxValues   = 10_000  // JSON values in the text
	maxPlaces   = 10_000  // places in the data that it describes, when its references are followed
	maxPath     = 4 << 10 // bytes of a path to a place
	maxWork     = 1 << 19 // schemas, parts of paths and patterns that following a schema may touch
	maxLiteral  = 1_000   // bytes of a number
	maxProblems = 50      // that one error lists
)

// value is a value in the text of a schema, with the way that leads to it.
type value struct {
	t    *tape.Tape
	i    uint32
	up   *value
	step string
}

func (v *value) kind() byte     { return v.t.Entries[v.i].Kind }
func (v *value) raw() []byte    { return v.t.Raw(v.i) }
func (v *value) text() string   { return string(v.t.Text(v.i)) }
func (v *value) is(k byte) bool { return v.kind() == k }

// place is the JSON pointer of the value in the text; the whole text is #.
func (v *value) place() string {
	var steps []string
	for ; v.up != nil; v = v.up {
		steps = append(steps, v.step)
	}
	b := []byte{'#'}
	for i := len(steps) - 1; i >= 0; i-- {
		b = appendStep(b, steps[i])
	}
	return string(b)
}

// appendStep adds a step to a JSON pointer (RFC 6901).
func appendStep(b []byte, step string) []byte {
	b = append(b, '/')
	for i := range len(step) {
		switch step[i] {
		case '~':
			b = append(b, "~0"...)
		case '/':
			b = append(b, "~1"...)
		default:
			b = append(b, step[i])
		}
	}
	return b
}

// members are the values of an object, in the order in which they stand.
func (v *value) members() []*value {
	var list []*value
	for i, end := v.i+1, v.t.Entries[v.i].Next; i < end; i = v.t.Entries[i].Next {
		list = append(list, &value{t: v.t, i: i + 1, up: v, step: string(v.t.Text(i))})
	}
	return list
}

func (v *value) elements() []*value {
	var list []*value
	for i, end := v.i+1, v.t.Entries[v.i].Next; i < end; i = v.t.Entries[i].Next {
		list = append(list, &value{t: v.t, i: i, up: v, step: strconv.Itoa(len(list))})
	}
	return list
}

// readText turns the text of a schema into a tape within the limits.
func readText(text []byte) (*value, error) {
	if len(text) > maxText {
		return nil, event.Invalid("schema_too_large", "check schema: %d bytes are more than %d", len(text), maxText)
	}
	t := &tape.Tape{Depth: maxDepth}
	if err := t.Read(text); err != nil {
		return nil, explain(t, err)
	}
	count := 0
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Kind == '0' && (e.End-e.At > maxLiteral || tooFar(t.Raw(uint32(i)))) {
			return nil, event.Invalid("schema_too_large", "check schema: the number at %s is too long",
				position(text, int(e.At)))
		}
		if e.Kind == '{' { // names are counted with their values
			count -= countMembers(t, uint32(i))
		}
		count++
	}
	if count > maxValues {
		return nil, event.Invalid("schema_too_large", "check schema: %d values are more than %d", count, maxValues)
	}
	return &value{t: t}, nil
}

// tooFar tells of an exponent that would take memory where a number is written out.
func tooFar(literal []byte) bool {
	i := bytes.IndexAny(literal, "eE")
	if i < 0 {
		return false
	}
	n := tape.Exponent(literal[i+1:])
	return n > 1000 || n < -1000
}

func countMembers(t *tape.Tape, object uint32) int {
	n := 0
	for i, end := object+1, t.Entries[object].Next; i < end; i = t.Entries[i].Next {
		n++
	}
	return n
}

// position is line and column of a byte.
func position(text []byte, at int) string {
	at = min(at, len(text))
	line := 1 + bytes.Count(text[:at], []byte{'\n'})
	column := at - bytes.LastIndexByte(text[:at], '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// explain says of a text that was not read where it breaks off, and where it can, how to mend it.
func explain(t *tape.Tape, err error) error {
	at, steps, tooDeep := t.Broken()
	b := []byte{'#'}
	for _, step := range steps {
		b = appendStep(b, step)
	}
	place := shorten(string(b))
	switch {
	case event.Code(err) == "duplicate_name":
		return event.Invalid("schema_invalid", "check schema: the object at %s, in %s, has a name twice",
			position(t.Data, at), place)
	case tooDeep && at < len(t.Data) && (t.Data[at] == '{' || t.Data[at] == '['):
		return event.Invalid("schema_too_deep", "check schema: it is nested more than %d deep at %s", t.Depth, place)
	}
	broken := event.Invalid("schema_invalid", "check schema: it is not JSON at %s, below %s", position(t.Data, at), place)
	if line, mended, ok := mendLine(t.Data, at); ok {
		return broken.Hint("write line %d as %s: names stand in double quotes, and nothing before them", line, mended)
	}
	return broken
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
