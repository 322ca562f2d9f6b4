package ingest

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// data makes the event's JSON; nil: the map wants none.
func (a *mapper) data(d *dataRule, in reader, r *record) ([]byte, error) {
	switch {
	case d.object != nil:
		return a.object(d.object, r)
	case !d.all && len(d.fields) == 0:
		return nil, nil
	}
	out, err := a.appendFields(append(make([]byte, 0, 128), '{'), d, r)
	if err == nil && d.all {
		out, err = a.appendAll(out, d, in, r)
	}
	if err != nil {
		return nil, err
	}
	return append(out, '}'), nil
}

func (a *mapper) appendFields(out []byte, d *dataRule, r *record) ([]byte, error) {
	for i := range d.fields {
		from := &d.fields[i]
		v, err := a.evaluate(from.source, r)
		if err != nil {
			return out, err
		}
		if v.kind == valueAbsent {
			continue
		}
		out = append(append(separate(out), from.quoted...), ':')
		if out, err = from.source.appendData(out, v, "data."+from.name); err != nil {
			return out, err
		}
	}
	return out, nil
}

// appendAll copies the top-level fields of the record, but those the map excepts, names itself or calls absent.
func (a *mapper) appendAll(out []byte, d *dataRule, in reader, r *record) ([]byte, error) {
	err := in.members(r, func(name, text []byte) error {
		if d.except[string(name)] || d.names(string(name)) || a.isAbsentJSON(text) {
			return nil
		}
		quoted, err := jsontext.AppendQuote(separate(out), name)
		if err != nil {
			return badText(err)
		}
		out = append(append(quoted, ':'), text...)
		return nil
	})
	return out, err
}

// names tells whether the map gives a field of this name itself.
func (d *dataRule) names(name string) bool {
	return slices.ContainsFunc(d.fields, func(n named) bool { return n.name == name })
}

// isAbsentJSON tells whether a field copied as JSON is one of the texts that the map calls absent.
func (a *mapper) isAbsentJSON(text []byte) bool {
	if len(a.m.absent) == 0 {
		return false
	}
	if len(text) > 0 && text[0] == '"' {
		plain, err := jsontext.AppendUnquote(nil, text)
		return err == nil && a.m.absent[string(plain)]
	}
	return a.m.absent[string(text)]
}

// object makes a field that is itself a JSON object the data.
func (a *mapper) object(s *source, r *record) ([]byte, error) {
	v, err := a.evaluate(s, r)
	if err != nil || v.kind == valueAbsent {
		return nil, err
	}
	out, err := s.appendData(nil, v, "data")
	if err == nil && (len(out) == 0 || out[0] != '{') {
		return nil, wrongType("data", "a JSON object")
	}
	return out, err
}

// separate puts a comma behind a member.
func separate(out []byte) []byte {
	if len(out) > 1 {
		return append(out, ',')
	}
	return out
}
