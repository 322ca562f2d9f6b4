package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
)

// Bounds of one record, in every format. They keep an import in constant memory whatever it is fed.
const (
	maxRecordBytes = 8 << 20 // one JSON line, one CSV row, the attributes of one XES trace or event
	bufferBytes    = 64 << 10
)

// valueKind is what a field of a record holds.
type valueKind uint8

const (
	valueAbsent valueKind = iota // not there; JSON null counts as not there
	valueText
	valueNumber
	valueBoolean
	valueJSON // an object or an array; its text is JSON
)

// value is one field of the record at hand. Its text is valid until the next record is read.
type value struct {
	kind valueKind
	text []byte
}

// scope tells whose fields are meant: the record's own, or those of the XES trace around it.
type scope uint8

const (
	own scope = iota
	ofCase
	scopes
)

// recordKind tells what part of its input a record is. JSON Lines and CSV have plain records only.
type recordKind uint8

const (
	recordPlain recordKind = iota
	recordTrace
	recordEvent
)

// record is what a reader fills in, over and over.
type record struct {
	kind   recordKind
	line   int64
	values [scopes][]value // by the slots that the map gave to the fields it reads
}

// reader reads the records of one input.
type reader interface {
	// next reads the next record. io.EOF: there is none. A *fault is about this record alone and the next one can be
	// read; a *malformed ends the input; anything else comes from the disk.
	next(*record) error
	// line is where it is, for errors that have no line of their own.
	line() int64
	// members calls yield for every top-level field of the record just read, its value as JSON.
	members(r *record, yield func(name, json []byte) error) error
}

// malformed says that an input is not what its format promises, from some line on.
type malformed struct {
	line  int64
	cause string // free of values
}

func (m *malformed) Error() string { return m.cause }

// countingReader knows how much of the input, as it lies on disk, has been read, and whether the disk failed.
type countingReader struct {
	r      io.Reader
	n      int64
	failed error
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.failed = err
	}
	return n, err
}

// unpack looks through gzip, told by its first bytes and not by a name, and through a UTF-8 byte order mark.
func unpack(r io.Reader) (io.Reader, error) {
	plain := bufio.NewReaderSize(r, bufferBytes)
	if magic, err := plain.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		unzipped, err := gzip.NewReader(plain)
		if err != nil {
			return nil, &malformed{line: 1, cause: "its gzip header is damaged or cut off"}
		}
		plain = bufio.NewReaderSize(unzipped, bufferBytes)
	}
	if mark, err := plain.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		if _, err := plain.Discard(3); err != nil {
			return nil, err
		}
	}
	return plain, nil
}

// newReader reads the map's format from r.
func (m *Map) newReader(r io.Reader) (reader, error) {
	plain, err := unpack(r)
	if err != nil {
		return nil, err
	}
	switch m.format {
	case formatXES:
		return newXESReader(plain, &m.fields), nil
	case formatCSV:
		return newCSVReader(plain, m.delimiter, m.fields[own])
	}
	return newLineReader(plain, m.fields[own]), nil
}
