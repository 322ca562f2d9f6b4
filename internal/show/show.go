// Package show writes what a command answers: tables for people, JSON, JSON Lines and CSV for programs, and progress
// on stderr.
//
//	out := show.Output{Format: show.Table, Stdout: os.Stdout, Stderr: os.Stderr, Clock: event.SystemClock{}}
//	list := out.List("stream", "version")
//	for _, s := range streams {
//		if err := list.Add(s, s.Name, s.Version); err != nil { … }
//	}
//	return list.Close()
//
// A command answers with a list of items, however long, or with a single thing. Each gets the value that becomes JSON,
// and the texts that stand in table and csv, so that a program sees everything and a person what fits a line.
//
// Data goes to Stdout alone; what is said beside it, and the meter of a long command, go to Stderr. Tables carry no
// control characters of what they show: an event must not steer the terminal of who looks at it.
package show

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lethe-es/lethe/event"
)

// The formats of an answer.
const (
	Table = "table" // for people
	JSON  = "json"  // one JSON value: an object, or an array for commands that list
	JSONL = "jsonl" // one object a line
	CSV   = "csv"   // with a header line
)

// Formats are the formats of an answer.
func Formats() []string { return []string{Table, JSON, JSONL, CSV} }

// How a meter shows itself.
const (
	Auto  = "auto"  // a bar on a terminal, lines elsewhere
	Plain = "plain" // lines
	None  = "none"  // not at all
)

// Meters are the ways in which a meter shows itself.
func Meters() []string { return []string{Auto, Plain, None} }

// Output is where a command answers, and how. It is for one goroutine.
type Output struct {
	Format         string // of Formats
	Progress       string // of Meters
	Stdout, Stderr io.Writer
	Clock          event.Clock // of meters
	Plain          bool        // words without signs and colours
}

// Say writes one line of chatter on stderr.
func (o *Output) Say(format string, args ...any) { fmt.Fprintf(o.Stderr, format+"\n", args...) }

// Prompt writes a question on stderr, without ending the line.
func (o *Output) Prompt(format string, args ...any) { fmt.Fprintf(o.Stderr, format, args...) }

// Field is one line of a table about one thing: its name, its value.
type Field [2]string

// Single writes one thing: v as JSON, fields in table and csv.
func (o *Output) Single(v any, fields ...Field) error {
	var out bytes.Buffer
	switch o.Format {
	case JSON, JSONL:
		text, err := Marshal(v)
		if err != nil {
			return err
		}
		if o.Format == JSON {
			if err := json.Indent(&out, text, "", "  "); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		} else {
			out.Write(text)
		}
	case CSV:
		names, values := make([]string, len(fields)), make([]string, len(fields))
		for i, f := range fields {
			names[i], values[i] = f[0], f[1]
		}
		w := csv.NewWriter(&out)
		if err := w.WriteAll([][]string{names, values}); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	default:
		t := plainTable()
		for _, f := range fields {
			lines := strings.Split(f[1], "\n")
			for i, line := range lines {
				lines[i] = Printable(line)
			}
			t.AppendRow(table.Row{f[0], strings.Join(lines, "\n")})
		}
		out.WriteString(t.Render() + "\n")
	}
	if _, err := o.Stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// plainTable is a table without lines and colours: upper case header, two spaces between columns, none at the end.
func plainTable() table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Box:    table.BoxStyle{PaddingRight: "  "},
		Format: table.FormatOptions{Header: text.FormatUpper},
	})
	t.SuppressTrailingSpaces()
	return t
}

// Marshal is JSON that stays readable: <, > and & as they are. It ends with a line break.
func Marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write output: %w", err)
	}
	return buf.Bytes(), nil
}

// Printable keeps what an event holds from steering the terminal: control characters become escapes.
func Printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// Cut shortens a text to so many columns of the terminal.
func Cut(s string, columns int) string { return text.Snip(s, columns, "…") }

// OneLine keeps what errors.Join and parsers say on one line.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
