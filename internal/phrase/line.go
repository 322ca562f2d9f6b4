package phrase

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// Line is one event of a file of JSON Lines.
type Line struct {
	Number   int       // from 1
	Write    log.Write // with one event
	expected bool      // the line says what it expects
}

// Lines reads a file of JSON Lines strictly; blank lines are passed over. It ends with the first error, which
// names the line and no value.
func Lines(in io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		lines := bufio.NewScanner(in)
		lines.Buffer(make([]byte, 64<<10), event.MaxDataBytes+1)
		n := 0
		for lines.Scan() {
			n++
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 {
				continue
			}
			l, err := parseLine(text)
			l.Number = n
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
		switch err := lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			yield(Line{}, event.Invalid("oversized", "line %d: it has more than %d bytes", n+1, event.MaxDataBytes))
		case err != nil:
			yield(Line{}, fmt.Errorf("read events: line %d: %w", n+1, err))
		}
	}
}

// draftFields are the fields of a line that belong to the event, but for relations, which are read here: references to
// persons among them may identify directly. stream and expect belong to the append.
func draftFields() []string {
	return []string{"id", "type", "occurred_at", "correlation", "causation", "traceparent", "producer",
		"metadata", "data", "data_base64", "schema", "collection"}
}

// parseLine takes stream and expect off the object and reads the rest as a draft.
func parseLine(text []byte) (Line, error) {
	var l Line
	var stream, expect, relations []byte
	unknown := false
	draft := []byte{'{'}
	err := event.Properties(text, func(name string, value []byte) {
		switch {
		case name == "stream":
			stream = value
		case name == "expect":
			expect = value
		case name == "relations":
			relations = value
		case !slices.Contains(draftFields(), name):
			unknown = true
		default:
			if len(draft) > 1 {
				draft = append(draft, ',')
			}
			draft = append(strconv.AppendQuote(draft, name), ':')
			draft = append(draft, value...)
		}
	})
	if err != nil {
		return l, err
	}
	if unknown {
		return l, event.Invalid("unknown_field", "parse event: it has a field that is not known").
			Hint("known are stream, expect, id, type, occurred_at, relations, correlation, causation, traceparent, " +
				"producer, metadata, data, data_base64, schema, collection")
	}
	if l.Write.Stream, err = lineStream(stream); err != nil {
		return l, err
	}
	if l.Write.Expected, err = lineExpected(expect); err != nil {
		return l, err
	}
	l.expected = expect != nil
	d, err := event.ParseDraft(append(draft, '}'))
	if err != nil {
		return l, err
	}
	d.Relations, err = lineRelations(relations)
	l.Write.Events = []event.Draft{d}
	return l, err
}

// lineRelations reads a list of {"role", "kind", "id"}.
func lineRelations(value []byte) ([]event.Relation, error) {
	if value == nil {
		return nil, nil
	}
	var list []event.Relation
	in := json.NewDecoder(bytes.NewReader(value))
	in.DisallowUnknownFields()
	if in.Decode(&list) != nil {
		return nil, event.Invalid("malformed_relation", `parse event: relations must be a list of {"role", "kind", "id"}`)
	}
	for _, r := range list {
		opaque := event.Relation{Role: r.Role, Kind: r.Kind, ID: "1"}
		if err := opaque.Validate(); err != nil {
			return nil, err
		}
		if err := event.Stream(r.Kind, r.ID).ValidateForm(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func lineStream(value []byte) (event.StreamID, error) {
	text, ok := unquote(value)
	if !ok {
		return event.StreamID{}, event.Invalid("malformed_stream", "parse event: stream must be a text kind/id")
	}
	return event.ParseEntity(text)
}

func lineExpected(value []byte) (event.Expected, error) {
	if value == nil {
		return event.Any, nil
	}
	if text, ok := unquote(value); ok {
		value = []byte(text)
	}
	return ParseExpected(string(value))
}

// Join adds the line, the count-th event, to a request: events of one stream are one write, and what is expected of a
// stream is said by the first of its lines.
func (l *Line) Join(all *log.Request, count int) error {
	if count > log.MaxRequestEvents {
		return event.Invalid("oversized", "line %d: one append holds at most %d events", l.Number, log.MaxRequestEvents).
			Hint("append without --atomic, or in parts")
	}
	i := slices.IndexFunc(all.Writes, func(w log.Write) bool { return w.Stream == l.Write.Stream })
	if i < 0 {
		all.Writes = append(all.Writes, l.Write)
		return nil
	}
	if l.expected {
		return event.Invalid("malformed_version", "line %d: an earlier line of this append names its stream already",
			l.Number).Hint("say what is expected of a stream in its first line")
	}
	all.Writes[i].Events = append(all.Writes[i].Events, l.Write.Events...)
	return nil
}

// unquote reads a JSON string; ok is false for any other value.
func unquote(value []byte) (text string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(value, &text)
	return text, err == nil
}
