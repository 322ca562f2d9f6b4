package ingest

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"github.com/lethe-es/lethe/event"
)

// field reads the name of a field and gives it a slot. In XES case.x is x of the trace.
func (p *ruleParser) field(n *yaml.Node, name string) (fieldRef, error) {
	path, plain, problem := cutPath(name, p.format != formatCSV)
	if problem != "" {
		return fieldRef{}, mapErrorf(n.Line, "%s", problem)
	}
	in := own
	if p.record == recordTrace {
		in = ofCase
	}
	if p.format == formatXES && plain && len(path) > 1 && path[0] == "case" {
		in, path = ofCase, path[1:]
	}
	return p.fields.use(in, path, name), nil
}

func (p *ruleParser) template(n *yaml.Node, what string) (template, error) {
	text, err := readText(n, what)
	if err != nil {
		return nil, err
	}
	return p.templateText(n, text)
}

func (p *ruleParser) templateText(n *yaml.Node, text string) (t template, err error) {
	problem := cutTemplate(text,
		func(literal string) {
			if literal != "" {
				t = append(t, part{literal: literal})
			}
		},
		func(name string) {
			f, fieldErr := p.field(n, name)
			if err == nil {
				err = fieldErr
			}
			t = append(t, part{field: f, isField: true})
		})
	if problem != "" {
		return nil, mapErrorf(n.Line, "%s", problem)
	}
	return t, err
}

// entity reads kind/id. The slash between them is one the map writes, so a value cannot move it.
func (p *ruleParser) entity(n *yaml.Node, what string) (kind, id template, err error) {
	text, err := readText(n, what)
	if err != nil {
		return nil, nil, err
	}
	slash := slashOutsideFields(text)
	if slash < 0 {
		return nil, nil, mapErrorf(n.Line, "%s must be kind/id, such as application/{id}", what)
	}
	if kind, err = p.templateText(n, text[:slash]); err != nil {
		return nil, nil, err
	}
	if id, err = p.templateText(n, text[slash+1:]); err != nil {
		return nil, nil, err
	}
	entity := event.Stream("kind", "id")
	if literal, ok := kind.literal(); ok {
		entity.Kind = literal
	}
	if literal, ok := id.literal(); ok {
		entity.ID = literal
	}
	if err := entity.Validate(); err != nil {
		return nil, nil, mapErrorf(n.Line, "%s: %v", what, err)
	}
	return kind, id, nil
}

func slashOutsideFields(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '/':
			return i
		case '{':
			if strings.HasPrefix(text[i:], "{{") {
				i++
			} else if n := fieldEnd(text[i+1:]); n >= 0 {
				i += n + 1
			}
		}
	}
	return -1
}

// The keys of a source in its long form.
var (
	textKeys = []string{"value", "optional", "default"}
	timeKeys = []string{"value", "optional", "default", "layout", "zone"}
	dataKeys = []string{"value", "optional", "default", "layout", "zone", "type"}
)

// source reads a template, or a mapping with it as its value.
func (p *ruleParser) source(n *yaml.Node, what string, known []string) (*source, error) {
	s := &source{time: timeRule{layout: layoutRFC3339}}
	if n.Kind != yaml.MappingNode {
		text, err := p.template(n, what)
		s.text = text
		return s, err
	}
	long, err := readSection(n, what, known...)
	if err != nil {
		return nil, err
	}
	value, err := long.need("value", what)
	if err != nil {
		return nil, err
	}
	if s.text, err = p.template(value, what); err != nil {
		return nil, err
	}
	if err := s.readConversion(long, what); err != nil {
		return nil, err
	}
	return s, s.readAbsence(long, what)
}

func (s *source) readConversion(long section, what string) error {
	if n := long.values["type"]; n != nil {
		text, err := readText(n, "type")
		if err != nil {
			return err
		}
		ok := false
		if s.convert, ok = conversions()[text]; !ok {
			return mapErrorf(n.Line, "type must be string, number, integer, boolean, json, base64, base64+json or time")
		}
	}
	layout, zone := long.values["layout"], long.values["zone"]
	if (layout != nil || zone != nil) && long.values["type"] != nil && s.convert != convertTime {
		return mapErrorf(long.node.Line, "%s: layout and zone are for times", what)
	}
	return s.time.readLayout(layout, zone)
}

