package policy

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// Standing is what a person has said and what was decided for them, as far as verdicts need it. The zero Standing is
// that of most people: nothing. Times are microseconds since 1970 UTC. It holds no personal value; a nil *Standing
// reads as empty.
type Standing struct {
	Restrictions []Restriction  `json:"r,omitempty"`
	Consents     []ConsentState `json:"c,omitempty"`
	Withdrawals  []Withdrawal   `json:"w,omitempty"`
	Objections   []Objection    `json:"o,omitempty"`
	Minorities   []Minority     `json:"m,omitempty"`
	Ended        []event.ID     `json:"e,omitempty"` // released restrictions, newest last; they do not begin again
}

// Restriction is a restriction of processing (GDPR, Article 18).
type Restriction struct {
	ID     event.ID `json:"i"`
	Groups []string `json:"g,omitempty"` // empty: all
}

// ConsentState is a consent that was given and not withdrawn.
type ConsentState struct {
	ID       event.ID `json:"i"`
	Purpose  string   `json:"p"`
	Groups   []string `json:"g,omitempty"` // empty: all of the purpose
	Notice   string   `json:"n,omitzero"`  // version the person saw
	At       int64    `json:"a"`           // when it was given
	Until    int64    `json:"u,omitzero"`  // when it expires; 0: not by itself
	Explicit bool     `json:"x,omitzero"`  // by an express statement (Article 9(2)(a))
	Guardian bool     `json:"k,omitzero"`  // given by who holds parental responsibility (Article 8)
}

// Withdrawal ends consents: the one named, whenever it comes, or all for a purpose given up to a time. A refusal is one
// too.
type Withdrawal struct {
	Consent event.ID `json:"i,omitzero"` // zero: all for Purpose up to At
	Purpose string   `json:"p,omitzero"` // of the consent; empty if that was not known
	At      int64    `json:"a,omitzero"` // up to when consents end; when the consent was given
}

// Objection is an objection to processing (GDPR, Article 21).
type Objection struct {
	ID        event.ID `json:"i"`
	Purposes  []string `json:"p,omitempty"` // empty: if it is not against marketing, all that one can object to
	Marketing bool     `json:"m,omitzero"`  // against all direct marketing
	At        int64    `json:"a"`
	Outcome   Outcome  `json:"s,omitzero"`
	Decided   int64    `json:"d,omitzero"` // when; 0: not yet
}

// Outcome is how an objection was decided.
type Outcome string

// The outcomes of balancing interests.
const (
	Pending    Outcome = ""           // it has not been decided
	Upheld     Outcome = "upheld"     // processing has ended
	Overridden Outcome = "overridden" // there are compelling grounds to go on
)

// Minority says that the person is a child.
type Minority struct {
	ID    event.ID `json:"i"`
	Until int64    `json:"u,omitzero"` // when it ends or ended; 0: not known
}

// Empty reports whether nothing was ever said.
func (s *Standing) Empty() bool {
	return s == nil || len(s.Restrictions)+len(s.Consents)+len(s.Withdrawals)+len(s.Objections)+len(s.Minorities)+
		len(s.Ended) == 0
}

// standingText is a Standing as it is stored: JSON with short names, without what is empty.
type standingText struct {
	Version int `json:"v"`
	stored
}

// stored is a Standing without its methods, which would be asked to encode it.
type stored Standing

// MarshalBinary is the form in which a keyring record keeps a standing; of an empty one, no bytes.
func (s *Standing) MarshalBinary() ([]byte, error) {
	if s.Empty() {
		return nil, nil
	}
	return json.Marshal(standingText{1, stored(*s)}, json.Deterministic(true))
}

// UnmarshalBinary reads what MarshalBinary writes. A version or a name that is not known is event.ErrFormat, for it
// could narrow.
func (s *Standing) UnmarshalBinary(data []byte) error {
	if len(data) == 0 {
		*s = Standing{}
		return nil
	}
	var t standingText
	err := json.Unmarshal(data, &t, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false))
	if err != nil || t.Version != 1 {
		return event.Errorf(event.ErrFormat, "read standing of a person: a version or a part of it is not known")
	}
	*s = Standing(t.stored)
	return nil
}
