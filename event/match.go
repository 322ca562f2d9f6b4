package event

import "slices"

// Match describes events: all that is given must hold. The zero Match means every event.
type Match struct {
	Types       []string          // any of these types
	Kinds       []string          // in a stream of any of these kinds
	Stream      StreamID          // in this stream
	Relations   []Relation        // all of these; an empty Role means any role
	Metadata    map[string]string // all of these pairs; keys must be declared indexed
	Correlation string            // of this operation
	Causation   ID                // caused by this event or command
}

// Filter is a set of descriptions of which one must hold. The empty Filter means every event.
type Filter []Match

// Condition makes an append fail if an event that matches Filter exists after position After.
type Condition struct {
	Filter Filter
	After  Position
}

// Matches reports whether the filter means e. The same function answers queries, subscriptions and append
// conditions, so they cannot disagree. Of a pruned event only type, stream and kind are left to match.
func (f Filter) Matches(e *Event) bool {
	if len(f) == 0 {
		return true
	}
	for i := range f {
		if f[i].Matches(e) {
			return true
		}
	}
	return false
}

// Matches reports whether the description means e.
func (m *Match) Matches(e *Event) bool {
	if !m.MatchesHeader(e.Type, e.Stream) {
		return false
	}
	if !m.NeedsBody() {
		return true
	}
	if e.Pruned || m.Correlation != "" && m.Correlation != e.Correlation ||
		!m.Causation.IsZero() && m.Causation != e.Causation {
		return false
	}
	for _, r := range m.Relations {
		if !slices.ContainsFunc(e.Relations, r.covers) {
			return false
		}
	}
	for k, v := range m.Metadata {
		if got, ok := e.Metadata[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// covers reports whether the relation of a Match means got.
func (r Relation) covers(got Relation) bool {
	return r.Kind == got.Kind && r.ID == got.ID && (r.Role == "" || r.Role == got.Role)
}

// MatchesHeader checks the part that is decided by type and stream alone.
func (m *Match) MatchesHeader(typ string, s StreamID) bool {
	return (len(m.Types) == 0 || slices.Contains(m.Types, typ)) &&
		(len(m.Kinds) == 0 || slices.Contains(m.Kinds, s.Kind)) &&
		(m.Stream.IsZero() || m.Stream == s)
}

// NeedsBody reports whether type and stream alone cannot decide it.
func (m *Match) NeedsBody() bool {
	return len(m.Relations) > 0 || len(m.Metadata) > 0 || m.Correlation != "" || !m.Causation.IsZero()
}

// Validate checks every name in the filter.
func (f Filter) Validate() error {
	if len(f) > 64 {
		return Invalid("oversized", "check filter: %d alternatives are more than 64", len(f))
	}
	for i := range f {
		if err := f[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (m *Match) validate() error {
	if len(m.Types)+len(m.Kinds)+len(m.Relations)+len(m.Metadata) > 256 {
		return Invalid("oversized", "check filter: more than 256 names in one alternative")
	}
	for _, t := range m.Types {
		if t == "" || len(t) > MaxTypeBytes || !isPrintable(t, true) {
			return Invalid("malformed_type", "check filter: want types of 1 to %d bytes of printable UTF-8", MaxTypeBytes)
		}
	}
	for _, k := range m.Kinds {
		if err := validateName("stream kind", k); err != nil {
			return err
		}
	}
	if !m.Stream.IsZero() {
		if err := m.Stream.ValidateForm(); err != nil {
			return err
		}
	}
	for _, r := range m.Relations {
		if err := (StreamID{Kind: r.Kind, ID: r.ID}).ValidateForm(); err != nil {
			return err
		}
	}
	for k := range m.Metadata {
		if err := validateName("metadata key", k); err != nil {
			return err
		}
	}
	return nil
}

// NamesEntities reports whether the filter names a stream or an entity.
func (f Filter) NamesEntities() bool {
	return slices.ContainsFunc(f, func(m Match) bool { return !m.Stream.IsZero() || len(m.Relations) > 0 })
}
