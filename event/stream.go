package event

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Position is a place in the whole log, from 1, gapless, equal to commit order. 0 is before the first event.
type Position uint64

// Version is a place in one stream, from 1, gapless. 0 is before the first event of the stream.
type Version uint64

// SystemKind is the kind of Lethe's own streams, and with a dot the prefix of its event types.
const SystemKind = "lethe"

// StreamID names a stream: kind/id.
type StreamID struct{ Kind, ID string }

// Stream is the id of the stream kind/id.
func Stream(kind, id string) StreamID { return StreamID{Kind: kind, ID: id} }

// String is kind/id.
func (s StreamID) String() string { return s.Kind + "/" + s.ID }

// IsZero reports whether no stream is named.
func (s StreamID) IsZero() bool { return s == StreamID{} }

// ParseStream reads kind/id; the id may itself hold slashes.
func ParseStream(text string) (StreamID, error) {
	kind, id, ok := strings.Cut(text, "/")
	s := StreamID{Kind: kind, ID: id}
	if !ok {
		return StreamID{}, Invalid("malformed_stream", "parse stream: want kind/id, such as application/173688")
	}
	return s, s.Validate()
}

// ParseEntity is ParseStream for a message that is not shown to others, such as the body of a call: the id may be a
// direct identifier of a person (an e-mail address), which becomes an alias before anything is stored.
func ParseEntity(text string) (StreamID, error) {
	kind, id, ok := strings.Cut(text, "/")
	if !ok {
		return StreamID{}, Invalid("malformed_stream", "parse stream: want kind/id, such as application/173688")
	}
	s := StreamID{Kind: kind, ID: id}
	return s, s.ValidateForm()
}

// ValidateForm is Validate, but for direct identifiers.
func (s StreamID) ValidateForm() error {
	if err := validateName("stream kind", s.Kind); err != nil {
		return err
	}
	return validateForm("stream id", s.Kind, s.ID)
}

// Validate checks kind and id.
func (s StreamID) Validate() error {
	if err := validateName("stream kind", s.Kind); err != nil {
		return err
	}
	return validateRef("stream id", s.Kind, s.ID)
}

// Relation is a typed link of an event to an entity: who issued it, whom it affects, whose data it holds.
type Relation struct{ Role, Kind, ID string }

// RoleSubject is the role of a person whose data an event holds; it is added for who is not related to it otherwise.
const RoleSubject = "subject"

// RoleIssuer is the role of who caused an event; sessions add it for their actor.
const RoleIssuer = "issuer"

// String is role=kind/id, the form of command lines and maps.
func (r Relation) String() string { return r.Role + "=" + r.Kind + "/" + r.ID }

// ParseRelation reads role=kind/id.
func ParseRelation(text string) (Relation, error) {
	role, entity, ok := strings.Cut(text, "=")
	kind, id, ok2 := strings.Cut(entity, "/")
	if !ok || !ok2 {
		return Relation{}, Invalid("malformed_relation",
			"parse relation: want role=kind/id, such as issuer=employee/112")
	}
	r := Relation{Role: role, Kind: kind, ID: id}
	return r, r.Validate()
}

// Validate checks role, kind and id.
func (r Relation) Validate() error {
	if err := validateName("relation role", r.Role); err != nil {
		return err
	}
	return r.validateEntity()
}

func (r Relation) validateEntity() error {
	if err := validateName("relation kind", r.Kind); err != nil {
		return err
	}
	return validateRef("relation id", r.Kind, r.ID)
}

// compare orders relations by role, kind, id: the canonical order of the set.
func (r Relation) compare(o Relation) int {
	if c := strings.Compare(r.Role, o.Role); c != 0 {
		return c
	}
	if c := strings.Compare(r.Kind, o.Kind); c != 0 {
		return c
	}
	return strings.Compare(r.ID, o.ID)
}

// ActorID is the id of an actor within its kind.
type ActorID string

// Actor is who acts: an entity of some kind. The zero Actor is nobody named.
type Actor struct {
	Kind string
	ID   ActorID
}

// IsZero reports whether nobody is named.
func (a Actor) IsZero() bool { return a == Actor{} }

// String is kind/id.
func (a Actor) String() string { return a.Kind + "/" + string(a.ID) }

// ParseActor reads kind/id.
func ParseActor(text string) (Actor, error) {
	s, err := ParseStream(text)
	if err != nil {
		return Actor{}, Invalid("malformed_actor", "parse actor: want kind/id, such as employee/7")
	}
	return Actor{Kind: s.Kind, ID: ActorID(s.ID)}, nil
}

// Issuer is the relation an actor's events carry.
func (a Actor) Issuer() Relation { return Relation{Role: RoleIssuer, Kind: a.Kind, ID: string(a.ID)} }

// Expected is what an append expects of a stream's version.
type Expected int64

const (
	// Any expects nothing.
	Any Expected = -1
	// None expects that the stream has no events.
	None Expected = 0
)

// At expects the stream to be exactly at version v.
func At(v Version) Expected { return Expected(v) }

// Allows reports whether a stream at version v meets the expectation.
func (x Expected) Allows(v Version) bool { return x == Any || Version(x) == v }

func (x Expected) String() string {
	switch x {
	case Any:
		return "any version"
	case None:
		return "no events yet"
	}
	return fmt.Sprintf("version %d", int64(x))
}

// MaxIDBytes bounds ids of streams and entities, correlation, and metadata keys.
const MaxIDBytes = 255

// validateName checks kinds, roles and metadata keys: a letter, then letters, digits, '_', '.', '-', ':'; ≤ 64.
func validateName(what, s string) error {
	if s == "" || len(s) > 64 || !isLetter(s[0]) {
		return Invalid("malformed_name", "check %s: want 1 to 64 letters, digits or _ . - :, a letter first", what)
	}
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && !(c >= '0' && c <= '9') && !strings.ContainsRune("_.-:", rune(c)) {
			return Invalid("malformed_name", "check %s: only letters, digits and _ . - : are allowed", what)
		}
	}
	return nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// validateRef checks the id of an entity: opaque, printable, and not a direct identifier.
func validateRef(what, kind, id string) error {
	if err := validateForm(what, kind, id); err != nil {
		return err
	}
	if looksLikeEmail(id) {
		return Invalid("personal_reference", "check %s of kind %s: it looks like an e-mail address", what, kind).
			Hint("use an opaque id, or declare the kind a person: ids stay readable in the log for ever")
	}
	return nil
}

// validateForm is validateRef for a reference that may still become an alias.
func validateForm(what, kind, id string) error {
	if id == "" || len(id) > MaxIDBytes || !isPrintable(id, false) {
		return Invalid("malformed_reference",
			"check %s of kind %s: want 1 to %d bytes of printable UTF-8 without spaces", what, kind, MaxIDBytes)
	}
	return nil
}

func isPrintable(s string, spaces bool) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == ' ' && spaces {
			continue
		}
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

// looksLikeEmail is deliberately broad (local@domain.tld, also percent-encoded): a false alarm costs a rename,
// a miss stays in the log for ever.
func looksLikeEmail(s string) bool {
	if !strings.ContainsAny(s, "@%") {
		return false
	}
	local, domain, ok := strings.Cut(strings.ReplaceAll(strings.ToLower(s), "%40", "@"), "@")
	if !ok || local == "" {
		return false
	}
	dot := strings.LastIndexByte(domain, '.')
	return dot > 0 && dot < len(domain)-1
}
