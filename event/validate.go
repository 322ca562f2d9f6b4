package event

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of one event. They bound memory on every path an event takes.
const (
	MaxDataBytes     = 1 << 20 // data of one event
	MaxTypeBytes     = 200
	MaxRelations     = 256
	MaxMetadata      = 128
	MaxMetadataBytes = 4096 // one metadata value
)

// Validate checks a draft as a producer may hand it in. It changes nothing and names no value.
func (d *Draft) Validate() error {
	if err := d.ValidateEnvelope(); err != nil {
		return err
	}
	if d.Format != JSON {
		return d.validateFormat()
	}
	return ValidateData(d.Data)
}

// validateFormat checks data that is not JSON; whether it is a message of its type, its schema says.
func (d *Draft) validateFormat() error {
	switch {
	case d.Format != Protobuf:
		return Invalid("unknown_format", "check data of %q: format %d is not known", d.Type, d.Format)
	case d.Schema == SchemaID{}:
		return Invalid("no_schema", "check data of %q: protobuf data needs a schema that names its message", d.Type).
			Hint("push one: lethe schema push")
	case len(d.Data) > MaxDataBytes:
		return Invalid("oversized", "check data of %q: %d bytes are more than %d", d.Type, len(d.Data), MaxDataBytes)
	}
	return nil
}

// ValidateEnvelope is Validate without Data, for who goes through Data anyway.
func (d *Draft) ValidateEnvelope() error {
	if d.Type == "" || len(d.Type) > MaxTypeBytes || !isPrintable(d.Type, true) || d.Type[0] == ' ' {
		return Invalid("malformed_type", "check event type: want 1 to %d bytes of printable UTF-8", MaxTypeBytes)
	}
	if !d.OccurredAt.IsZero() && (d.OccurredAt.Year() < -9999 || d.OccurredAt.Year() > 9999) {
		return Invalid("malformed_time", "check occurred_at of %q: the year is out of range", d.Type)
	}
	if d.Correlation != "" {
		if err := validateRef("correlation", d.Type, d.Correlation); err != nil {
			return err
		}
	}
	if d.Traceparent != "" && !validTraceparent(d.Traceparent) {
		return Invalid("malformed_traceparent", "check traceparent of %q: not a W3C trace context", d.Type)
	}
	if err := d.validateProducer(); err != nil {
		return err
	}
	if err := d.validateRelations(); err != nil {
		return err
	}
	return d.validateMetadata()
}

// ValidateOpen refuses a type and metadata that hold a direct identifier: they stay readable in the log for ever. What
// the policy declares personal was taken out before.
func (d *Draft) ValidateOpen() error {
	if looksLikeEmail(d.Type) {
		return Invalid("personal_reference", "check event type: it looks like an e-mail address").
			Hint("name what happened; whom it is about stands in the data or in a relation")
	}
	for k, v := range d.Metadata {
		if looksLikeEmail(v) {
			return Invalid("personal_reference", "check metadata %s of %q: it looks like an e-mail address", k, d.Type).
				Hint("declare the key personal in the policy, or leave it out: metadata stays readable in the log for ever")
		}
	}
	return nil
}

func (d *Draft) validateProducer() error {
	for _, s := range []string{d.Producer.Name, d.Producer.Version, d.Producer.Commit} {
		if len(s) > MaxIDBytes || !isPrintable(s, true) {
			return Invalid("malformed_producer", "check producer of %q: want printable UTF-8, ≤ %d bytes", d.Type, MaxIDBytes)
		}
	}
	return nil
}

