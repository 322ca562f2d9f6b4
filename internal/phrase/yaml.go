package phrase

import (
	"bytes"
	"encoding/json"

	"go.yaml.in/yaml/v3"

	"github.com/lethe-es/lethe/event"
)

// MaxYAML bounds the text that ParseYAML reads.
const MaxYAML = 1 << 20

// ParseYAML reads one YAML document, or JSON, and gives it as JSON, names in their order and repeated ones with it:
// whoever reads that refuses them. Texts, numbers, true and false, null, lists and maps from texts are taken; a date
// that is not in quotes becomes a number, and so no text. Anchors, tags and a second document are event.ErrInvalid.
func ParseYAML(text []byte) ([]byte, error) {
	if len(text) > MaxYAML {
		return nil, event.Invalid("oversized", "read YAML: it has more than %d bytes", MaxYAML)
	}
	if json.Valid(text) {
		return text, nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	if err := dec.Decode(&document); err != nil || len(document.Content) != 1 {
		return nil, malformedYAML(0, "it is neither YAML nor JSON, or empty")
	}
	if dec.Decode(&more) == nil {
		return nil, malformedYAML(more.Line, "a second document follows")
	}
	var out bytes.Buffer
	err := writeJSON(&out, document.Content[0], 0)
	return out.Bytes(), err
}

func malformedYAML(line int, what string) error {
	if line == 0 {
		return event.Invalid("malformed_yaml", "read YAML: %s", what)
	}
	return event.Invalid("malformed_yaml", "read YAML: line %d: %s", line, what)
}

// maxYAMLDepth bounds how deep values may lie in each other.
const maxYAMLDepth = 100

func writeJSON(out *bytes.Buffer, n *yaml.Node, depth int) error {
	switch {
	case depth > maxYAMLDepth:
		return malformedYAML(n.Line, "values lie too deep in each other")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return malformedYAML(n.Line, "anchors are not taken; write it out")
	case n.Kind == yaml.ScalarNode:
		return writeScalar(out, n)
	case n.Kind == yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, item, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	}
	out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge" || name.Anchor != "" {
			return malformedYAML(name.Line, "want a name")
		}
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeText(out, name.Value); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := writeJSON(out, n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

func writeScalar(out *bytes.Buffer, n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!str":
		return writeText(out, n.Value)
	case "!!null":
		out.WriteString("null")
	case "!!bool":
		holds := false
		if err := n.Decode(&holds); err != nil {
			return malformedYAML(n.Line, "want true or false")
		}
		if holds {
			out.WriteString("true")
		} else {
			out.WriteString("false")
		}
	case "!!int", "!!float", "!!timestamp":
		if number := []byte(n.Value); json.Valid(number) {
			out.Write(number)
		} else {
			out.WriteByte('0')
		}
	default:
		return malformedYAML(n.Line, "the tag of a value is not taken")
	}
	return nil
}

func writeText(out *bytes.Buffer, text string) error {
	quoted, err := json.Marshal(text)
	out.Write(quoted)
	return err
}

// FormatYAML gives JSON as YAML, names in their order.
func FormatYAML(text []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, malformedYAML(0, "it is not JSON")
	}
	plain(&document)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&document); err != nil {
		return nil, malformedYAML(0, "it is not JSON")
	}
	return out.Bytes(), nil
}

// plain takes the style of JSON from a value and all that is in it.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && bytes.ContainsRune([]byte(n.Value), '\n') {
		n.Style = yaml.LiteralStyle
	}
	for _, child := range n.Content {
		plain(child)
	}
}
