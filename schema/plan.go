package schema

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
)

// Notation is a language in which schemas are written. Package jsonschema and package protoschema each give one; a
// program hands those it wants to a Registry.
type Notation interface {
	// Name is what a stored schema names it by: "jsonschema" or "protobuf".
	Name() string
	// Compile reads a schema: hostile input, whose reading takes bounded time and memory. Errors are event.ErrInvalid
	// with code schema_… and name the place in the text, never what stands there if it could be a value.
	Compile(text []byte, o Options) (Plan, error)
}

// Options of a schema that its text does not hold.
type Options struct {
	Kind    string // of persons, where a notation's declarations name none; empty: "person"
	Message string // protobuf: full name of the message; empty: the only one that no other one uses
}

// Plan is a compiled schema. It is pure and safe for concurrent use.
type Plan interface {
	// Format is the format of the data it describes.
	Format() event.Format
	// Validate checks data as a producer hands it in. Its errors name places and rules, never values.
	Validate(data []byte) error
	// Locate finds every personal value and every reference to a person in data that is valid, ordered by path; values
	// that are declared and not there are among them, as ledger.Absent. It also takes what Cut returned: there every
	// value that was there is null, and references are KRIDs. f is reset first, its memory is used again, and it aliases
	// data. A subject that does not resolve is event.ErrInvalid with code subject_unresolved.
	Locate(data []byte, f *Findings) error
	// Cut is data without the values of f, and with alias[i] in the place of reference i. Holes are appended to holes,
	// value by value: where Fill finds the place again, NoHole for a value that is not there.
	Cut(data []byte, f *Findings, alias []event.KRID, holes []uint32) (open []byte, _ []uint32, err error)
	// Fill puts values back into what Cut returned, byte for byte what they were. Values that are not given stay null.
	Fill(open []byte, values []Filling) ([]byte, error)
	// Marks are the declarations of the schema, by path.
	Marks() []Place
}

// NoHole says that a value was not there, or has no place in the data.
const NoHole = ^uint32(0)

// Findings are the personal values and the references in one event's data.
type Findings struct {
	Values     []Value
	References []Reference
}

// Value is one personal value of one event.
type Value struct {
	Path     string           // JSON pointer, such as /items/0/name; protobuf: field numbers, such as /3/0/1
	State    ledger.SlotState // Absent, Null or Value
	Bytes    []byte           // JSON: the literal as it stands; protobuf: as package protoschema encodes it
	Mark     *Mark
	Subjects []Subject // whose it is: at least one, several if it is jointly theirs
	At, End  uint32    // where it lies in data, where the notation has use for it
}

// Reference is a reference to a person in one event's data.
type Reference struct {
	Path    string
	Kind    string // of the person
	Ref     string // the reference, or its KRID after Cut
	At, End uint32
}

// Subject says whose a value is. Which of the fields count depends on From.
type Subject struct {
	From Source
	Kind string // FromData
	Ref  string // FromData: the reference or KRID
	Role string // FromRelation
}

// Source is where the subject of a value stands.
type Source uint8

// The places where a subject may stand.
const (
	FromData     Source = 1 // in the data, where a pointer leads
	FromStream   Source = 2 // the entity whose stream the event is in
	FromRelation Source = 3 // the entity of the only relation with a role
	FromStore    Source = 4 // nobody: the store's own keyring
)

// Filling is a value to put back.
type Filling struct {
	Path  string
	Hole  uint32
	State ledger.SlotState
	Bytes []byte
}

// Mark is what a declaration says of a personal value.
type Mark struct {
	Group     string
	Retention string // class; empty: kept without a fixed end
	From      string // the retention counts from: "recorded", "occurred", or a JSON pointer to a date; empty: recorded
	Category  Category
	Origin    Origin
	Indexed   bool
	FreeText  bool
}

// Category is a kind of personal data that the law or good sense treats in its own way. Empty: none.
type Category string

// The categories.
const (
	Special   Category = "special"  // GDPR, Article 9
	Criminal  Category = "criminal" // GDPR, Article 10
	Child     Category = "child"    // GDPR, Article 8
	Location  Category = "location"
	Financial Category = "financial"
)

// Origin is where a value comes from; portability (GDPR, Article 20) covers the first two.
type Origin string

// The origins.
const (
	Provided Origin = "provided"
	Observed Origin = "observed"
	Derived  Origin = "derived"
	Inferred Origin = "inferred"
)

// Place is a declaration of a schema.
type Place struct {
	Path      string   // as in Value, with * for every element
	Mark      *Mark    // nil: it is not personal
	Subjects  []string // as they are written: pointers, "stream", "relation:ROLE", "store"
	Reference string   // kind of the person it refers to; else empty
	Open      string   // why it is not personal: a word of the list; else empty
	Type      string   // string, number, integer, boolean, object, array…
}
