package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// fault is why one record cannot be imported. Its cause names fields of the map, never a value of the record.
type fault struct{ code, cause string }

func (f *fault) Error() string     { return f.cause }
func (f *fault) ErrorCode() string { return f.code }

// Unwrap makes it an event.ErrInvalid.
func (f *fault) Unwrap() error { return event.ErrInvalid }

// badJSON keeps the nature of a JSON error and drops its text, which quotes the input. It is nil for nil.
func badJSON(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &fault{"duplicate_name", what + " has a JSON object that repeats a name"}
	}
	return &fault{"invalid_json", what + " is not valid JSON"}
}

func badText(err error) error {
	if err == nil {
		return nil
	}
	return &fault{"invalid_utf8", "a text is not valid UTF-8"}
}

// refused reports whether the store turned down this one request and would take others. Everything else concerns
// the store, and ends the run.
func refused(err error) bool {
	for _, kind := range []error{event.ErrInvalid, event.ErrConflict, event.ErrDuplicate, event.ErrClosed,
		event.ErrDenied} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// refusal turns the store's answer into a fault. Its sentence is made here, from the code, because the store's names
// the stream or the type, and those were made of the record's values.
func refusal(err error) *fault {
	code := event.Code(err)
	if cause, ok := refusalCauses()[code]; ok {
		return &fault{code, cause}
	}
	return &fault{code, "the store refused the event"}
}

func refusalCauses() map[string]string {
	return map[string]string{
		"id_conflict": "an event with its id is in the log with other content; " +
			"the record, the map or the order of records changed since it was imported",
		"stream_closed":      "its stream is closed",
		"version_conflict":   "its stream is not at the expected version",
		"condition_failed":   "an event that matches the condition exists",
		"denied":             "whoever imports may not append it",
		"malformed_name":     "a kind, role or metadata key is not 1 to 64 letters, digits or _ . - :, a letter first",
		"malformed_type":     "its type is not 1 to 200 bytes of printable UTF-8",
		"malformed_stream":   "its stream is not kind/id",
		"reserved_stream":    "its stream is one of the store's own",
		"reserved_type":      "its type is one of the store's own",
		"malformed_time":     "its time is out of range",
		"malformed_producer": "its producer is not printable UTF-8 of at most 255 bytes",
		"malformed_metadata": "a metadata value is not printable UTF-8 of at most 4096 bytes",
		"malformed_reference": "the id of a stream or relation, or the correlation, is not 1 to 255 bytes of " +
			"printable UTF-8 without spaces",
		"personal_reference":    "the id of a stream or relation, or the correlation, looks like an e-mail address",
		"malformed_traceparent": "its traceparent is not a W3C trace context",
		"oversized":             "its data is over 1 MiB, or it has more than 256 relations or 128 metadata keys",
		"invalid_json":          "its data is not a JSON object",
		"duplicate_name":        "its data repeats a name",
		"erased_subject":        "it is about a person who was erased",
	}
}

// rejection is one line of the reject file.
type rejection struct {
	Input  string `json:"input"`
	Record int64  `json:"record"`
	Line   int64  `json:"line"`
	Code   string `json:"code"`
	Cause  string `json:"cause"`
}

func writeRejection(w io.Writer, from origin, f *fault) error {
	line, err := json.Marshal(rejection{from.input, from.record, from.line, f.code, f.cause})
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write reject file: %w", err)
	}
	return nil
}
