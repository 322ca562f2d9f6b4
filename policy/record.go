package policy

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// The types of the events of this package. TypeSet is in stream lethe/policy, the others in the Stream of their person.
const (
	TypeSet                 = "lethe.PolicySet"
	TypeConsentRecorded     = "lethe.ConsentRecorded"
	TypeConsentWithdrawn    = "lethe.ConsentWithdrawn"
	TypeSubjectRestricted   = "lethe.SubjectRestricted"
	TypeRestrictionReleased = "lethe.RestrictionReleased"
	TypeObjectionRecorded   = "lethe.ObjectionRecorded"
	TypeObjectionBalanced   = "lethe.ObjectionBalanced"
	TypeChildNoted          = "lethe.ChildNoted"
	TypeChildCleared        = "lethe.ChildCleared"
)

// Record is the data of one event about a person: KRIDs, names of the policy, codes, ids of cases and times, and no
// words that could name somebody. The types are ConsentRecorded, ConsentWithdrawn, SubjectRestricted,
// RestrictionReleased, ObjectionRecorded, ObjectionBalanced, ChildNoted and ChildCleared.
type Record interface {
	// Draft is the event, for the Stream of the Subject. A record that is not complete, or holds words, is
	// event.ErrInvalid with code record_invalid.
	Draft() (event.Draft, error)
	// Subject is the person.
	Subject() event.KRID
	// Narrows reports whether it can only end what was allowed. What narrows raises a fence in the commit of its
	// event; both are applied to the keyring after it.
	Narrows() bool
	// check says what is wrong with each field.
	check(c *recordCheck)
}

// ConsentAnswer is what a person answered when asked for consent.
type ConsentAnswer string

// The answers.
const (
	Given   ConsentAnswer = "given"
	Refused ConsentAnswer = "refused"
)

// ConsentRecorded is a consent, in the shape of a record of ISO/IEC TS 27560. The id of its event is the record's.
type ConsentRecorded struct {
	Principal    event.KRID    `json:"principal"`
	Controller   string        `json:"controller"`
	Purpose      string        `json:"purpose"`
	Basis        Basis         `json:"basis"`            // Consent
	Groups       []string      `json:"groups,omitempty"` // empty: all of the purpose, whichever they are
	Notice       Notice        `json:"notice"`           // what the person was shown
	Method       string        `json:"method"`           // code of how it was collected, such as web-form
	At           time.Time     `json:"at"`               // when it was collected
	State        ConsentAnswer `json:"state"`
	Explicit     bool          `json:"explicit,omitzero"` // by an express statement
	Until        time.Time     `json:"until,omitzero"`    // when it expires
	Recipients   []string      `json:"recipients,omitempty"`
	Jurisdiction string        `json:"jurisdiction,omitzero"` // ISO 3166, such as DE
	Withdrawal   string        `json:"withdrawal,omitzero"`   // code of how it can be withdrawn
	Guardian     event.KRID    `json:"guardian,omitzero"`     // who gave it for a child
	Case         string        `json:"case,omitzero"`
}

// ConsentWithdrawn ends consents: those that are named, and all for the purposes that are named.
type ConsentWithdrawn struct {
	Principal event.KRID `json:"principal"`
	Consents  []event.ID `json:"consents,omitempty"`
	Purposes  []string   `json:"purposes,omitempty"`
	At        time.Time  `json:"at"` // what was given up to then for Purposes has ended
	Method    string     `json:"method,omitzero"`
	Case      string     `json:"case,omitzero"`
}

// RestrictionGround is why processing is restricted: a letter of Article 18(1) of the GDPR.
type RestrictionGround string

// The grounds of restrictions.
const (
	AccuracyContested RestrictionGround = "accuracy"  // (a)
	Unlawful          RestrictionGround = "unlawful"  // (b)
	NeededForClaims   RestrictionGround = "claims"    // (c)
	ObjectionRaised   RestrictionGround = "objection" // (d)
)

// SubjectRestricted restricts processing. The id of its event names the restriction.
type SubjectRestricted struct {
	Principal event.KRID        `json:"principal"`
	Groups    []string          `json:"groups,omitempty"` // empty: all
	Ground    RestrictionGround `json:"ground"`
	Case      string            `json:"case,omitzero"`
}

// RestrictionReleased ends a restriction.
type RestrictionReleased struct {
	Principal   event.KRID `json:"principal"`
	Restriction event.ID   `json:"restriction"`
	Ground      string     `json:"ground"`            // code
	Informed    time.Time  `json:"informed,omitzero"` // when the person was told that it would end (Article 18(3))
	Case        string     `json:"case,omitzero"`
}

// ObjectionRecorded is an objection. The id of its event names it. Without purposes, and if it is not against
// marketing, it is against all purposes that one can object to.
type ObjectionRecorded struct {
	Principal event.KRID `json:"principal"`
	Purposes  []string   `json:"purposes,omitempty"`
	Marketing bool       `json:"marketing,omitzero"` // against all direct marketing (Article 21(2))
	At        time.Time  `json:"at"`
	Method    string     `json:"method,omitzero"`
	Case      string     `json:"case,omitzero"`
}

// ObjectionBalanced decides an objection that is not against marketing. Of several decisions the latest counts.
type ObjectionBalanced struct {
	Principal event.KRID `json:"principal"`
	Objection event.ID   `json:"objection"`
	Outcome   Outcome    `json:"outcome"`
	At        time.Time  `json:"at"`
	Ground    string     `json:"ground"` // code
	Case      string     `json:"case,omitzero"`
}

