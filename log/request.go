package log

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
)

// Write is events for one stream.
type Write struct {
	Stream   event.StreamID
	Expected event.Expected
	Events   []event.Draft
}

// Request is one append: the unit of atomicity and of idempotency. All of it becomes durable, or nothing.
type Request struct {
	Writes    []Write
	Condition *event.Condition // nil: none
	Sealing   *Sealing         // what package privacy made of its personal values; nil: it was not asked
}

// Sealing is a request's personal values, sealed, and as of what they were.
type Sealing struct {
	Fence   uint64   // the head's counter under which all of it was prepared; at another one it is ErrFenced
	Events  []Sealed // of the events of all writes, in order; nil: none has boxes
	Digests []Digest // of the personal values, under each epoch's key, the present one first; nil: there are none
	Minted  bool     // every event id was minted for this request, so none can be in the log yet
}

// Sealed is the boxes of one event.
type Sealed struct {
	Boxes       []byte                 // as package sealed encodes them; nil: none
	Commitments []ledger.BoxCommitment // theirs, in the order of the leaf
}

// Digest is a digest of personal values that can only be made while the key of an epoch lives. The zero Digest says
// that none was made: no other request with such values is a repetition of this one.
type Digest struct {
	Epoch uint32
	Sum   [12]byte
}

// ErrFenced is the error of a request that was sealed before a fence and came to the head after it: nothing of it
// happened. Seal it again.
var ErrFenced error = &event.Error{Sentinel: event.ErrConflict, Code: "fenced",
	Message: "append: what may be held of persons changed meanwhile", Next: "append it again"}

// Placed is where one event of a request came to lie.
type Placed struct {
	ID       event.ID
	Stream   event.StreamID
	Position event.Position
	Version  event.Version
}

// Result is what an append came to. Events are in the order of the request.
type Result struct {
	Events   []Placed
	Repeated bool // the same request was in the log already; this is its first result
}

// Last is the position of the last event, to wait for when reading one's own writes.
func (r Result) Last() event.Position {
	var last event.Position
	for _, p := range r.Events {
		last = max(last, p.Position)
	}
	return last
}

// Outcome is the result or the error of one of several requests.
type Outcome struct {
	Result Result
	Err    error
}
