package storage

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lethe-es/lethe/event"
)

// Term is one thing the inverted index knows of an event. Hash stands for the thing (an entity, a type, …), Role
// tells in which relation role it was met. A hash may collide: hits are rechecked on the record.
type Term struct {
	Hash uint64
	Role string
}

// IndexKey derives the key of term hashes from the store's secret, so that a stolen index does not confirm guesses.
func IndexKey(secret [32]byte) (key [32]byte) {
	return derive(secret, "lethe/index/1")
}

// ImportKey derives the key that turns imported record keys into event ids.
func ImportKey(secret [32]byte) [32]byte { return derive(secret, "lethe/import/1") }

// RequestKey derives the key of request digests.
func RequestKey(secret [32]byte) [32]byte { return derive(secret, "lethe/request/1") }

func derive(secret [32]byte, label string) (key [32]byte) {
	b, err := hkdf.Expand(sha256.New, secret[:], label, len(key))
	if err != nil {
		panic("hkdf.Expand of 32 bytes cannot fail")
	}
	copy(key[:], b)
	return key
}

// The kinds of terms; they are on disk inside the hashes, for ever.
const (
	termEntity = iota + 1
	termType
	termKind
	termMetadata
	termCorrelation
	termCausation
)

// Terms makes term hashes: the first 8 bytes of SHA-256(key 32 ‖ term kind 1 ‖ length of first 2 ‖ first ‖ second).
type Terms struct {
	key     [32]byte
	indexed []string
}

// NewTerms makes terms for one store.
func NewTerms(id Identity) *Terms {
	return &Terms{key: IndexKey(id.Secret), indexed: id.Indexed}
}

func (t *Terms) hash(kind byte, first, second string) uint64 {
	var buf [32 + 1 + 2 + 512]byte
	b := append(buf[:0], t.key[:]...)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(first)))
	b = append(append(b, first...), second...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}

// Append adds the terms of a draft in stream s: its type, its kind, each relation, correlation, causation, and the
// metadata pairs whose keys are indexed.
func (t *Terms) Append(terms []Term, s event.StreamID, d *event.Draft) []Term {
	terms = append(terms, Term{Hash: t.hash(termType, d.Type, "")}, Term{Hash: t.hash(termKind, s.Kind, "")})
	for _, r := range d.Relations {
		terms = append(terms, Term{Hash: t.hash(termEntity, r.Kind, r.ID), Role: r.Role})
	}
	if d.Correlation != "" {
		terms = append(terms, Term{Hash: t.hash(termCorrelation, d.Correlation, "")})
	}
	if !d.Causation.IsZero() {
		terms = append(terms, Term{Hash: t.hash(termCausation, string(d.Causation[:]), "")})
	}
	for _, k := range t.indexed {
		if v, ok := d.Metadata[k]; ok {
			terms = append(terms, Term{Hash: t.hash(termMetadata, k, v)})
		}
	}
	return terms
}

// Plan is how the index answers one Match: positions that are in at least one list of every group.
// No groups: the index does not narrow it. Not every part of the match need be in the plan: hits are rechecked.
type Plan [][]Term

// Plan translates a match. A metadata key that is not indexed is event.ErrInvalid with code not_indexed.
func (t *Terms) Plan(m *event.Match) (Plan, error) {
	var plan Plan
	for k, v := range m.Metadata {
		if !slices.Contains(t.indexed, k) {
			return nil, event.Invalid("not_indexed", "query metadata: key %s is not declared indexed", k).
				Hint("declare it when the store is opened")
		}
		plan = append(plan, []Term{{Hash: t.hash(termMetadata, k, v)}})
	}
	for _, r := range m.Relations {
		plan = append(plan, []Term{{Hash: t.hash(termEntity, r.Kind, r.ID), Role: r.Role}})
	}
	if m.Correlation != "" {
		plan = append(plan, []Term{{Hash: t.hash(termCorrelation, m.Correlation, "")}})
	}
	if !m.Causation.IsZero() {
		plan = append(plan, []Term{{Hash: t.hash(termCausation, string(m.Causation[:]), "")}})
	}
	plan = appendAlternatives(plan, m.Types, func(s string) uint64 { return t.hash(termType, s, "") })
	if len(plan) > 0 {
		return plan, nil // a kind is in most events of a store: its list costs more to walk than the recheck it saves
	}
	return appendAlternatives(plan, m.Kinds, func(s string) uint64 { return t.hash(termKind, s, "") }), nil
}

func appendAlternatives(plan Plan, names []string, hash func(string) uint64) Plan {
	if len(names) == 0 {
		return plan
	}
	group := make([]Term, len(names))
	for i, name := range names {
		group[i].Hash = hash(name)
	}
	return append(plan, group)
}

// ErrRefused is what the engine's own checks of a batch say; it is a defect of the sequencer, never of a caller.
var ErrRefused = errors.New("batch does not continue the log")

// IndexedKeys is a declaration of metadata keys as an identity holds it: each once, sorted.
func IndexedKeys(keys []string) []string { return slices.Compact(slices.Sorted(slices.Values(keys))) }

// CheckIndexed refuses keys that no event can have.
func CheckIndexed(keys []string) error {
	for _, key := range keys {
		if err := (&event.Draft{Type: "T", Metadata: map[string]string{key: ""}}).ValidateEnvelope(); err != nil {
			return err
		}
	}
	return nil
}

// SameIndexed tells whether two declarations are of the same keys.
func SameIndexed(a, b []string) bool { return slices.Equal(IndexedKeys(a), IndexedKeys(b)) }
