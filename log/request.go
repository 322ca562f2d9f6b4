package log

import (
	"github.com/lethe-es/lethe/event"
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
}

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
