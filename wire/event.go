package wire

import (
	"encoding/json"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
)

// Draft is the message of a draft.
func Draft(d *event.Draft) *lethev1.Draft {
	m := &lethev1.Draft{
		Type: d.Type, OccurredAt: Timestamp(d.OccurredAt), Relations: relations(d.Relations), Correlation: d.Correlation,
		Traceparent: d.Traceparent, Producer: producer(d.Producer), Metadata: d.Metadata, Collection: d.Collection,
		Id: id(d.ID), Causation: id(d.Causation), Schema: schema(d.Schema),
	}
	m.Data, m.DataBytes = data(d)
	return m
}

// ParseDraft reads a draft.
func ParseDraft(m *lethev1.Draft) (d event.Draft, err error) {
	d = event.Draft{
		Type: m.GetType(), OccurredAt: Time(m.GetOccurredAt()), Relations: parseRelations(m.GetRelations()),
		Correlation: m.GetCorrelation(), Traceparent: m.GetTraceparent(), Producer: parseProducer(m.GetProducer()),
		Metadata: m.GetMetadata(), Collection: m.GetCollection(),
	}
	if d.Data, d.Format, err = parseData(m.GetData(), m.DataBytes); err != nil {
		return d, err
	}
	if d.ID, err = parseID(m.GetId()); err != nil {
		return d, err
	}
	if d.Causation, err = parseID(m.GetCausation()); err != nil {
		return d, err
	}
	d.Schema, err = parseSchema(m.GetSchema())
	return d, err
}

// Event is the message of an event.
func Event(e *event.Event) *lethev1.Event {
	m := &lethev1.Event{
		Position: uint64(e.Position), Id: e.ID.String(), Stream: e.Stream.String(), Version: uint64(e.Version),
		Type: e.Type, RecordedAt: Timestamp(e.RecordedAt), OccurredAt: Timestamp(e.OccurredAt),
		Relations: relations(e.Relations), Correlation: e.Correlation, Causation: id(e.Causation),
		Traceparent: e.Traceparent, Producer: producer(e.Producer), Metadata: e.Metadata,
		Schema: schema(e.Schema), Pruned: e.Pruned, Leaf: e.Leaf[:], Withheld: withheld(e.Withheld), Names: Names(e.Names),
		Boxes: e.Boxes,
	}
	m.Data, m.DataBytes = data(&e.Draft)
	return m
}

// Events is the messages of events.
func Events(events []event.Event) []*lethev1.Event {
	messages := make([]*lethev1.Event, len(events))
	for i := range events {
		messages[i] = Event(&events[i])
	}
	return messages
}

// ParseEvent reads an event.
func ParseEvent(m *lethev1.Event) (event.Event, error) {
	e, err := parseHeld(m)
	if err == nil && len(m.GetLeaf()) == 0 {
		err = noLeaf(e.ID)
	}
	return e, err
}

func noLeaf(id event.ID) error {
	return event.Invalid("malformed_message", "read event %s: its leaf is not a hash", id)
}

// parseHeld is ParseEvent for an event that may have lost its leaf on its way.
func parseHeld(m *lethev1.Event) (e event.Event, err error) {
	e = event.Event{
		Position: event.Position(m.GetPosition()), Version: event.Version(m.GetVersion()),
		RecordedAt: Time(m.GetRecordedAt()), Pruned: m.GetPruned(),
		Draft: event.Draft{
			Type: m.GetType(), OccurredAt: Time(m.GetOccurredAt()), Relations: parseRelations(m.GetRelations()),
			Correlation: m.GetCorrelation(), Traceparent: m.GetTraceparent(), Producer: parseProducer(m.GetProducer()),
			Metadata: m.GetMetadata(),
		},
		Withheld: parseWithheld(m.GetWithheld()), Boxes: m.GetBoxes(),
	}
	if e.Data, e.Format, err = parseData(m.GetData(), m.DataBytes); err != nil {
		return e, err
	}
	if e.Names, err = ParseNames(m.GetNames()); err != nil {
		return e, err
	}
	if e.Stream, err = ParseStream(m.GetStream()); err != nil {
		return e, err
	}
	if e.ID, err = parseID(m.GetId()); err != nil {
		return e, err
	}
	if e.Causation, err = parseID(m.GetCausation()); err != nil {
		return e, err
	}
	if e.Schema, err = parseSchema(m.GetSchema()); err != nil {
		return e, err
	}
	if n := len(m.GetLeaf()); n > 0 && n != len(e.Leaf) {
		return e, noLeaf(e.ID)
	}
	copy(e.Leaf[:], m.GetLeaf())
	return e, nil
}

