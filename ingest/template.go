package ingest

import (
	"strings"
)

// fieldTree is the fields a map reads of one scope, by the steps of their paths.
type fieldTree struct {
	name     string // as the map writes it
	slot     int    // where readers put its value; -1: only something below it is read
	children map[string]*fieldTree
}

func newFieldTree() *fieldTree { return &fieldTree{slot: -1, children: map[string]*fieldTree{}} }

// fieldRef is a field the map reads.
type fieldRef struct {
	scope scope
	slot  int
	name  string
}

// fieldSet gives out slots.
type fieldSet struct {
	trees [scopes]*fieldTree
	count [scopes]int
}

func (s *fieldSet) use(in scope, path []string, name string) fieldRef {
	node := s.trees[in]
	for _, step := range path {
		child := node.children[step]
		if child == nil {
			child = newFieldTree()
			node.children[step] = child
		}
		node = child
	}
	if node.slot < 0 {
		node.slot, node.name = s.count[in], name
		s.count[in]++
	}
	return fieldRef{in, node.slot, node.name}
}

// part is a piece of a template: a literal, or a field.
type part struct {
	literal string
	field   fieldRef
	isField bool
}

// template is a text with fields in it: {name}.
type template []part

// literal is the text of a template without fields.
func (t template) literal() (string, bool) {
	switch {
	case len(t) == 0:
		return "", true
	case len(t) == 1 && !t[0].isField:
		return t[0].literal, true
	}
	return "", false
}

// single is the field of a template that is one field and nothing else.
func (t template) single() (fieldRef, bool) {
	if len(t) == 1 && t[0].isField {
		return t[0].field, true
	}
	return fieldRef{}, false
}

// cutTemplate splits the text of a template into literals and field names. A doubled brace is a brace; inside a
// field a backslash takes the next character as it is. The names keep their backslashes.
func cutTemplate(text string, literal, field func(string)) (problem string) {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		doubled := i+1 < len(text) && text[i+1] == c
		switch {
		case (c == '{' || c == '}') && doubled:
			plain.WriteByte(c)
			i++
		case c == '}':
			return "a } has no { before it; write }} for a brace"
		case c == '{':
			n := fieldEnd(text[i+1:])
			if n < 0 {
				return "a { has no } after it; write {{ for a brace"
			}
			literal(plain.String())
			plain.Reset()
			field(text[i+1 : i+1+n])
			i += n + 1
		default:
			plain.WriteByte(c)
		}
	}
	literal(plain.String())
	return ""
}

// fieldEnd finds the brace that closes a field.
func fieldEnd(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '}':
			return i
		}
	}
	return -1
}

// cutPath splits a field's name into its steps at dots. plain tells whether the first step has no backslash.
func cutPath(name string, dots bool) (path []string, plain bool, problem string) {
	if name == "" || name != strings.TrimSpace(name) {
		return nil, false, "a field's name is empty, or has a space around it; write a backslash before the space"
	}
	var step strings.Builder
	plain = true
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '\\':
			i++
			if i == len(name) {
				return nil, false, "a field's name ends in a backslash"
			}
			plain = plain && len(path) > 0
			step.WriteByte(name[i])
		case c == '.' && dots:
			path = append(path, step.String())
			step.Reset()
		default:
			step.WriteByte(c)
		}
	}
	path = append(path, step.String())
	for _, s := range path {
		if s == "" {
			return nil, false, "a field's name has an empty step; write a backslash before a dot that belongs to a name"
		}
	}
	if len(path) > 32 {
		return nil, false, "a field's name has more than 32 steps"
	}
	return path, plain, ""
}
