package event

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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
	DataBase64  []byte            `json:"data_base64,omitempty"`
	Boxes       []byte            `json:"boxes,omitempty"`
	Withheld    []withheldJSON    `json:"withheld,omitempty"`
	Names       map[string]string `json:"names,omitempty"` // KRID → kind/reference
	Pruned      bool              `json:"pruned,omitempty"`
}

type withheldJSON struct {
	Path    string      `json:"path"`
	Group   string      `json:"group"`
	Reason  Withholding `json:"reason"`
	Receipt string      `json:"receipt,omitempty"`
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
		Metadata: e.Metadata, Boxes: e.Boxes, Pruned: e.Pruned,
	}
	if e.Format == JSON {
		out.Data = e.Data
	} else {
		out.DataBase64 = e.Data
	}
	for _, n := range e.Names {
		if out.Names == nil {
			out.Names = make(map[string]string, len(e.Names))
		}
		out.Names[n.KRID.String()] = n.Kind + "/" + n.Ref
	}
	for _, w := range e.Withheld {
		out.Withheld = append(out.Withheld, withheldJSON(w))
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

// ParseEvent reads an event from what MarshalJSON gave, such as a line of JSON Lines. Its leaf is not in there. Fields
// that are not known are passed over, a later Lethe may write more of them; errors name fields, never values.
func ParseEvent(text []byte) (Event, error) {
	if !jsontext.Value(text).IsValid() {
		return Event{}, Invalid("invalid_json", "parse event: want one JSON object in valid UTF-8, without repeated names")
	}
	var in envelopeJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return Event{}, envelopeError(err)
	}
	e := Event{
		Position: in.Position, Version: in.Version, Boxes: in.Boxes, Pruned: in.Pruned,
		Draft: Draft{ID: in.ID, Type: in.Type, Correlation: in.Correlation, Traceparent: in.Traceparent,
			Metadata: in.Metadata, Data: in.Data},
	}
	if in.DataBase64 != nil {
		e.Data, e.Format = in.DataBase64, Protobuf
	}
	for _, r := range in.Relations {
		e.Relations = append(e.Relations, Relation(r))
	}
	for _, w := range in.Withheld {
		e.Withheld = append(e.Withheld, Withheld(w))
	}
	set(&e.RecordedAt, in.RecordedAt)
	set(&e.OccurredAt, in.OccurredAt)
	set(&e.Schema, in.Schema)
	set(&e.Causation, in.Causation)
	set(&e.Producer, in.Producer)
	var err error
	if e.Stream, err = ParseStream(in.Stream); err != nil {
		return Event{}, err
	}
	e.Names, err = parseNames(in.Names)
	return e, err
}

func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

func parseNames(all map[string]string) (names []Name, err error) {
	for _, alias := range slices.Sorted(maps.Keys(all)) {
		n := Name{}
		if n.KRID, err = ParseKRID(alias); err != nil {
			return nil, err
		}
		n.Kind, n.Ref, _ = strings.Cut(all[alias], "/")
		names = append(names, n)
	}
	return names, nil
}

func envelopeError(err error) error {
	err = draftError(err)
	if Code(err) == "malformed_time" {
		return Invalid("malformed_time", "parse event: a time in it is not an RFC 3339 time")
	}
	return err
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
	DataBase64  *[]byte           `json:"data_base64"`
	Schema      *SchemaID         `json:"schema"`
	Collection  string            `json:"collection"`
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
		Producer: in.Producer, Metadata: in.Metadata, Data: in.Data, Collection: in.Collection,
	}
	if in.Schema != nil {
		d.Schema = *in.Schema
	}
	if in.DataBase64 != nil {
		if in.Data != nil {
			return Draft{}, Invalid("two_formats", "parse event: it has both data and data_base64")
		}
		d.Data, d.Format = *in.DataBase64, Protobuf
		return d, d.ValidateEnvelope() // its schema may be the store's present one
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
	var notBase64 base64.CorruptInputError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &wrongType):
		return Invalid("wrong_type", "parse event: field %q has the wrong JSON type", wrongType.Field)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.TrimPrefix(err.Error(), "json: unknown field ")
		return Invalid("unknown_field", "parse event: unknown field %s", name).
			Hint("known are id, type, schema, occurred_at, relations, correlation, causation, traceparent, producer, " +
				"metadata, collection, data, data_base64")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return Invalid("invalid_json", "parse event: the JSON object is empty or cut off")
	case errors.As(err, &notBase64):
		return Invalid("malformed_base64", "parse event: what is to be base64 in it is not")
	}
	return Invalid("malformed_time", "parse event: occurred_at is not an RFC 3339 time")
}

// MarshalText is lower-case hex.
func (s SchemaID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads 64 characters of hex.
func (s *SchemaID) UnmarshalText(b []byte) error {
	var id SchemaID
	if n, err := hex.Decode(id[:], b); err != nil || n != len(id) || len(b) != 2*len(id) {
		return Invalid("malformed_schema", "parse schema: want a SHA-256 fingerprint of 64 hex digits")
	}
	*s = id
	return nil
}

// String is lower-case hex.
func (s SchemaID) String() string { return hex.EncodeToString(s[:]) }
