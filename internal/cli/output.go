package cli

import (
	"bufio"
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
)

// The formats of -o.
const (
	formatTable = "table" // for people
	formatJSON  = "json"  // one JSON value: an object, or an array for commands that list
	formatJSONL = "jsonl" // one object a line
	formatCSV   = "csv"   // with a header line
)

// tableRows is how many rows a table gathers to find the widths of its columns; after that many it is written and
// begun anew, so that a long answer needs no memory.
const tableRows = 1000

// listing writes one item after the other. What it writes is valid at any end.
type listing struct {
	format  string
	out     *bufio.Writer
	columns []string
	width   int // of the terminal; 0: none
	items   int

	csv    *csv.Writer
	rows   []table.Row
	widths []int // of the columns so far
}

// list begins a listing; columns name the cells of add in table and csv.
func (a *app) list(columns ...string) *listing {
	out := bufio.NewWriterSize(a.Stdout, 64<<10)
	return &listing{
		format: a.settings.Output, out: out, csv: csv.NewWriter(out), columns: columns,
		width: terminal(a.Stdout), widths: make([]int, len(columns)),
	}
}

// add writes one item: v as JSON, cells in table and csv.
func (l *listing) add(v any, cells ...string) error {
	l.items++
	switch l.format {
	case formatJSON, formatJSONL:
		text, err := marshal(v)
		if err != nil {
			return err
		}
		if l.format == formatJSON {
			l.separate()
			text = bytes.TrimRight(text, "\n")
		}
		return l.write(text)
	case formatCSV:
		if l.items == 1 {
			if err := l.csv.Write(l.columns); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		}
		if err := l.csv.Write(cells); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		return nil
	}
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		row[i] = printable(cell)
	}
	if l.rows = append(l.rows, row); len(l.rows) == tableRows {
		return l.flush()
	}
	return nil
}

// separate ends what stands before the next element of an array.
func (l *listing) separate() {
	if l.items == 1 {
		l.out.WriteString("[\n")
		return
	}
	l.out.WriteString(",\n")
}

func (l *listing) write(text []byte) error {
	if l.format == formatJSONL && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	if _, err := l.out.Write(text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// flush hands on what is gathered, so that who follows sees it.
func (l *listing) flush() error {
	l.csv.Flush()
	if len(l.rows) > 0 {
		l.renderRows()
	}
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// close ends the listing.
func (l *listing) close() error {
	switch {
	case l.format == formatJSON && l.items == 0:
		l.out.WriteString("[]\n")
	case l.format == formatJSON:
		l.out.WriteString("\n]\n")
	case l.format == formatCSV && l.items == 0:
		if err := l.csv.Write(l.columns); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	return l.flush()
}

// renderRows writes a table of the gathered rows. A further one of the same listing has the same columns.
func (l *listing) renderRows() {
	first := len(l.rows) == l.items
	t := plainTable(l.out, l.width)
	configs := make([]table.ColumnConfig, len(l.columns))
	header := make(table.Row, len(l.columns))
	for i, name := range l.columns {
		header[i] = strings.ToUpper(name)
		for _, row := range l.rows {
			if cell, ok := row[i].(string); ok {
				l.widths[i] = max(l.widths[i], text.StringWidth(cell), text.StringWidth(name))
			}
		}
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMin: l.widths[i]}
		if numeric(name) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(configs)
	if first {
		t.AppendHeader(header)
	}
	t.AppendRows(l.rows)
	t.Render()
	l.rows = l.rows[:0]
}

// numeric tells which columns hold numbers.
func numeric(column string) bool {
	switch column {
	case "position", "version", "truncated before", "events":
		return true
	}
	return false
}

func plainTable(w io.Writer, width int) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SuppressTrailingSpaces()
	style := table.StyleDefault
	style.Options = table.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	style.Size.WidthMax = width
	t.SetStyle(style)
	return t
}

// field is one line of a table about one thing.
type field struct{ name, value string }

// single writes one thing: v as JSON, fields in table and csv.
func (a *app) single(v any, fields ...field) error {
	var out bytes.Buffer
	switch a.settings.Output {
	case formatJSON, formatJSONL:
		text, err := marshal(v)
		if err != nil {
			return err
		}
		if a.settings.Output == formatJSON {
			if err := json.Indent(&out, text, "", "  "); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		} else {
			out.Write(text)
		}
	case formatCSV:
		names, values := make([]string, len(fields)), make([]string, len(fields))
		for i, f := range fields {
			names[i], values[i] = f.name, f.value
		}
		w := csv.NewWriter(&out)
		if err := w.WriteAll([][]string{names, values}); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	default:
		t := plainTable(&out, 0)
		for _, f := range fields {
			t.AppendRow(table.Row{f.name, printable(f.value)})
		}
		t.Render()
	}
	if _, err := a.Stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// marshal is JSON that stays readable: <, > and & as they are. It ends with a line break.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write output: %w", err)
	}
	return buf.Bytes(), nil
}

// printable keeps what an event holds from steering the terminal: control characters become escapes. Line breaks in
// values written by this package stay.
func printable(s string) string {
	plain := func(r rune) bool { return r == '\n' || unicode.IsGraphic(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if plain(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// cut shortens a text for a table.
func cut(s string, width int) string {
	if text.StringWidth(s) <= width {
		return s
	}
	return text.Trim(s, width-1) + "…"
}
