package ingest

import (
	"encoding/csv"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// csvReader reads CSV by RFC 4180, in UTF-8: a header row with the names of the columns, then one record a row.
type csvReader struct {
	csv    *csv.Reader
	limit  *rowLimit
	header []string
	slots  []int // column → slot; -1: the map does not read it
	row    []string
	at     int64
	text   []byte
}

var errRowTooLong = errors.New("a row is longer than 8 MiB; a quote may be missing")

// rowLimit ends an input in which a row does not end: a quote that is never closed would make it all one row.
type rowLimit struct {
	r    io.Reader
	left int
}

func (l *rowLimit) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := l.r.Read(b)
	l.left -= n
	return n, err
}

func newCSVReader(r io.Reader, delimiter rune, fields *fieldTree) (*csvReader, error) {
	limit := &rowLimit{r: r, left: maxRecordBytes}
	c := &csvReader{csv: csv.NewReader(limit), limit: limit}
	c.csv.Comma, c.csv.ReuseRecord = delimiter, true
	header, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, &malformed{line: 1, cause: "it has no header row"}
	}
	if err != nil {
		return nil, c.failure(err)
	}
	return c, c.useHeader(header, fields)
}

func (c *csvReader) useHeader(header []string, fields *fieldTree) error {
	seen := map[string]bool{}
	for i, name := range header {
		if seen[name] || !utf8.ValidString(name) {
			return &malformed{1, "its header row repeats a name or is not valid UTF-8"}
		}
		seen[name] = true
		c.header = append(c.header, name)
		c.slots = append(c.slots, -1)
		if field := fields.children[name]; field != nil {
			c.slots[i] = field.slot
		}
	}
	for name := range fields.children {
		if !seen[name] {
			return &malformed{1, "its header row lacks the column " + name + " that the map reads"}
		}
	}
	return nil
}

func (c *csvReader) line() int64 { return c.at }

func (c *csvReader) next(r *record) error {
	c.limit.left = maxRecordBytes
	row, err := c.csv.Read()
	c.row = row
	r.kind = recordPlain
	if errors.Is(err, csv.ErrFieldCount) {
		line, _ := c.csv.FieldPos(0)
		r.line = int64(line)
		return &fault{"malformed_row", "the row has more or fewer cells than the header"}
	}
	if err != nil {
		return c.failure(err)
	}
	line, _ := c.csv.FieldPos(0)
	c.at, r.line = int64(line), int64(line)
	clear(r.values[own])
	c.text = c.text[:0]
	for i, cell := range row {
		if slot := c.slots[i]; slot >= 0 {
			begin := len(c.text)
			c.text = append(c.text, cell...)
			r.values[own][slot] = value{valueText, c.text[begin:len(c.text):len(c.text)]}
		}
		if !utf8.ValidString(cell) {
			return &fault{"invalid_utf8", "the row is not valid UTF-8"}
		}
	}
	return nil
}

// failure keeps the line and the nature of what csv found.
func (c *csvReader) failure(err error) error {
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse):
		return &malformed{int64(parse.Line), "a quote stands where RFC 4180 has none, or is not closed"}
	case errors.Is(err, errRowTooLong):
		return &malformed{c.at + 1, errRowTooLong.Error()}
	}
	return err
}

func (c *csvReader) members(_ *record, yield func(name, json []byte) error) error {
	for i, cell := range c.row {
		text, err := jsontext.AppendQuote(nil, cell)
		if err != nil {
			return badText(err)
		}
		if err := yield([]byte(c.header[i]), text); err != nil {
			return err
		}
	}
	return nil
}