// readAbsence reads what happens when a field is not there.
func (s *source) readAbsence(long section, what string) (err error) {
	if n := long.values["optional"]; n != nil {
		if s.optional, err = readBool(n, "optional"); err != nil {
			return err
		}
	}
	n := long.values["default"]
	if n == nil {
		return nil
	}
	text, err := readText(n, "default")
	if err != nil {
		return err
	}
	if s.optional {
		return mapErrorf(n.Line, "%s is optional and has a default: give one of them", what)
	}
	s.fallback = &value{kind: valueText, text: []byte(text)}
	switch n.Tag {
	case "!!int", "!!float":
		s.fallback.kind = valueNumber
	case "!!bool":
		s.fallback.kind = valueBoolean
	}
	if _, err := s.appendData(nil, *s.fallback, "default"); err != nil {
		return mapErrorf(n.Line, "%s: %v", what, err)
	}
	return nil
}

// readLayout reads layout and zone; each may be nil.
func (r *timeRule) readLayout(layout, zone *yaml.Node) (err error) {
	if layout != nil {
		if r.layout, err = readText(layout, "layout"); err != nil {
			return err
		}
		if namesZoneInLetters(r.layout) {
			return mapErrorf(layout.Line, "layout has the zone in letters, such as MST, which several zones share: "+
				"use texts with an offset, or leave the letters out of the value and give zone")
		}
		if !hasYear(r.layout) {
			return mapErrorf(layout.Line, "layout must be rfc3339, unix, unix_ms, unix_us, or show how "+
				"2006-01-02 15:04:05 is written")
		}
	}
	if zone != nil {
		return r.readZone(zone)
	}
	if !hasZone(r.layout) {
		return mapErrorf(layout.Line, "layout names no time zone: add zone, such as UTC or Europe/Amsterdam")
	}
	return nil
}

func (r *timeRule) readZone(n *yaml.Node) error {
	text, err := readText(n, "zone")
	if err != nil {
		return err
	}
	if t, err := time.Parse("-07:00", text); err == nil {
		_, offset := t.Zone() // not t.Location: it is this machine's where the offset happens to be
		r.zone = time.FixedZone(text, offset)
		return nil
	}
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		return mapErrorf(n.Line, "zone must be an offset such as +01:00, UTC, or a name this machine knows, "+
			"such as Europe/Amsterdam")
	}
	r.zone = zone
	return nil
}

func (p *ruleParser) when(s section, r *rule) error {
	n := s.values["when"]
	if n == nil {
		return nil
	}
	items, err := readList(n, "when")
	for _, item := range items {
		c, err := p.condition(item)
		if err != nil {
			return err
		}
		r.when = append(r.when, c)
	}
	return err
}

func (p *ruleParser) condition(n *yaml.Node) (c condition, err error) {
	s, err := readSection(n, "a condition", "field", "is", "not", "present")
	if err != nil {
		return c, err
	}
	name, err := s.need("field", "a condition")
	if err != nil {
		return c, err
	}
	text, err := readText(name, "field")
	if err != nil {
		return c, err
	}
	if c.field, err = p.field(name, text); err != nil {
		return c, err
	}
	if len(s.values) != 2 {
		return c, mapErrorf(n.Line, "a condition has a field and one of is, not, present")
	}
	switch is, not := s.values["is"], s.values["not"]; {
	case is != nil:
		c.is, err = readTexts(is, "is")
	case not != nil:
		c.not, err = readTexts(not, "not")
	default:
		var present bool
		present, err = readBool(s.values["present"], "present")
		c.present = &present
	}
	return c, err
}

func (p *ruleParser) key(s section, r *rule) error {
	n := s.values["key"]
	if n == nil {
		return nil
	}
	names, err := readTexts(n, "key")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return mapErrorf(n.Line, "key names no field")
	}
	for _, name := range names {
		f, err := p.field(n, name)
		if err != nil {
			return err
		}
		r.key = append(r.key, f)
	}
	return nil
}

func (p *ruleParser) stream(s section, r *rule) error {
	n, err := s.need("stream", "an event")
	if err != nil {
		return err
	}
	r.kind, r.id, err = p.entity(n, "stream")
	return err
}

func (p *ruleParser) typ(s section, r *rule) error {
	n, err := s.need("type", "an event")
	if err != nil {
		return err
	}
	if r.typ, err = p.template(n, "type"); err != nil {
		return err
	}
	if literal, ok := r.typ.literal(); ok {
		if err := (&event.Draft{Type: literal}).Validate(); err != nil {
			return mapErrorf(n.Line, "type: %v", err)
		}
	}
	return nil
}

