package ingest

import (
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/lethe-es/lethe/event"
)

type format string

const (
	formatXES       format = "xes"
	formatJSONLines format = "jsonl"
	formatCSV       format = "csv"
)

// maxRules bounds the events one record can give.
const maxRules = 64

// Map says what events the records of an input become. It does not change and can be used by several runs at once.
type Map struct {
	source    string
	format    format
	delimiter rune
	absent    map[string]bool
	pass      bool // a record that no event is for is passed over, not rejected
	rules     []rule
	fields    [scopes]*fieldTree
	slots     [scopes]int
}

// Source is the stable name of the system the records come from. Ids are made from it.
func (m *Map) Source() string { return m.source }

// Format is xes, jsonl or csv.
func (m *Map) Format() string { return string(m.format) }

// rule makes one event of a record.
type rule struct {
	index       int // its place in the map, from 0; ids are made from it
	record      recordKind
	when        []condition
	key         []fieldRef
	kind, id    template // of the stream
	typ         template
	occurred    *source
	relations   []relationRule
	metadata    []named
	correlation *source
	causation   *source
	traceparent *source
	producer    [3]*source // name, version, commit
	data        dataRule
}

// condition is one test of a record.
type condition struct {
	field   fieldRef
	present *bool
	is, not []string
}

// relationRule makes one relation.
type relationRule struct {
	role     string
	kind, id template
	optional bool
}

// named is a source with the name its value gets.
type named struct {
	name   string
	quoted []byte // the name as JSON
	source *source
}

// dataRule makes the data of an event.
type dataRule struct {
	object *source // a field that is the data
	all    bool    // every field of the record
	except map[string]bool
	fields []named
}

// ParseMap reads a map: YAML (JSON is YAML too), as docs/import.md describes it. Every mistake is an
// event.ErrInvalid with the code invalid_map that names its line; an unknown key is one.
func ParseMap(text []byte) (*Map, error) {
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	top, err := readSection(root, "the map", "source", "format", "delimiter", "absent", "unmatched", "events")
	if err != nil {
		return nil, err
	}
	m := &Map{delimiter: ',', absent: map[string]bool{}}
	for _, read := range []func(section) error{m.readSource, m.readFormat, m.readDelimiter, m.readAbsent,
		m.readUnmatched} {
		if err := read(top); err != nil {
			return nil, err
		}
	}
	p := ruleParser{format: m.format}
	for i := range p.fields.trees {
		p.fields.trees[i] = newFieldTree()
	}
	if m.rules, err = p.rules(top); err != nil {
		return nil, err
	}
	m.fields, m.slots = p.fields.trees, p.fields.count
	return m, nil
}

func (m *Map) readSource(top section) error {
	n, err := top.need("source", "the map")
	if err != nil {
		return err
	}
	m.source, err = readText(n, "source")
	if err == nil && (m.source == "" || len(m.source) > event.MaxIDBytes || !utf8.ValidString(m.source)) {
		return mapErrorf(n.Line, "source must have 1 to %d bytes", event.MaxIDBytes)
	}
	return err
}

func (m *Map) readFormat(top section) error {
	n, err := top.need("format", "the map")
	if err != nil {
		return err
	}
	text, err := readText(n, "format")
	if err != nil {
		return err
	}
	m.format = format(text)
	switch m.format {
	case formatXES, formatJSONLines:
	case formatCSV:
		m.absent[""] = true
	default:
		return mapErrorf(n.Line, "format must be xes, jsonl or csv")
	}
	return nil
}

func (m *Map) readDelimiter(top section) error {
	n := top.values["delimiter"]
	if n == nil {
		return nil
	}
	text, err := readText(n, "delimiter")
	if err != nil {
		return err
	}
	c, size := utf8.DecodeRuneInString(text)
	if m.format != formatCSV {
		return mapErrorf(n.Line, "delimiter is for format csv")
	}
	if size == 0 || size != len(text) || c == utf8.RuneError || c == '"' || c == 0 || c == '\r' || c == '\n' {
		return mapErrorf(n.Line, `delimiter must be one character, such as ";" or "\t" in double quotes`)
	}
	m.delimiter = c
	return nil
}

func (m *Map) readAbsent(top section) error {
	n := top.values["absent"]
	if n == nil {
		return nil
	}
	texts, err := readTexts(n, "absent")
	clear(m.absent)
	for _, text := range texts {
		m.absent[text] = true
	}
	return err
}

func (m *Map) readUnmatched(top section) error {
	n := top.values["unmatched"]
	if n == nil {
		return nil
	}
	text, err := readText(n, "unmatched")
	if err == nil && text != "reject" && text != "skip" {
		return mapErrorf(n.Line, "unmatched must be reject or skip")
	}
	m.pass = text == "skip"
	return err
}

// ruleParser reads the events of a map, and gathers the fields they read.
type ruleParser struct {
	format format
	fields fieldSet
	record recordKind // of the event at hand
}

func (p *ruleParser) rules(top section) ([]rule, error) {
	n, err := top.need("events", "the map")
	if err != nil {
		return nil, err
	}
	items, err := readList(n, "events")
	if err != nil {
		return nil, err
	}
	if len(items) == 0 || len(items) > maxRules {
		return nil, mapErrorf(n.Line, "events must list 1 to %d events", maxRules)
	}
	var rules []rule
	for i, item := range items {
		r, err := p.rule(item)
		if err != nil {
			return nil, err
		}
		r.index = i
		rules = append(rules, r)
	}
	return rules, nil
}

func (p *ruleParser) rule(n *yaml.Node) (r rule, err error) {
	s, err := readSection(n, "an event", "record", "when", "key", "stream", "type", "occurred_at", "relations",
		"metadata", "correlation", "causation", "traceparent", "producer", "data")
	if err != nil {
		return r, err
	}
	if r.record, err = p.recordKind(s); err != nil {
		return r, err
	}
	p.record = r.record
	for _, read := range []func(section, *rule) error{p.when, p.key, p.stream, p.typ, p.sources, p.relations,
		p.metadata, p.producer, p.data} {
		if err := read(s, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (p *ruleParser) recordKind(s section) (recordKind, error) {
	n := s.values["record"]
	if n == nil && p.format == formatXES {
		return 0, mapErrorf(s.node.Line, "an event of format xes lacks the key \"record\": trace or event")
	}
	if n == nil {
		return recordPlain, nil
	}
	text, err := readText(n, "record")
	switch {
	case err != nil:
		return 0, err
	case p.format != formatXES:
		return 0, mapErrorf(n.Line, "record is for format xes")
	case text == "trace":
		return recordTrace, nil
	case text == "event":
		return recordEvent, nil
	}
	return 0, mapErrorf(n.Line, "record must be trace or event")
}
