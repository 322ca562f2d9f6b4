package event

// Opening says who opens personal data, for which purpose and for what reason. The zero Opening opens nothing.
type Opening struct {
	Actor   Actor
	Purpose string
	Reason  string // a code and, after a space, a case or ticket id, such as "ticket 7"
	Code    string // name and version of the code that reads; empty: none given
}

// IsZero reports whether nothing is to be opened.
func (o Opening) IsZero() bool { return o.Purpose == "" }

// Withholding is why a personal value is not shown.
type Withholding string

// The reasons for which a personal value is withheld.
const (
	WithheldSealed     Withholding = "sealed"     // no purpose was given
	WithheldDenied     Withholding = "denied"     // the purpose, the rules or the person's consent do not allow it
	WithheldRestricted Withholding = "restricted" // the person's data may not be used now
	WithheldErased     Withholding = "erased"     // it is gone; Receipt names the proof
	WithheldSuperseded Withholding = "superseded" // an old copy: the value was sealed anew under a later generation
)

// Name is a reference to a person, and the alias that stands for it in the log.
type Name struct {
	KRID KRID
	Kind string
	Ref  string
}

// String says of whom it is, not who that is.
func (n Name) String() string { return n.Kind + "/" + n.KRID.String() }

// GoString is String.
func (n Name) GoString() string { return n.String() }

// Withheld is a personal value that an event does not show. In JSON null stands in its place, of metadata an empty
// text; of a protobuf message the field is missing.
type Withheld struct {
	Path    string // JSON pointer into the data, or metadata/KEY
	Group   string // data group
	Reason  Withholding
	Receipt string // of an erasure; else empty
}