// ParseEvents reads events of an answer.
func ParseEvents(messages []*lethev1.Event) ([]event.Event, error) {
	return parseEach(messages, ParseEvent)
}

// ParseHeld reads events that a caller holds: without a leaf it is zero.
func ParseHeld(messages []*lethev1.Event) ([]event.Event, error) {
	return parseEach(messages, parseHeld)
}

func parseEach(messages []*lethev1.Event, parse func(*lethev1.Event) (event.Event, error)) ([]event.Event, error) {
	events := make([]event.Event, len(messages))
	for i, m := range messages {
		var err error
		if events[i], err = parse(m); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// Stream is kind/id; no stream is nothing.
func Stream(s event.StreamID) string {
	if s.IsZero() {
		return ""
	}
	return s.String()
}

// ParseStream reads kind/id; nothing is no stream. The id may be a direct identifier of a person: messages are not
// shown, and references become aliases before anything is stored.
func ParseStream(text string) (event.StreamID, error) {
	if text == "" {
		return event.StreamID{}, nil
	}
	return event.ParseEntity(text)
}

func id(id event.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func parseID(text string) (event.ID, error) {
	if text == "" {
		return event.ID{}, nil
	}
	return event.ParseID(text)
}

func schema(s event.SchemaID) []byte {
	if s == (event.SchemaID{}) {
		return nil
	}
	return s[:]
}

func parseSchema(b []byte) (s event.SchemaID, err error) {
	if len(b) != 0 && len(b) != len(s) {
		return s, event.Invalid("malformed_schema", "read schema: a fingerprint has %d bytes", len(s))
	}
	copy(s[:], b)
	return s, nil
}

// data is the data of a draft in the field of its format.
func data(d *event.Draft) (text string, bytes []byte) {
	switch {
	case d.Format == event.JSON:
		return string(d.Data), nil
	case d.Data == nil: // unset would mean that the data is JSON
		return "", []byte{}
	}
	return "", d.Data
}

func parseData(text string, bytes []byte) (json.RawMessage, event.Format, error) {
	switch {
	case bytes == nil && text == "":
		return nil, event.JSON, nil
	case bytes == nil:
		return json.RawMessage(text), event.JSON, nil
	case text != "":
		return nil, event.JSON, event.Invalid("malformed_message", "read event: it has both data and data_bytes")
	case len(bytes) == 0:
		return nil, event.Protobuf, nil
	}
	return bytes, event.Protobuf, nil
}

func relations(list []event.Relation) []*lethev1.Relation {
	if len(list) == 0 {
		return nil
	}
	all := make([]lethev1.Relation, len(list)) // one allocation for all
	messages := make([]*lethev1.Relation, len(list))
	for i, r := range list {
		messages[i] = &all[i]
		messages[i].Role, messages[i].Kind, messages[i].Id = r.Role, r.Kind, r.ID
	}
	return messages
}

func parseRelations(messages []*lethev1.Relation) []event.Relation {
	if len(messages) == 0 {
		return nil
	}
	list := make([]event.Relation, len(messages))
	for i, m := range messages {
		list[i] = event.Relation{Role: m.GetRole(), Kind: m.GetKind(), ID: m.GetId()}
	}
	return list
}

func producer(p event.Producer) *lethev1.Producer {
	if p == (event.Producer{}) {
		return nil
	}
	return &lethev1.Producer{Name: p.Name, Version: p.Version, Commit: p.Commit}
}

func parseProducer(m *lethev1.Producer) event.Producer {
	return event.Producer{Name: m.GetName(), Version: m.GetVersion(), Commit: m.GetCommit()}
}

// Filter is the messages of a filter.
func Filter(f event.Filter) []*lethev1.Match {
	if len(f) == 0 {
		return nil
	}
	list := make([]*lethev1.Match, len(f))
	for i, m := range f {
		list[i] = &lethev1.Match{
			Types: m.Types, Kinds: m.Kinds, Stream: Stream(m.Stream), Relations: relations(m.Relations),
			Metadata: m.Metadata, Correlation: m.Correlation, Causation: id(m.Causation),
		}
	}
	return list
}

// ParseFilter reads a filter.
func ParseFilter(messages []*lethev1.Match) (event.Filter, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	f := make(event.Filter, len(messages))
	for i, m := range messages {
		f[i] = event.Match{
			Types: m.GetTypes(), Kinds: m.GetKinds(), Relations: parseRelations(m.GetRelations()),
			Metadata: m.GetMetadata(), Correlation: m.GetCorrelation(),
		}
		var err error
		if f[i].Stream, err = ParseStream(m.GetStream()); err != nil {
			return nil, err
		}
		if f[i].Causation, err = parseID(m.GetCausation()); err != nil {
			return nil, err
		}
	}
	return f, nil
}
