package ingest

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/lethe-es/lethe/event"
)

const maxMapBytes = 1 << 20

// mapErrorf is an error at a line of the map.
func mapErrorf(line int, format string, args ...any) error {
	return event.Invalid("invalid_map", "parse map: line "+strconv.Itoa(line)+": "+format, args...).
		Hint("docs/import.md describes maps")
}

// parseYAML reads exactly one document, without its meaning.
func parseYAML(text []byte) (*yaml.Node, error) {
	if len(text) > maxMapBytes {
		return nil, event.Invalid("invalid_map", "parse map: it is larger than 1 MiB")
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, mapErrorf(1, "it is empty")
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, mapErrorf(max(more.Line, 1), "it is more than one YAML document, or broken after the first")
	}
	return doc.Content[0], nil
}

// yamlError gives a syntax error of YAML its line.
func yamlError(err error) error {
	line, cause := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): (?s:(.*))$`).FindStringSubmatch(cause); m != nil {
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line, cause = n, m[2]
		}
	}
	return mapErrorf(line, "not YAML: %s; a text that begins with { needs quotes", cause)
}

// section is a mapping of the map, with its keys checked.
type section struct {
	node   *yaml.Node
	values map[string]*yaml.Node
}

// entries are the keys and values of a mapping in their order; it refuses what YAML would pass over.
func entries(n *yaml.Node, what string) ([][2]*yaml.Node, error) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return nil, mapErrorf(n.Line, "%s uses an anchor or alias, which maps do not have", what)
	}
	if n.Kind != yaml.MappingNode {
		return nil, mapErrorf(n.Line, "%s must be a mapping of keys to values", what)
	}
	var list [][2]*yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || seen[key.Value] {
			return nil, mapErrorf(key.Line, "%s has the key %q twice, or one that is no text; "+
				"a text that begins with { needs quotes", what, key.Value)
		}
		seen[key.Value] = true
		list = append(list, [2]*yaml.Node{key, n.Content[i+1]})
	}
	return list, nil
}

// readSection reads a mapping that may have the known keys only.
func readSection(n *yaml.Node, what string, known ...string) (section, error) {
	list, err := entries(n, what)
	if err != nil {
		return section{}, err
	}
	s := section{n, map[string]*yaml.Node{}}
	for _, e := range list {
		if !slices.Contains(known, e[0].Value) {
			return section{}, mapErrorf(e[0].Line, "%s has the unknown key %q; known are %s; "+
				"a text that begins with { needs quotes", what, e[0].Value, strings.Join(known, ", "))
		}
		s.values[e[0].Value] = e[1]
	}
	return s, nil
}

// need is the value of a key that must be there.
func (s section) need(key, what string) (*yaml.Node, error) {
	if n := s.values[key]; n != nil {
		return n, nil
	}
	return nil, mapErrorf(s.node.Line, "%s lacks the key %q", what, key)
}

// readText is a scalar's text.
func readText(n *yaml.Node, what string) (string, error) {
	if n.Kind == yaml.MappingNode {
		return "", mapErrorf(n.Line, "%s must be a text, and a text that begins with { needs quotes", what)
	}
	if n.Kind != yaml.ScalarNode || n.Anchor != "" || n.Tag == "!!null" {
		return "", mapErrorf(n.Line, "%s must be a text", what)
	}
	return n.Value, nil
}

func readBool(n *yaml.Node, what string) (bool, error) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		return false, mapErrorf(n.Line, "%s must be true or false", what)
	}
	return strings.EqualFold(n.Value, "true"), nil
}

// readList is the items of a sequence.
func readList(n *yaml.Node, what string) ([]*yaml.Node, error) {
	if n.Kind != yaml.SequenceNode || n.Anchor != "" {
		return nil, mapErrorf(n.Line, "%s must be a list", what)
	}
	return n.Content, nil
}

// readTexts is the texts of a sequence, or the one text of a scalar.
func readTexts(n *yaml.Node, what string) ([]string, error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var texts []string
	for _, item := range items {
		text, err := readText(item, what)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}
