// Package event holds the words every other room speaks: the envelope of an event, the names of streams,
// relations and positions, the matcher that decides which events a query, a subscription or an append condition
// means, the vocabulary of errors, and the clock.
//
// A Draft is an event before it is in the log; an Event is a Draft with the place the log gave it. Both redact
// themselves when printed: a log line shows what an event is, never what it says.
//
//	d := event.Draft{Type: "ApplicationRegistered", Data: []byte(`{"amount": 20000}`)}
//	err := d.Validate()
package event

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// SchemaID is the SHA-256 fingerprint of the schema version an event was checked against; zero: none.
type SchemaID [32]byte

// Producer names the component that made an event.
type Producer struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Commit  string `json:"commit,omitempty"`
}

// Format is the format of an event's data. The numbers are on disk, for ever.
type Format uint8

// The formats of data.
const (
	JSON     Format = 0 // one JSON object
	Protobuf Format = 1 // one message in the wire format, of the type its schema names
)

// Draft is an event as its producer hands it in.
type Draft struct {
	ID          ID                // zero: the store mints one; give one to make a retry safe
	Type        string            // such as ApplicationRegistered
	Schema      SchemaID          // fingerprint of the schema it was checked against
	OccurredAt  time.Time         // the producer's claim, kept to the microsecond; zero: none
	Relations   []Relation        // a set: order and repetition do not matter
	Correlation string            // the operation it belongs to, opaque
	Causation   ID                // the event or command that caused it
	Traceparent string            // W3C trace context
	Producer    Producer          // the component that made it
	Metadata    map[string]string // queryable where a key is declared indexed
	Data        json.RawMessage   // a JSON object, kept byte for byte; nil: none. Of another Format, its bytes
	Format      Format            // of Data
	Collection  string            // context in which its personal data was collected; empty: none is named
}

// Event is an event in the log.
type Event struct {
	Position   Position
	Stream     StreamID
	Version    Version
	RecordedAt time.Time // the store's clock, UTC microseconds
	Draft
	Leaf     [32]byte   // its leaf in the log's Merkle tree (RFC 6962)
	Boxes    []byte     // its sealed values, as package sealed encodes them; nil: none
	Withheld []Withheld // personal values that are not shown; null stands in their place
	Names    []Name     // references behind its aliases, where the reader may see them
	Pruned   bool       // truncated: header and leaf remain, everything else is gone
}

// String says what the event is, not what it holds.
func (e Event) String() string {
	return fmt.Sprintf("event %s %q at %d (%s@%d)", e.ID, e.Type, e.Position, e.Stream, e.Version)
}

// GoString is String, so that %#v does not leak either.
func (e Event) GoString() string { return e.String() }

// LogValue shows ids only.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("position", uint64(e.Position)), slog.String("id", e.ID.String()),
		slog.String("type", e.Type), slog.String("stream", e.Stream.String()), slog.Uint64("version", uint64(e.Version)))
}

// String says what the draft is, not what it holds.
func (d Draft) String() string { return fmt.Sprintf("draft %s %q", d.ID, d.Type) }

// GoString is String, so that %#v does not leak either.
func (d Draft) GoString() string { return d.String() }

// LogValue shows ids only.
func (d Draft) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", d.ID.String()), slog.String("type", d.Type))
}
