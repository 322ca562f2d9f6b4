package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
)

// Withheld is what stands in a table for a personal value that is not shown: a sign and a word, or in plain the word.
func (o *Output) Withheld(w *event.Withheld) string {
	sign := ""
	switch w.Reason {
	case event.WithheldSealed:
		sign = "▒ "
	case event.WithheldDenied:
		sign = "✕ "
	case event.WithheldRestricted:
		sign = "⏸ "
	case event.WithheldErased:
		sign = "⌫ "
	case event.WithheldSuperseded:
		sign = "↻ "
	}
	if o.Plain {
		sign = ""
	}
	text := sign + string(w.Reason)
	if w.Receipt != "" {
		text += " (" + w.Receipt + ")"
	}
	return text
}

// UseLogged says that something was opened, and what the record of it says.
func (o *Output) UseLogged(opening event.Opening) {
	if opening.Reason == "" {
		o.Say("use logged: purpose %s", opening.Purpose)
		return
	}
	o.Say("use logged: purpose %s, reason %s", opening.Purpose, opening.Reason)
}

// Data is data of an event on one line, for people: where a value is withheld it says why, and names stand for aliases.
// path is where data stands in that of the event.
func (o *Output) Data(data json.RawMessage, path string, e *event.Event) string {
	text := Compact(data)
	marks := make(map[string]string, len(e.Withheld))
	for i := range e.Withheld {
		marks[e.Withheld[i].Path] = o.Withheld(&e.Withheld[i])
	}
	if len(marks) > 0 {
		text = mark(text, path, marks)
	}
	return renamed(text, e, func(n *event.Name) (alias, name string) {
		quoted := Compact(quote(n.Ref))
		return `"` + n.KRID.String() + `"`, quoted
	})
}

func quote(text string) json.RawMessage {
	quoted, err := Marshal(text)
	if err != nil {
		return nil
	}
	return quoted
}

// mark puts marks in the place of nulls.
func mark(text, path string, marks map[string]string) string {
	var b strings.Builder
	done := 0
	for dec := jsontext.NewDecoder(strings.NewReader(text)); ; {
		token, err := dec.ReadToken()
		if err != nil {
			break
		}
		if why, ok := marks[path+string(dec.StackPointer())]; ok && token.Kind() == 'n' {
			end := int(dec.InputOffset())
			b.WriteString(text[done:end-len("null")] + why)
			done = end
		}
	}
	b.WriteString(text[done:])
	return b.String()
}

// renamed puts names in the place of aliases, as pair says how both are written.
func renamed(text string, e *event.Event, pair func(*event.Name) (alias, name string)) string {
	if len(e.Names) == 0 {
		return text
	}
	var pairs []string
	for i := range e.Names {
		alias, name := pair(&e.Names[i])
		pairs = append(pairs, alias, name)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Entities is a text of entities, kind/id, with names in the place of aliases.
func Entities(text string, e *event.Event) string {
	return renamed(text, e, func(n *event.Name) (alias, name string) {
		return n.Kind + "/" + n.KRID.String(), n.Kind + "/" + n.Ref
	})
}

// WithheldOf lists what an event does not show, with a separator between.
func (o *Output) WithheldOf(e *event.Event, separator string) string {
	lines := make([]string, len(e.Withheld))
	for i := range e.Withheld {
		w := &e.Withheld[i]
		lines[i] = fmt.Sprintf("%s %s, %s", w.Path, w.Group, o.Withheld(w))
	}
	return strings.Join(lines, separator)
}

// NamesOf lists the references behind the aliases of an event, with a separator between.
func NamesOf(e *event.Event, separator string) string {
	lines := make([]string, len(e.Names))
	for i := range e.Names {
		n := &e.Names[i]
		lines[i] = n.KRID.String() + " " + n.Kind + "/" + n.Ref
	}
	return strings.Join(lines, separator)
}

// Compact puts JSON on one line.
func Compact(raw json.RawMessage) string {
	var buf bytes.Buffer
	if len(raw) == 0 || json.Compact(&buf, raw) != nil {
		return string(raw)
	}
	return buf.String()
}
