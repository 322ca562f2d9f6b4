package schema

// Reason is why a value is not personal. The list is short on purpose: a reason is read by people who ask, years
// later, why a value was left readable.
type Reason string

// The reasons.
const (
	ThingID        Reason = "identifier-of-thing" // names a thing, such as an order or a branch, and no person
	BusinessFact   Reason = "business-fact"       // what the business did or decided, such as the terms of an offer
	Classification Reason = "classification"      // a code of a fixed list that sorts things: currency, status, channel
	Quantity       Reason = "quantity"            // counts or measures things
	Timing         Reason = "timing"              // when something in the business happened or is due
	Technical      Reason = "technical"           // of the machinery: versions, checksums, flags
	Public         Reason = "public"              // published anyway, and not about a private person
	Aggregate      Reason = "aggregate"           // computed over so many people that it tells of none
)

// Reasons is the whole list.
func Reasons() []Reason {
	return []Reason{ThingID, BusinessFact, Classification, Quantity, Timing, Technical, Public, Aggregate}
}

// Categories is the list of categories, without the empty one.
func Categories() []Category { return []Category{Special, Criminal, Child, Location, Financial} }

// Origins is the list of origins, without the empty one.
func Origins() []Origin { return []Origin{Provided, Observed, Derived, Inferred} }

// MaxFound is the number of values, and of references, that one event may hold. What may have more is marked whole:
// the array instead of its elements.
const MaxFound = 10_000
