package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
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
	width   int    // of the terminal; 0: none
	none    func() // says that there is nothing
	items   int

	csv    *csv.Writer
	rows   []table.Row
	widths []int // of the columns in the tables so far
}

// list begins a listing; columns name the cells of add in table and csv.
func (a *app) list(columns ...string) *listing {
	out := bufio.NewWriterSize(a.Stdout, 64<<10)
	return &listing{
		format: a.settings.Output, out: out, csv: csv.NewWriter(out), columns: columns,
		width: terminal(a.Stdout), widths: make([]int, len(columns)),
		none: func() { a.say("nothing to show") },
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
	case l.format == formatTable && l.items == 0:
		l.none()
	}
	return l.flush()
}

// renderRows writes a table of the gathered rows. A further one of the same listing has columns at least as wide.
func (l *listing) renderRows() {
	t, header := plainTable(), make(table.Row, len(l.columns))
	configs := make([]table.ColumnConfig, len(l.columns))
	for i, name := range l.columns {
		header[i] = name
		l.widths[i] = max(l.widths[i], text.StringWidthWithoutEscSequences(name))
		for _, row := range l.rows {
			l.widths[i] = max(l.widths[i], text.StringWidthWithoutEscSequences(row[i].(string)))
		}
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMin: l.widths[i]}
		if numeric(name) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(configs)
	if len(l.rows) == l.items {
		t.AppendHeader(header)
	}
	t.AppendRows(l.rows)
	for line := range strings.SplitSeq(t.Render(), "\n") {
		if l.width > 0 { // here, not by the table: it would also mark lines of which only padding is cut
			line = cut(line, l.width)
		}
		l.out.WriteString(line + "\n")
	}
	l.rows = l.rows[:0]
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

// numeric tells which columns hold numbers, which stand on the right.
func numeric(column string) bool {
	switch column {
	case "position", "version", "truncated before", "before version", "events":
		return true
	}
	return false
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
		t := plainTable()
		for _, f := range fields {
			lines := strings.Split(f.value, "\n")
			for i, line := range lines {
				lines[i] = printable(line)
			}
			t.AppendRow(table.Row{f.name, strings.Join(lines, "\n")})
		}
		out.WriteString(t.Render() + "\n")
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

// printable keeps what an event holds from steering the terminal: control characters become escapes.
func printable(s string) string {
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

// cut shortens a text to so many columns of the terminal.
func cut(s string, columns int) string { return text.Snip(s, columns, "…") }
