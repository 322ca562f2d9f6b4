package show

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// tableRows is how many rows a table gathers to find the widths of its columns; after that many it is written and
// begun anew, so that a long answer needs no memory.
const tableRows = 1000

// List writes one item after the other. What it writes is valid at any end. It must be closed.
type List struct {
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

// List begins a list; columns name the cells of Add in table and csv.
func (o *Output) List(columns ...string) *List {
	out := bufio.NewWriterSize(o.Stdout, 64<<10)
	return &List{
		format: o.Format, out: out, csv: csv.NewWriter(out), columns: columns,
		width: Width(o.Stdout), widths: make([]int, len(columns)),
		none: func() { o.Say("nothing to show") },
	}
}

// Add writes one item: v as JSON, cells in table and csv.
func (l *List) Add(v any, cells ...string) error {
	l.items++
	switch l.format {
	case JSON, JSONL:
		text, err := Marshal(v)
		if err != nil {
			return err
		}
		if l.format == JSON {
			l.separate()
			text = bytes.TrimRight(text, "\n")
		}
		return l.write(text)
	case CSV:
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
		row[i] = Printable(cell)
	}
	if l.rows = append(l.rows, row); len(l.rows) == tableRows {
		return l.Flush()
	}
	return nil
}

// Items is how many were added.
func (l *List) Items() int { return l.items }

// separate ends what stands before the next element of an array.
func (l *List) separate() {
	if l.items == 1 {
		l.out.WriteString("[\n")
		return
	}
	l.out.WriteString(",\n")
}

func (l *List) write(text []byte) error {
	if l.format == JSONL && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	if _, err := l.out.Write(text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Flush hands on what is gathered, so that who follows sees it.
func (l *List) Flush() error {
	l.csv.Flush()
	if len(l.rows) > 0 {
		l.renderRows()
	}
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// Close ends the list. Only then is all of it written.
func (l *List) Close() error {
	switch {
	case l.format == JSON && l.items == 0:
		l.out.WriteString("[]\n")
	case l.format == JSON:
		l.out.WriteString("\n]\n")
	case l.format == CSV && l.items == 0:
		if err := l.csv.Write(l.columns); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	case l.format == Table && l.items == 0:
		l.none()
	}
	return l.Flush()
}

// End closes a list that ended with an error, or with none: what came before the error is shown, and that there is
// nothing only if there was none.
func (l *List) End(err error) error {
	if err != nil {
		l.none = func() {}
	}
	if closing := l.Close(); err == nil {
		return closing
	}
	return err
}

// renderRows writes a table of the gathered rows. A further one of the same list has columns at least as wide.
func (l *List) renderRows() {
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
			line = Cut(line, l.width)
		}
		l.out.WriteString(line + "\n")
	}
	l.rows = l.rows[:0]
}

// numeric tells which columns hold numbers, which stand on the right.
func numeric(column string) bool {
	switch column {
	case "position", "version", "truncated before", "before version", "events":
		return true
	}
	return false
}
