package schema

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/lethe-es/lethe/event"
)

// pushedJSON is the data of lethe.SchemaPushed; docs/format/schema.md shows it.
type pushedJSON struct {
	Type     string         `json:"type"`
	Number   int            `json:"number"`
	Notation string         `json:"notation"`
	ID       event.SchemaID `json:"id"`
	Options  *optionsJSON   `json:"options,omitempty"`
	Upcaster *sourceJSON    `json:"upcaster,omitempty"`
	Text     *string        `json:"text,omitempty"`
	Binary   []byte         `json:"text_base64,omitempty"`
}

type optionsJSON struct {
	Kind    string `json:"kind,omitempty"`
	Message string `json:"message,omitempty"`
}

type sourceJSON struct {
	Language string `json:"language"`
	Text     string `json:"text"`
}

// Pushed is the event's data by which a store learns the version.
func (v *Version) Pushed() ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	out := pushedJSON{Type: v.Type, Number: v.Number, Notation: v.Notation, ID: v.ID}
	if v.Options != (Options{}) {
		out.Options = &optionsJSON{v.Options.Kind, v.Options.Message}
	}
	if v.Upcaster != (Script{}) {
		out.Upcaster = &sourceJSON{v.Upcaster.Language, v.Upcaster.Text}
	}
	if utf8.Valid(v.Text) {
		text := string(v.Text)
		out.Text = &text
		data, err := plainJSON(out)
		if err != nil || len(data) <= event.MaxDataBytes {
			return data, err
		}
	}
	out.Text, out.Binary = nil, v.Text
	data, err := plainJSON(out)
	if err == nil && len(data) > event.MaxDataBytes {
		return nil, event.Invalid("schema_too_large", "push schema of %q: text and upcaster are %d bytes, more than %d",
			v.Type, len(data), event.MaxDataBytes)
	}
	return data, err
}

// plainJSON leaves <, > and & as they are.
func plainJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(buf.Bytes(), "\n"), err
}

// ParsePushed reads the data of lethe.SchemaPushed. A fingerprint that is not that of the content is event.ErrCorrupt.
func ParsePushed(data []byte) (*Version, error) {
	var in pushedJSON
	if err := strictJSON(data, &in); err != nil {
		return nil, err
	}
	v := &Version{Type: in.Type, Number: in.Number, Notation: in.Notation, ID: in.ID, Text: in.Binary}
	if in.Text != nil {
		v.Text = []byte(*in.Text)
	}
	if in.Options != nil {
		v.Options = Options{Kind: in.Options.Kind, Message: in.Options.Message}
	}
	if in.Upcaster != nil {
		v.Upcaster = Script{in.Upcaster.Language, in.Upcaster.Text}
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	if in.Text != nil && in.Binary != nil || v.Fingerprint() != v.ID {
		return nil, event.Errorf(event.ErrCorrupt, "read schema %d of %q: its content is not what its id stands for",
			v.Number, v.Type)
	}
	return v, nil
}

// demandedJSON is the data of lethe.SchemaDemanded.
type demandedJSON struct {
	Demand *bool `json:"demand"`
}

// Demanded is the data of lethe.SchemaDemanded.
func Demanded(demand bool) ([]byte, error) { return plainJSON(demandedJSON{&demand}) }

func parseDemanded(data []byte) (bool, error) {
	var in demandedJSON
	if err := strictJSON(data, &in); err != nil {
		return false, err
	}
	if in.Demand == nil {
		return false, unknown("read %s: it does not say what is demanded", TypeDemanded)
	}
	return *in.Demand, nil
}

// strictJSON reads one object without names that are unknown or there twice.
func strictJSON(data []byte, into any) error {
	if err := event.ValidateData(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return unknown("read an event of stream %s/%s: it holds what this program does not know",
			event.SystemKind, StreamName)
	}
	return nil
}