func (p *ruleParser) sources(s section, r *rule) (err error) {
	for _, part := range []struct {
		key   string
		known []string
		to    **source
	}{
		{"occurred_at", timeKeys, &r.occurred},
		{"correlation", textKeys, &r.correlation},
		{"causation", textKeys, &r.causation},
		{"traceparent", textKeys, &r.traceparent},
	} {
		if n := s.values[part.key]; n != nil {
			if *part.to, err = p.source(n, part.key, part.known); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *ruleParser) relations(s section, r *rule) error {
	n := s.values["relations"]
	if n == nil {
		return nil
	}
	list, err := entries(n, "relations")
	if err != nil {
		return err
	}
	for _, e := range list {
		role := event.Relation{Role: e[0].Value, Kind: "kind", ID: "id"}
		if err := role.Validate(); err != nil {
			return mapErrorf(e[0].Line, "relations: %v", err)
		}
		items := []*yaml.Node{e[1]}
		if e[1].Kind == yaml.SequenceNode {
			items = e[1].Content
		}
		for _, item := range items {
			relation, err := p.relation(item, role.Role)
			if err != nil {
				return err
			}
			r.relations = append(r.relations, relation)
		}
	}
	return nil
}

func (p *ruleParser) relation(n *yaml.Node, role string) (r relationRule, err error) {
	r.role = role
	if n.Kind == yaml.MappingNode {
		long, err := readSection(n, "a relation", "value", "optional")
		if err != nil {
			return r, err
		}
		if optional := long.values["optional"]; optional != nil {
			if r.optional, err = readBool(optional, "optional"); err != nil {
				return r, err
			}
		}
		if n, err = long.need("value", "a relation"); err != nil {
			return r, err
		}
	}
	r.kind, r.id, err = p.entity(n, "a relation")
	return r, err
}

func (p *ruleParser) metadata(s section, r *rule) (err error) {
	n := s.values["metadata"]
	if n == nil {
		return nil
	}
	r.metadata, err = p.named(n, "metadata", textKeys)
	for _, m := range r.metadata {
		if err := (&event.Draft{Type: "t", Metadata: map[string]string{m.name: ""}}).Validate(); err != nil {
			return mapErrorf(n.Line, "metadata: %v", err)
		}
	}
	return err
}

// named reads a mapping of names to sources.
func (p *ruleParser) named(n *yaml.Node, what string, known []string) ([]named, error) {
	list, err := entries(n, what)
	if err != nil {
		return nil, err
	}
	var all []named
	for _, e := range list {
		from, err := p.source(e[1], what+"."+e[0].Value, known)
		if err != nil {
			return nil, err
		}
		quoted, err := jsontext.AppendQuote(nil, e[0].Value)
		if err != nil {
			return nil, mapErrorf(e[0].Line, "%s has a name that is not valid UTF-8", what)
		}
		all = append(all, named{e[0].Value, quoted, from})
	}
	return all, nil
}

func (p *ruleParser) producer(s section, r *rule) error {
	n := s.values["producer"]
	if n == nil {
		return nil
	}
	keys := []string{"name", "version", "commit"}
	parts, err := readSection(n, "producer", keys...)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if n := parts.values[key]; n != nil {
			if r.producer[i], err = p.source(n, "producer."+key, textKeys); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *ruleParser) data(s section, r *rule) error {
	n := s.values["data"]
	if n == nil {
		return nil
	}
	d, err := readSection(n, "data", "fields", "all", "except", "object")
	if err != nil {
		return err
	}
	if object := d.values["object"]; object != nil {
		if len(d.values) > 1 {
			return mapErrorf(n.Line, "data has an object, which is all of it: fields, all and except do not go with it")
		}
		r.data.object, err = p.source(object, "data.object", dataKeys)
		return err
	}
	if fields := d.values["fields"]; fields != nil {
		if r.data.fields, err = p.named(fields, "data.fields", dataKeys); err != nil {
			return err
		}
	}
	return r.data.readAll(d)
}

func (d *dataRule) readAll(s section) (err error) {
	if n := s.values["all"]; n != nil {
		if d.all, err = readBool(n, "data.all"); err != nil {
			return err
		}
	}
	n := s.values["except"]
	if n == nil {
		return nil
	}
	if !d.all {
		return mapErrorf(n.Line, "data.except goes with all: true")
	}
	names, err := readTexts(n, "data.except")
	d.except = map[string]bool{}
	for _, name := range names {
		d.except[name] = true
	}
	return err
}