func (d *Draft) validateRelations() error {
	if len(d.Relations) > MaxRelations {
		return Invalid("oversized", "check relations of %q: %d are more than %d", d.Type, len(d.Relations), MaxRelations)
	}
	for _, r := range d.Relations {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Draft) validateMetadata() error {
	if len(d.Metadata) > MaxMetadata {
		return Invalid("oversized", "check metadata of %q: %d keys are more than %d", d.Type, len(d.Metadata), MaxMetadata)
	}
	for k, v := range d.Metadata {
		if err := validateName("metadata key", k); err != nil {
			return err
		}
		if len(v) > MaxMetadataBytes || !isPrintable(v, true) {
			return Invalid("malformed_metadata", "check metadata %s: want printable UTF-8, ≤ %d bytes", k, MaxMetadataBytes)
		}
	}
	return nil
}

// ValidateData checks that data is one strict JSON object (RFC 8259 in valid UTF-8, no duplicate names at any
// depth) of at most MaxDataBytes, or nothing.
func ValidateData(data []byte) error { return Properties(data, func(string, []byte) {}) }

// decoders are reused: making one costs more than reading a usual event with it.
var decoders = sync.Pool{New: func() any { return new(dataDecoder) }}

type dataDecoder struct {
	in  bytes.Reader
	dec jsontext.Decoder
}

// Properties is ValidateData that also hands each top-level property to each: its name, and the bytes of its value
// as they stand in data.
func Properties(data []byte, each func(name string, value []byte)) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) > MaxDataBytes {
		return Invalid("oversized", "check data: %d bytes are more than %d", len(data), MaxDataBytes).
			Hint("keep large documents elsewhere and append their digest")
	}
	d := decoders.Get().(*dataDecoder)
	defer decoders.Put(d)
	d.in.Reset(data)
	d.dec.Reset(&d.in)
	if d.dec.PeekKind() != '{' {
		return Invalid("invalid_json", "check data: want a JSON object")
	}
	if err := d.properties(data, each); err != nil {
		return jsonError(err)
	}
	if trailing := bytes.TrimLeft(data[d.dec.InputOffset():], " \t\r\n"); len(trailing) > 0 {
		return Invalid("invalid_json", "check data: bytes after the JSON object at offset %d", d.dec.InputOffset())
	}
	return nil
}

func (d *dataDecoder) properties(data []byte, each func(name string, value []byte)) error {
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	for d.dec.PeekKind() != '}' {
		token, err := d.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		value, err := d.dec.ReadValue()
		if err != nil {
			return err
		}
		end := int(d.dec.InputOffset())
		each(name, data[end-len(value):end:end])
	}
	_, err := d.dec.ReadToken()
	return err
}

// jsonError keeps the place and the nature of a JSON error and drops its text, which quotes the input.
func jsonError(err error) error {
	var syntax *jsontext.SyntacticError
	offset := int64(-1)
	if errors.As(err, &syntax) {
		offset = syntax.ByteOffset
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return Invalid("duplicate_name", "check data: an object repeats a name at offset %d", offset)
	}
	return Invalid("invalid_json", "check data: not valid JSON at offset %d", offset)
}

// validTraceparent checks version-trace-parent-flags of the W3C Trace Context recommendation, level 1.
func validTraceparent(s string) bool {
	parts := strings.Split(s, "-")
	if len(s) != 55 || len(parts) != 4 || s != strings.ToLower(s) {
		return false
	}
	for i, n := range []int{1, 16, 8, 1} {
		b, err := hex.DecodeString(parts[i])
		if err != nil || len(b) != n {
			return false
		}
		if i == 0 && b[0] == 0xff || (i == 1 || i == 2) && bytes.Count(b, []byte{0}) == n {
			return false
		}
	}
	return true
}

// Canonical puts the parts of a draft that are sets into their canonical order and drops what is finer than the
// store keeps. It copies what it changes; the caller's slices stay as they are.
func (d *Draft) Canonical() {
	if !d.OccurredAt.IsZero() {
		d.OccurredAt = FromMicros(Micros(d.OccurredAt))
	}
	if !slices.IsSortedFunc(d.Relations, Relation.compare) {
		d.Relations = slices.Clone(d.Relations)
		slices.SortFunc(d.Relations, Relation.compare)
	}
	for i := 1; i < len(d.Relations); i++ {
		if d.Relations[i] == d.Relations[i-1] {
			d.Relations = slices.Compact(slices.Clone(d.Relations))
			return
		}
	}
}
