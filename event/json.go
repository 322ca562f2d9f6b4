package event

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

// envelopeJSON is the JSON face of an event; docs/format/envelope.md shows it.
type envelopeJSON struct {
	Position    Position          `json:"position,omitempty"`
	ID          ID                `json:"id"`
	Type        string            `json:"type"`
	Stream      string            `json:"stream,omitempty"`
	Version     Version           `json:"version,omitempty"`
	RecordedAt  *time.Time        `json:"recorded_at,omitempty"`
	OccurredAt  *time.Time        `json:"occurred_at,omitempty"`
	Schema      *SchemaID         `json:"schema,omitempty"`
	Relations   []relationJSON    `json:"relations,omitempty"`
	Correlation string            `json:"correlation,omitempty"`
	Causation   *ID               `json:"causation,omitempty"`
	Traceparent string            `json:"traceparent,omitempty"`
	Producer    *Producer         `json:"producer,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Data        json.RawMessage   `json:"data,omitempty"`
	Pruned      bool              `json:"pruned,omitempty"`
}

type relationJSON struct {
	Role string `json:"role"`
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// MarshalJSON gives the envelope as one JSON object; data stays byte for byte what was appended, but for
// insignificant white space.
func (e Event) MarshalJSON() ([]byte, error) {
	out := envelopeJSON{
		Position: e.Position, ID: e.ID, Type: e.Type, Stream: e.Stream.String(), Version: e.Version,
		RecordedAt: &e.RecordedAt, Correlation: e.Correlation, Traceparent: e.Traceparent,
		Metadata: e.Metadata, Data: e.Data, Pruned: e.Pruned,
	}
	if !e.OccurredAt.IsZero() {
		out.OccurredAt = &e.OccurredAt
	}
	if e.Schema != (SchemaID{}) {
		out.Schema = &e.Schema
	}
	if !e.Causation.IsZero() {
		out.Causation = &e.Causation
	}
	if e.Producer != (Producer{}) {
		out.Producer = &e.Producer
	}
	for _, r := range e.Relations {
		out.Relations = append(out.Relations, relationJSON(r))
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(out)
	return bytes.TrimRight(buf.Bytes(), "\n"), err
}

// draftJSON is what a producer may say; everything else is an unknown field.
type draftJSON struct {
	ID          *ID               `json:"id"`
	Type        string            `json:"type"`
	OccurredAt  *time.Time        `json:"occurred_at"`
	Relations   []relationJSON    `json:"relations"`
	Correlation string            `json:"correlation"`
	Causation   *ID               `json:"causation"`
	Traceparent string            `json:"traceparent"`
	Producer    Producer          `json:"producer"`
	Metadata    map[string]string `json:"metadata"`
	Data        json.RawMessage   `json:"data"`
}

// ParseDraft reads a draft from one JSON object, strictly: unknown fields and duplicate names are refused.
func ParseDraft(text []byte) (Draft, error) {
	if err := ValidateData(text); err != nil {
		return Draft{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var in draftJSON
	if err := dec.Decode(&in); err != nil {
		return Draft{}, draftError(err)
	}
	d := Draft{
		Type: in.Type, Correlation: in.Correlation, Traceparent: in.Traceparent,
		Producer: in.Producer, Metadata: in.Metadata, Data: in.Data,
	}
	for _, r := range in.Relations {
		d.Relations = append(d.Relations, Relation(r))
	}
	if in.ID != nil {
		d.ID = *in.ID
	}
	if in.Causation != nil {
		d.Causation = *in.Causation
	}
	if in.OccurredAt != nil {
		d.OccurredAt = *in.OccurredAt
	}
	return d, d.Validate()
}

func draftError(err error) error {
	var coded *Error
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &wrongType):
		return Invalid("wrong_type", "parse event: field %q has the wrong JSON type", wrongType.Field)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.TrimPrefix(err.Error(), "json: unknown field ")
		return Invalid("unknown_field", "parse event: unknown field %s", name).
			Hint("known are id, type, occurred_at, relations, correlation, causation, traceparent, producer, metadata, data")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Invalid("invalid_json", "parse event: the JSON object is empty or cut off")
	}
	return Invalid("malformed_time", "parse event: occurred_at is not an RFC 3339 time")
}

// MarshalText is lower-case hex.
func (s SchemaID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }
