package policy

import (
	"fmt"
	"iter"
	"regexp"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/lethe-es/lethe/event"
)

// The types and the action that Lethe itself puts into requests.
const (
	groupType  = "Group"
	actionType = "Action"
	openAction = "open"
)

// rules are the access rules of a document, compiled.
type rules struct {
	list     []rule
	entities types.EntityMap
	cases    bool // some rule looks at the case: what it decides for one case does not hold for another
}

// rule is one Cedar policy and what it is about, as far as that is plain, so that others need not be evaluated.
type rule struct {
	policy  *cedar.Policy
	scope   ast.IsPrincipalScopeNode // of principals
	group   string                   // the only group it is about; empty: not plain
	purpose string                   // the only purpose; empty: not plain
}

// compileRules parses rules and entities, and adds what is wrong with them to found.
func compileRules(d *Document, tree *node, found *Problems) *rules {
	r := &rules{entities: readEntities(d, tree, found)}
	if holdsEmail(d.Rules) {
		found.add("rules", "they hold an e-mail address, and stay readable in the log for ever; name persons by KRID")
	}
	if !guard(d.Rules, found) {
		return r
	}
	list, err := cedar.NewPolicyListFromBytes("", []byte(d.Rules))
	if err != nil {
		found.add(syntaxPlace(err), "not a rule in the Cedar language")
		return r
	}
	for _, p := range list {
		if one, applies := r.plain(p); applies {
			r.list = append(r.list, one)
		}
		i := inspector{document: d, rules: r, found: found, place: positionOf(p)}
		i.policy((*ast.Policy)(p.AST()))
	}
	return r
}

func rulePlace(line, column int) string { return fmt.Sprintf("rules:%d:%d", line, column) }

func positionOf(p *cedar.Policy) string {
	at := p.Position()
	return rulePlace(at.Line, at.Column)
}

var inputPlace = regexp.MustCompile(`<input>:(\d+):(\d+)|^(?:parser error: )?(\d+):(\d+):`)

// syntaxPlace takes the place out of an error of the parser, whose text quotes the rules.
func syntaxPlace(err error) string {
	m := inputPlace.FindStringSubmatch(err.Error())
	if m == nil {
		return "rules"
	}
	return "rules:" + m[1] + m[3] + ":" + m[2] + m[4]
}

// plain says what a policy is plainly about; false: it never applies to an opening of a group.
func (r *rules) plain(p *cedar.Policy) (rule, bool) {
	tree := (*ast.Policy)(p.AST())
	one := rule{policy: p, scope: tree.Principal}
	if eq, ok := tree.Action.(ast.ScopeTypeEq); ok && eq.Entity != types.NewEntityUID(actionType, openAction) {
		return one, false
	}
	switch scope := tree.Resource.(type) {
	case ast.ScopeTypeEq:
		if scope.Entity.Type != groupType {
			return one, false
		}
		one.group = string(scope.Entity.ID)
	case ast.ScopeTypeIs:
		if scope.Type != groupType {
			return one, false
		}
	}
	if len(tree.Conditions) > 0 && tree.Conditions[0].Condition == ast.ConditionWhen {
		one.purpose = firstPurpose(tree.Conditions[0].Body)
	}
	return one, true
}

// firstPurpose finds the purpose that a condition compares first. Only the first comparison may decide beforehand: what
// stands before another one could fail, and a failing rule denies.
func firstPurpose(n ast.IsNode) string {
	for {
		and, ok := n.(ast.NodeTypeAnd)
		if !ok {
			break
		}
		n = and.Left
	}
	eq, ok := n.(ast.NodeTypeEquals)
	if !ok {
		return ""
	}
	access, ok := eq.Left.(ast.NodeTypeAccess)
	if !ok || access.Value != contextPurpose {
		return ""
	}
	if v, ok := access.Arg.(ast.NodeTypeVariable); !ok || v.Name != "context" {
		return ""
	}
	if v, ok := eq.Right.(ast.NodeValue); ok {
		if s, ok := v.Value.(types.String); ok {
			return string(s)
		}
	}
	return ""
}

// The attributes of a request's context.
const (
	contextPurpose types.String = "purpose"
	contextReason  types.String = "reason"
	contextCase    types.String = "case"
	contextKind    types.String = "kind"
)

// request is an opening as rules see it, and the rules that may be about it.
type request struct {
	principal types.EntityUID
	context   types.Record
	purpose   string
	rules     []rule
}

// request leaves out rules that are about another purpose, or whose scope is another principal: that needs no
// evaluation, and cannot fail.
func (r *rules) request(actor event.Actor, purpose string, why Reason) request {
	q := request{
		principal: types.NewEntityUID(types.EntityType(entityType(actor.Kind)), types.String(actor.ID)),
		purpose:   purpose,
		context: types.NewRecord(types.RecordMap{
			contextPurpose: types.String(purpose), contextReason: types.String(why.Code),
			contextCase: types.String(why.Case), contextKind: types.String(actor.Kind),
		}),
	}
	above := r.above(q.principal)
	for _, one := range r.list {
		if (one.purpose == "" || one.purpose == purpose) && one.principal(q.principal, above) {
			q.rules = append(q.rules, one)
		}
	}
	return q
}

// above is an entity and all it is in.
func (r *rules) above(e types.EntityUID) map[types.EntityUID]bool {
	found := map[types.EntityUID]bool{e: true}
	for todo := []types.EntityUID{e}; len(todo) > 0; {
		last := len(todo) - 1
		parents := r.entities[todo[last]].Parents
		todo = todo[:last]
		for p := range parents.All() {
			if !found[p] {
				found[p] = true
				todo = append(todo, p)
			}
		}
	}
	return found
}

// principal reports whether the scope of a rule takes a principal.
func (one *rule) principal(p types.EntityUID, above map[types.EntityUID]bool) bool {
	switch scope := one.scope.(type) {
	case ast.ScopeTypeEq:
		return scope.Entity == p
	case ast.ScopeTypeIn:
		return above[scope.Entity]
	case ast.ScopeTypeIs:
		return scope.Type == p.Type
	case ast.ScopeTypeIsIn:
		return scope.Type == p.Type && above[scope.Entity]
	}
	return true
}

// permits asks the rules about one group. The error is the place of a rule that failed.
func (r *rules) permits(q request, group string) (bool, error) {
	decision, diagnostic := cedar.Authorize(about{q.rules, group}, r.entities, cedar.Request{
		Principal: q.principal, Action: types.NewEntityUID(actionType, openAction),
		Resource: types.NewEntityUID(groupType, types.String(group)), Context: q.context,
	})
	if failed := diagnostic.Errors; len(failed) > 0 {
		first := slices.MinFunc(failed, func(a, b cedar.DiagnosticError) int { return a.Position.Offset - b.Position.Offset })
		return false, denied("policy_error", "open for purpose %s: the rule at line %d, column %d of the policy fails",
			q.purpose, first.Position.Line, first.Position.Column).Hint("test that an attribute is there before using it")
	}
	return decision == cedar.Allow, nil
}

// about are the rules that may be about a group.
type about struct {
	list  []rule
	group string
}

// All gives the policies.
func (a about) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for i := range a.list {
			one := &a.list[i]
			if (one.group == "" || one.group == a.group) && !yield("", one.policy) {
				return
			}
		}
	}
}
