package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// lineReader reads JSON Lines: one JSON object a line, UTF-8; blank lines are passed over.
type lineReader struct {
	r        *bufio.Reader
	fields   *fieldTree
	at       int64
	text     []byte // the line at hand
	unquoted []byte // strings of the line at hand, as they are meant
	decoders []*jsontext.Decoder
}

func newLineReader(r io.Reader, fields *fieldTree) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, bufferBytes), fields: fields}
}

func (l *lineReader) line() int64 { return l.at }

func (l *lineReader) next(r *record) error {
	for {
		if err := l.read(); err != nil {
			r.line = l.at
			return err
		}
		if firstNonSpace(l.text) >= 0 {
			break
		}
	}
	r.kind, r.line = recordPlain, l.at
	clear(r.values[own])
	l.unquoted = l.unquoted[:0]
	return l.object(r.values[own])
}

// read takes one line of bounded length. Of a longer one it keeps nothing.
func (l *lineReader) read() error {
	l.text = l.text[:0]
	tooLong := false
	l.at++
	for {
		part, err := l.r.ReadSlice('\n')
		if !tooLong && len(l.text)+len(part) > maxRecordBytes {
			tooLong, l.text = true, l.text[:0]
		}
		if !tooLong {
			l.text = append(l.text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (tooLong || len(l.text) > 0), err == nil:
			if tooLong {
				return &fault{"oversized", "the line is longer than 8 MiB"}
			}
			return nil
		}
		return err
	}
}

// object checks the line and sets the slots of the fields the map reads.
func (l *lineReader) object(values []value) error {
	if l.text[firstNonSpace(l.text)] != '{' {
		return &fault{"invalid_json", "the line is not a JSON object"}
	}
	if err := l.descend(l.text, l.fields, values, 0); err != nil {
		return err
	}
	if firstNonSpace(l.text[l.decoders[0].InputOffset():]) >= 0 {
		return &fault{"invalid_json", "the line has something after its JSON object"}
	}
	return nil
}

// decoder is a decoder for one depth of the fields' paths.
func (l *lineReader) decoder(depth int, text []byte) *jsontext.Decoder {
	if depth == len(l.decoders) {
		l.decoders = append(l.decoders, jsontext.NewDecoder(bytes.NewBuffer(text)))
	} else {
		l.decoders[depth].Reset(bytes.NewBuffer(text))
	}
	return l.decoders[depth]
}

// descend reads the object or array that source begins with and follows the paths of tree into it.
func (l *lineReader) descend(source []byte, tree *fieldTree, values []value, depth int) error {
	dec := l.decoder(depth, source)
	opening, err := dec.ReadToken()
	if err != nil {
		return badJSON("the line", err)
	}
	array := opening.Kind() == '['
	for n := 0; ; n++ {
		switch dec.PeekKind() {
		case '}', ']', 0:
			_, err := dec.ReadToken()
			return badJSON("the line", err)
		}
		field, err := l.field(dec, tree, array, n)
		if err != nil {
			return err
		}
		text, err := dec.ReadValue()
		if err != nil {
			return badJSON("the line", err)
		}
		if field == nil {
			continue
		}
		end := dec.InputOffset()
		if err := l.set(field, values, source[end-int64(len(text)):end], depth); err != nil {
			return err
		}
	}
}

// field is what the map wants of the member or item that comes next, nil for nothing.
func (l *lineReader) field(dec *jsontext.Decoder, tree *fieldTree, array bool, n int) (*fieldTree, error) {
	if array {
		if tree == nil {
			return nil, nil
		}
		return tree.children[strconv.Itoa(n)], nil
	}
	name, err := dec.ReadToken()
	if err != nil || tree == nil {
		return nil, badJSON("the line", err)
	}
	return tree.children[name.String()], nil
}

func (l *lineReader) set(field *fieldTree, values []value, text []byte, depth int) error {
	composite := text[0] == '{' || text[0] == '['
	if field.slot >= 0 {
		v, err := l.value(text)
		if err != nil {
			return err
		}
		values[field.slot] = v
	}
	if len(field.children) == 0 || !composite {
		return nil
	}
	return l.descend(text, field, values, depth+1)
}

func (l *lineReader) value(text []byte) (value, error) {
	switch text[0] {
	case 'n':
		return value{}, nil
	case 't', 'f':
		return value{valueBoolean, text}, nil
	case '{', '[':
		return value{valueJSON, text}, nil
	case '"':
		begin := len(l.unquoted)
		var err error
		l.unquoted, err = jsontext.AppendUnquote(l.unquoted, text)
		return value{valueText, l.unquoted[begin:len(l.unquoted):len(l.unquoted)]}, badJSON("the line", err)
	}
	return value{valueNumber, text}, nil
}

func (l *lineReader) members(_ *record, yield func(name, json []byte) error) error {
	dec := l.decoder(0, l.text)
	if _, err := dec.ReadToken(); err != nil {
		return badJSON("the line", err)
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return badJSON("the line", err)
		}
		key := []byte(name.String())
		text, err := dec.ReadValue()
		if err != nil {
			return badJSON("the line", err)
		}
		if err := yield(key, text); err != nil {
			return err
		}
	}
	return nil
}
