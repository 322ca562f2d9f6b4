package token

import (
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// maxKinds bounds a scope. Narrow may add this many names to an alternative, which may hold 256 (event.Filter).
const maxKinds = 64

// Scope is what a token allows in its store. No permission holds another: an administrator who shall read needs Read.
type Scope struct {
	Read   bool     // streams, queries, subscriptions
	Append bool     // events; a condition says something of events too, so it must be covered (Covers)
	Admin  bool     // everything else: tokens, followers, checks
	Open   bool     // personal data, for a purpose and in the name of whom a call names; and looking up persons
	Kinds  []string // only streams of these kinds; none: every kind, Lethe's own among them
}

// ScopeOf is the scope of a token that is kept.
func ScopeOf(t storage.Token) Scope {
	return Scope{Read: t.Read, Append: t.Append, Admin: t.Admin, Open: t.Open, Kinds: t.Kinds}
}

// Validate checks that a scope allows something, and that its kinds are kinds. event.ErrInvalid, malformed_scope.
func (s Scope) Validate() error {
	switch {
	case !s.Read && !s.Append && !s.Admin && !s.Open:
		return malformedScope("it allows nothing", "give it read, append, admin or open")
	case s.Admin && len(s.Kinds) > 0:
		return malformedScope("administration is not limited to kinds", "leave out the kinds, or admin")
	case len(s.Kinds) > maxKinds:
		return malformedScope("it has more than 64 kinds", "make several tokens, or one for all kinds")
	}
	for i, kind := range s.Kinds {
		switch {
		case event.Stream(kind, "x").Validate() != nil:
			return malformedScope("a kind is no name", "give kinds of streams, such as application")
		case kind == event.SystemKind:
			return malformedScope("kind lethe is Lethe's own", "leave it out: who reads all kinds reads it too")
		case slices.Contains(s.Kinds[:i], kind):
			return malformedScope("a kind is in it twice", "give each once")
		}
	}
	return nil
}

func malformedScope(cause, next string) error {
	return event.Invalid("malformed_scope", "check scope: %s", cause).Hint("%s", next)
}

// AllowsKind reports whether the scope reaches streams of a kind.
func (s Scope) AllowsKind(kind string) bool {
	return len(s.Kinds) == 0 || slices.Contains(s.Kinds, kind)
}

// Narrow is what a query or subscription of this scope may see: the filter that means an event exactly if f means it
// and its kind is allowed. some is false if that is none; the filter is then empty, which would mean every event, and
// must not be used. f is left as it is; the two may share what they refer to.
func (s Scope) Narrow(f event.Filter) (narrow event.Filter, some bool) {
	if len(s.Kinds) == 0 {
		return f, true
	}
	if len(f) == 0 {
		f = event.Filter{{}}
	}
	for _, m := range f {
		if !m.Stream.IsZero() {
			if s.AllowsKind(m.Stream.Kind) {
				narrow = append(narrow, m)
			}
			continue
		}
		if m.Kinds = s.among(m.Kinds); len(m.Kinds) > 0 {
			narrow = append(narrow, m)
		}
	}
	return narrow, len(narrow) > 0
}

// among are the kinds that the scope allows of those named; of none named, all it allows.
func (s Scope) among(named []string) []string {
	if len(named) == 0 {
		return slices.Clone(s.Kinds)
	}
	var both []string
	for _, kind := range named {
		if s.AllowsKind(kind) {
			both = append(both, kind)
		}
	}
	return both
}

// Covers reports whether f, as it is written, asks about allowed kinds only. An append condition must be covered: to
// narrow it would let an append pass that its caller wanted refused, and to answer it would say what other kinds hold.
func (s Scope) Covers(f event.Filter) bool {
	if len(s.Kinds) == 0 {
		return true
	}
	return len(f) > 0 && !slices.ContainsFunc(f, func(m event.Match) bool { return !s.covers(m) })
}

func (s Scope) covers(m event.Match) bool {
	if !m.Stream.IsZero() {
		return s.AllowsKind(m.Stream.Kind)
	}
	return len(m.Kinds) > 0 && !slices.ContainsFunc(m.Kinds, func(kind string) bool { return !s.AllowsKind(kind) })
}