// ChildNoted says that a person is a child. The id of its event names the note.
type ChildNoted struct {
	Principal event.KRID `json:"principal"`
	Until     string     `json:"until,omitzero"` // last month of it, such as 2031-04: a day would tell the birth date
	Guardian  event.KRID `json:"guardian,omitzero"`
	Case      string     `json:"case,omitzero"`
}

// ChildCleared ends a note before its time.
type ChildCleared struct {
	Principal event.KRID `json:"principal"`
	Note      event.ID   `json:"note"`
	At        time.Time  `json:"at"`     // from then on the person is no child
	Ground    string     `json:"ground"` // code
	Case      string     `json:"case,omitzero"`
}

// Subject is the person.
func (r ConsentRecorded) Subject() event.KRID     { return r.Principal }
func (r ConsentWithdrawn) Subject() event.KRID    { return r.Principal }
func (r SubjectRestricted) Subject() event.KRID   { return r.Principal }
func (r RestrictionReleased) Subject() event.KRID { return r.Principal }
func (r ObjectionRecorded) Subject() event.KRID   { return r.Principal }
func (r ObjectionBalanced) Subject() event.KRID   { return r.Principal }
func (r ChildNoted) Subject() event.KRID          { return r.Principal }
func (r ChildCleared) Subject() event.KRID        { return r.Principal }

// Narrows reports whether it can only end what was allowed.
func (r ConsentRecorded) Narrows() bool     { return r.State == Refused }
func (r ConsentWithdrawn) Narrows() bool    { return true }
func (r SubjectRestricted) Narrows() bool   { return true }
func (r RestrictionReleased) Narrows() bool { return false }
func (r ObjectionRecorded) Narrows() bool   { return true }
func (r ObjectionBalanced) Narrows() bool   { return r.Outcome == Upheld }
func (r ChildNoted) Narrows() bool          { return true }
func (r ChildCleared) Narrows() bool        { return false }

// Draft is the event. Times are kept to the microsecond, in UTC.
func (r ConsentRecorded) Draft() (event.Draft, error) {
	r.At, r.Until = micros(r.At), micros(r.Until)
	return draft(TypeConsentRecorded, r)
}

// Draft is the event.
func (r ConsentWithdrawn) Draft() (event.Draft, error) {
	r.At = micros(r.At)
	return draft(TypeConsentWithdrawn, r)
}

// Draft is the event.
func (r SubjectRestricted) Draft() (event.Draft, error) { return draft(TypeSubjectRestricted, r) }

// Draft is the event.
func (r RestrictionReleased) Draft() (event.Draft, error) {
	r.Informed = micros(r.Informed)
	return draft(TypeRestrictionReleased, r)
}

// Draft is the event.
func (r ObjectionRecorded) Draft() (event.Draft, error) {
	r.At = micros(r.At)
	return draft(TypeObjectionRecorded, r)
}

// Draft is the event.
func (r ObjectionBalanced) Draft() (event.Draft, error) {
	r.At = micros(r.At)
	return draft(TypeObjectionBalanced, r)
}

// Draft is the event.
func (r ChildNoted) Draft() (event.Draft, error) { return draft(TypeChildNoted, r) }

// Draft is the event.
func (r ChildCleared) Draft() (event.Draft, error) {
	r.At = micros(r.At)
	return draft(TypeChildCleared, r)
}

func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return event.FromMicros(event.Micros(t))
}

func draft(typ string, r Record) (event.Draft, error) {
	if err := checkRecord(typ, r); err != nil {
		return event.Draft{}, err
	}
	data, err := json.Marshal(r, json.Deterministic(true))
	if err != nil {
		return event.Draft{}, event.Invalid("record_invalid", "make %s: a time or a text cannot be written", typ)
	}
	d := event.Draft{Type: typ, Data: data}
	return d, d.Validate()
}

// ParseRecord reads the data of an event about a person, strictly. It is event.ErrFormat for a type that is not one of
// a Record, and event.ErrInvalid with code record_invalid for data that Draft would not make.
func ParseRecord(typ string, data []byte) (Record, error) {
	switch typ {
	case TypeConsentRecorded:
		return parseRecord[ConsentRecorded](typ, data)
	case TypeConsentWithdrawn:
		return parseRecord[ConsentWithdrawn](typ, data)
	case TypeSubjectRestricted:
		return parseRecord[SubjectRestricted](typ, data)
	case TypeRestrictionReleased:
		return parseRecord[RestrictionReleased](typ, data)
	case TypeObjectionRecorded:
		return parseRecord[ObjectionRecorded](typ, data)
	case TypeObjectionBalanced:
		return parseRecord[ObjectionBalanced](typ, data)
	case TypeChildNoted:
		return parseRecord[ChildNoted](typ, data)
	case TypeChildCleared:
		return parseRecord[ChildCleared](typ, data)
	}
	return nil, event.Errorf(event.ErrFormat, "read event about a person: its type is not known")
}

func parseRecord[R Record](typ string, data []byte) (Record, error) {
	var r R
	if len(data) > maxRecordBytes || !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, event.Invalid("record_invalid", "read %s: want a JSON object of at most %d bytes", typ, maxRecordBytes)
	}
	err := json.Unmarshal(data, &r, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false))
	if err != nil {
		return nil, event.Invalid("record_invalid", "read %s: a field is not known, repeated, or has another form", typ)
	}
	return r, checkRecord(typ, r)
}

// maxRecordBytes bounds the data of one record; the longest lists fit in.
const maxRecordBytes = 64 << 10
