package policy

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/lethe-es/lethe/event"
)

// inspector looks at what rules name: persons by KRID alone, groups and purposes that are declared.
type inspector struct {
	document *Document
	rules    *rules
	found    *Problems
	place    string
}

func (i inspector) policy(p *ast.Policy) {
	for _, a := range p.Annotations {
		if holdsEmail(string(a.Value)) {
			i.found.add(i.place, "the annotation %s holds an e-mail address", a.Key)
		}
	}
	for _, scope := range []ast.IsScopeNode{p.Principal, p.Action, p.Resource} {
		i.scope(scope)
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), i.node)
	}
}

func (i inspector) scope(s ast.IsScopeNode) {
	switch s := s.(type) {
	case ast.ScopeTypeEq:
		i.entity(s.Entity)
	case ast.ScopeTypeIn:
		i.entity(s.Entity)
	case ast.ScopeTypeIsIn:
		i.entity(s.Entity)
	case ast.ScopeTypeInSet:
		for _, e := range s.Entities {
			i.entity(e)
		}
	}
}

// node looks at one node of a condition. The case is used where it is named, or where the context is used as a whole.
func (i inspector) node(n ast.IsNode) bool {
	switch n := n.(type) {
	case ast.NodeValue:
		i.value(n.Value)
	case ast.NodeTypeAccess:
		if isContext(n.Arg) {
			i.attribute(n.Value)
			return false
		}
	case ast.NodeTypeHas:
		if isContext(n.Arg) {
			return false // all attributes are always there
		}
	case ast.NodeTypeEquals:
		i.compared(n.Left, n.Right)
		i.compared(n.Right, n.Left)
	case ast.NodeTypeVariable:
		if n.Name == "context" {
			i.rules.cases = true
		}
	}
	return true
}

func isContext(n ast.IsNode) bool {
	v, ok := n.(ast.NodeTypeVariable)
	return ok && v.Name == "context"
}

func (i inspector) attribute(name types.String) {
	switch name {
	case contextCase:
		i.rules.cases = true
	case contextPurpose, contextReason, contextKind:
	default:
		i.found.add(i.place, "the context has no such attribute; it has purpose, reason, case and kind")
	}
}

// compared finds purposes that are not declared, which would make a rule that never holds.
func (i inspector) compared(what, with ast.IsNode) {
	access, ok := what.(ast.NodeTypeAccess)
	if !ok || access.Value != contextPurpose || !isContext(access.Arg) {
		return
	}
	if v, ok := with.(ast.NodeValue); ok {
		if s, ok := v.Value.(types.String); ok {
			known(checker{i.document, i.found}, i.place, string(s), "purpose", i.document.Purposes)
		}
	}
}

func (i inspector) value(v types.Value) {
	switch v := v.(type) {
	case types.EntityUID:
		i.entity(v)
	case types.String:
		if likeEmail(string(v)) {
			i.found.add(i.place, "a text looks like an e-mail address, and stays readable in the log for ever")
		}
	case types.Set:
		for one := range v.All() {
			i.value(one)
		}
	case types.Record:
		for _, one := range v.All() {
			i.value(one)
		}
	}
}

// entity checks an entity that rules or other entities name.
func (i inspector) entity(e types.EntityUID) {
	_, described := i.rules.entities[e]
	switch id := string(e.ID); {
	case len(id) > event.MaxIDBytes:
		i.found.add(i.place, "the id of an entity is longer than %d bytes", event.MaxIDBytes)
	case likeEmail(id):
		i.found.add(i.place, "the id of an entity looks like an e-mail address; name persons by KRID")
	case i.document.personType(string(e.Type)):
		if _, err := event.ParseKRID(id); err != nil {
			i.found.add(i.place, "%s is a kind of persons: name them by KRID, since the policy stays readable for ever", e.Type)
		}
	case e.Type == groupType && id != Reference && !described:
		known(checker{i.document, i.found}, i.place, id, "group", i.document.Groups)
	case e.Type == actionType && id != openAction && !described:
		i.found.add(i.place, "the only action is Action::\"open\"")
	}
}

// entityType is how rules name a kind: characters that their names do not have read as _.
func entityType(kind string) string {
	return strings.NewReplacer(".", "_", "-", "_", ":", "_").Replace(kind)
}

// personType reports whether an entity type is that of a kind of persons.
func (d *Document) personType(typ string) bool {
	for name, k := range d.Kinds {
		if k.Person && entityType(name) == typ {
			return true
		}
	}
	return false
}

// reservedType reports whether a type means something else in rules.
func reservedType(typ string) bool {
	switch typ {
	case groupType, actionType, "true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar":
		return true
	}
	return false
}
