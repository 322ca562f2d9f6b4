package ingest

import (
	"errors"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// maxNames bounds the texts a mapper keeps because they come again and again: types, kinds, ids of relations.
const (
	maxNames     = 8192
	maxNameKeeps = 128
)

// mapper makes requests of records. It is not safe for concurrent use: its buffers are used again.
type mapper struct {
	m      *Map
	naming *naming
	names  map[string]string
	text   []byte
	keys   [][]byte
}

func newMapper(m *Map, key [32]byte) *mapper {
	return &mapper{m: m, naming: newNaming(key, m.source), names: map[string]string{}}
}

// request is what record number n becomes: one request, because a record is imported as a whole or not at all.
// A request without writes: the map passes the record over. A *fault: it cannot be mapped.
func (a *mapper) request(in reader, r *record, n int64) (request log.Request, events int, err error) {
	wanted := false
	for i := range a.m.rules {
		rule := &a.m.rules[i]
		if rule.record != r.kind {
			continue
		}
		wanted = true
		if !a.holds(rule.when, r) {
			continue
		}
		if err := a.add(&request, rule, in, r, n); err != nil {
			return log.Request{}, 0, err
		}
		events++
	}
	if wanted && events == 0 && !a.m.pass {
		return request, 0, &fault{"unmatched", "no event of the map is for this record; unmatched: skip passes it over"}
	}
	return request, events, nil
}

// add puts the event of one rule into the request, behind those of the same stream.
func (a *mapper) add(request *log.Request, by *rule, in reader, r *record, n int64) error {
	stream, draft, err := a.event(by, in, r, n)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(request.Writes, func(w log.Write) bool { return w.Stream == stream })
	if i < 0 {
		request.Writes = append(request.Writes, log.Write{Stream: stream, Expected: event.Any})
		i = len(request.Writes) - 1
	}
	request.Writes[i].Events = append(request.Writes[i].Events, draft)
	return nil
}

func (a *mapper) event(by *rule, in reader, r *record, n int64) (s event.StreamID, d event.Draft, err error) {
	if s.Kind, err = a.name(by.kind, r); err != nil {
		return s, d, err
	}
	if s.ID, err = a.name(by.id, r); err != nil {
		return s, d, err
	}
	if d.Type, err = a.name(by.typ, r); err != nil {
		return s, d, err
	}
	if d.ID, err = a.id(by, r, n); err != nil {
		return s, d, err
	}
	for _, fill := range []func(*event.Draft, *rule, *record) error{a.occurred, a.relations, a.metadata, a.context} {
		if err := fill(&d, by, r); err != nil {
			return s, d, err
		}
	}
	d.Data, err = a.data(&by.data, in, r)
	if len(d.Data) > event.MaxDataBytes { // the store would refuse it too, after it had taken up room in a batch
		return s, d, &fault{"oversized", "its data is over 1 MiB"}
	}
	return s, d, err
}

func (a *mapper) id(by *rule, r *record, n int64) (event.ID, error) {
	if len(by.key) == 0 {
		return a.naming.byNumber(n, by.index), nil
	}
	a.keys = a.keys[:0]
	for _, f := range by.key {
		v, err := a.scalar(f, r)
		if err != nil {
			return event.ID{}, err
		}
		a.keys = append(a.keys, v.text)
	}
	return a.naming.byKey(a.keys, by.index), nil
}

// holds tells whether every condition is met.
func (a *mapper) holds(when []condition, r *record) bool {
	for _, c := range when {
		v := a.value(c.field, r)
		met := false
		switch {
		case c.present != nil:
			met = *c.present == (v.kind != valueAbsent)
		case c.not != nil:
			met = !slices.Contains(c.not, string(v.text))
		default:
			met = v.kind != valueAbsent && slices.Contains(c.is, string(v.text))
		}
		if !met {
			return false
		}
	}
	return true
}

// value is a field of the record. Texts that the map calls absent are.
func (a *mapper) value(f fieldRef, r *record) value {
	v := r.values[f.scope][f.slot]
	if len(a.m.absent) > 0 && a.m.absent[string(v.text)] && v.kind != valueJSON {
		return value{}
	}
	return v
}

// scalar is a field that must be there and must be a text, number or boolean.
func (a *mapper) scalar(f fieldRef, r *record) (value, error) {
	v := a.value(f, r)
	switch v.kind {
	case valueAbsent:
		return v, &missing{fault{"missing_field", "the field " + f.name + " is missing"}}
	case valueJSON:
		return v, wrongType("the field "+f.name, "a text, number or boolean")
	}
	return v, nil
}

// missing is the fault that optional and default forgive.
type missing struct{ fault }

func (m *missing) Unwrap() error { return &m.fault }

func isMissing(err error) bool {
	var m *missing
	return errors.As(err, &m)
}

// render writes a template into the mapper's buffer, which is valid until the next render.
func (a *mapper) render(t template, r *record) ([]byte, error) {
	a.text = a.text[:0]
	for i := range t {
		if !t[i].isField {
			a.text = append(a.text, t[i].literal...)
			continue
		}
		v, err := a.scalar(t[i].field, r)
		if err != nil {
			return nil, err
		}
		a.text = append(a.text, v.text...)
	}
	return a.text, nil
}

// name renders a text that is likely to come again.
func (a *mapper) name(t template, r *record) (string, error) {
	if literal, ok := t.literal(); ok {
		return literal, nil
	}
	text, err := a.render(t, r)
	if err != nil || len(text) > maxNameKeeps {
		return string(text), err
	}
	if s, ok := a.names[string(text)]; ok {
		return s, nil
	}
	if len(a.names) == maxNames {
		clear(a.names)
	}
	s := string(text)
	a.names[s] = s
	return s, nil
}

// evaluate is the value of a source; absent if it is optional and a field is missing.
func (a *mapper) evaluate(s *source, r *record) (value, error) {
	v, err := a.from(s, r)
	if !isMissing(err) {
		return v, err
	}
	switch {
	case s.fallback != nil:
		return *s.fallback, nil
	case s.optional:
		return value{}, nil
	}
	return v, err
}

// from takes a source's value from its fields. A template that is one field gives it as it is, any other gives a text.
func (a *mapper) from(s *source, r *record) (value, error) {
	f, ok := s.text.single()
	if !ok {
		text, err := a.render(s.text, r)
		return value{valueText, text}, err
	}
	if v := a.value(f, r); v.kind == valueJSON {
		return v, nil
	}
	return a.scalar(f, r)
}

// textOf is the text of a source that may be nil; empty if it is absent.
func (a *mapper) textOf(s *source, r *record, what string) (string, error) {
	if s == nil {
		return "", nil
	}
	v, err := a.evaluate(s, r)
	if err == nil && v.kind == valueJSON {
		return "", wrongType(what, "a text, number or boolean")
	}
	return string(v.text), err
}

func (a *mapper) occurred(d *event.Draft, by *rule, r *record) error {
	if by.occurred == nil {
		return nil
	}
	v, err := a.evaluate(by.occurred, r)
	if err != nil || v.kind == valueAbsent {
		return err
	}
	d.OccurredAt, err = by.occurred.time.read(v, "occurred_at")
	return err
}

func (a *mapper) relations(d *event.Draft, by *rule, r *record) error {
	for i := range by.relations {
		from := &by.relations[i]
		kind, err := a.name(from.kind, r)
		id := ""
		if err == nil {
			id, err = a.name(from.id, r)
		}
		if from.optional && isMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		d.Relations = append(d.Relations, event.Relation{Role: from.role, Kind: kind, ID: id})
	}
	return nil
}

func (a *mapper) metadata(d *event.Draft, by *rule, r *record) error {
	for i := range by.metadata {
		from := &by.metadata[i]
		v, err := a.evaluate(from.source, r)
		if err != nil {
			return err
		}
		switch v.kind {
		case valueAbsent:
			continue
		case valueJSON:
			return wrongType("metadata."+from.name, "a text, number or boolean")
		}
		if d.Metadata == nil {
			d.Metadata = make(map[string]string, len(by.metadata))
		}
		d.Metadata[from.name] = string(v.text)
	}
	return nil
}

// context sets what the event belongs to and who made it.
func (a *mapper) context(d *event.Draft, by *rule, r *record) (err error) {
	if d.Correlation, err = a.textOf(by.correlation, r, "correlation"); err != nil {
		return err
	}
	if d.Traceparent, err = a.textOf(by.traceparent, r, "traceparent"); err != nil {
		return err
	}
	cause, err := a.textOf(by.causation, r, "causation")
	if err != nil {
		return err
	}
	if cause != "" {
		if d.Causation, err = event.ParseID(cause); err != nil {
			return &fault{"malformed_id", "causation is not the UUID of an event or command"}
		}
	}
	to := [3]*string{&d.Producer.Name, &d.Producer.Version, &d.Producer.Commit}
	for i, from := range by.producer {
		if *to[i], err = a.textOf(from, r, "producer"); err != nil {
			return err
		}
	}
	return nil
}
