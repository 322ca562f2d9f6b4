package ingest

import (
	"bytes"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxAttributes bounds the attributes of one trace or event, nested ones included.
const maxAttributes = 16384

// xesReader reads XES (IEEE 1849, and the XES 1.0 that came before): a record for every trace, with its own
// attributes, followed by one for each of its events. Extensions, global defaults, classifiers and attributes of the
// log are passed over.
type xesReader struct {
	xml     *tokenizer
	fields  *[scopes]*fieldTree
	bags    [scopes]bag // the attributes of the record at hand, and of the trace it stands in
	current scope       // which bag the record at hand is
	caseErr error       // the trace's fault, shared by its events
	rooted  bool
	inTrace bool
	emitted bool  // the trace was given out; only events may follow
	waiting bool  // an event was opened before its trace was given out
	empty   bool  // the waiting event has no content
	at      int64 // line of the trace
	eventAt int64 // line of the waiting event
}

func newXESReader(r io.Reader, fields *[scopes]*fieldTree) *xesReader {
	return &xesReader{xml: newTokenizer(r), fields: fields}
}

func (x *xesReader) line() int64 { return x.xml.line }

func (x *xesReader) fail(cause string) error { return x.xml.fail(cause) }

func (x *xesReader) next(r *record) error {
	if x.waiting {
		x.waiting = false
		return x.event(r, x.eventAt, !x.empty)
	}
	for {
		t, err := x.xml.next()
		if err != nil {
			return err
		}
		var given bool
		switch {
		case !x.rooted:
			err = x.root(t)
		case x.inTrace:
			given, err = x.traceTag(t, r)
		default:
			given, err = x.logTag(t, r)
		}
		if given || err != nil {
			return err
		}
	}
}

func (x *xesReader) root(t *tag) error {
	if t.local() != "log" {
		return x.fail("its root element is not log: it is not XES")
	}
	x.rooted = true
	return nil
}

// logTag handles a tag directly inside the log.
func (x *xesReader) logTag(t *tag, r *record) (given bool, err error) {
	open := t.kind == tagOpen
	switch name := t.local(); {
	case t.kind == tagClose:
		return false, nil
	case name == "event":
		clear(r.values[ofCase])
		x.caseErr = nil
		return true, x.event(r, t.line, open)
	case name == "trace":
		x.at, x.emitted, x.inTrace = t.line, false, open
		x.bags[ofCase].reset()
		if !open {
			return true, x.trace(r)
		}
	case open:
		return false, x.xml.skip()
	}
	return false, nil
}

// traceTag handles a tag directly inside a trace.
func (x *xesReader) traceTag(t *tag, r *record) (given bool, err error) {
	isEvent := t.kind != tagClose && t.local() == "event"
	switch {
	case t.kind == tagClose:
		x.inTrace = false
		if x.emitted {
			return false, nil
		}
		return true, x.trace(r)
	case isEvent && x.emitted:
		return true, x.event(r, t.line, t.kind == tagOpen)
	case isEvent:
		x.waiting, x.empty, x.eventAt = true, t.kind == tagEmpty, t.line
		return true, x.trace(r)
	case x.emitted:
		return false, x.fail("an attribute of a trace stands after its first event")
	}
	return false, x.attribute(&x.bags[ofCase], t, 0)
}

func (x *xesReader) trace(r *record) error {
	x.emitted, x.current = true, ofCase
	r.kind, r.line = recordTrace, x.at
	x.caseErr = x.bags[ofCase].fill(x.fields[ofCase], r.values[ofCase])
	return x.caseErr
}

func (x *xesReader) event(r *record, line int64, open bool) error {
	b := &x.bags[own]
	b.reset()
	if open {
		if err := x.children(b, 0); err != nil {
			return err
		}
	}
	x.current = own
	r.kind, r.line = recordEvent, line
	if err := b.fill(x.fields[own], r.values[own]); err != nil {
		return err
	}
	return x.caseErr
}

// children reads attributes until the element that holds them is closed.
func (x *xesReader) children(b *bag, depth int) error {
	for {
		t, err := x.xml.next()
		if err != nil {
			return err
		}
		switch {
		case t.kind == tagClose:
			return nil
		case depth > 0 && t.local() == "values": // the wrapper around the items of a list
			if t.kind == tagOpen {
				err = x.children(b, depth)
			}
		default:
			err = x.attribute(b, t, depth)
		}
		if err != nil {
			return err
		}
	}
}

// attribute reads one XES attribute with what is nested in it.
func (x *xesReader) attribute(b *bag, t *tag, depth int) error {
	kind, list, ok := attributeKind(t)
	key, text := t.attr("key"), t.attr("value")
	if !ok {
		return x.fail("an element inside a trace or event is neither an event nor an attribute of XES")
	}
	if len(key) == 0 || text == nil && !list {
		return x.fail("an attribute has no key or no value")
	}
	if len(b.items) == maxAttributes || len(b.text)+len(key)+len(text) > maxRecordBytes {
		return x.fail("a trace or event has more than 16384 attributes or 8 MiB")
	}
	open := t.kind == tagOpen
	b.add(item{kind: kind, list: list, depth: depth}, key, text)
	if !open {
		return nil
	}
	return x.children(b, depth+1)
}

func attributeKind(t *tag) (kind valueKind, list, ok bool) {
	switch t.local() {
	case "string", "date", "id":
		return valueText, false, true
	case "int", "float":
		return valueNumber, false, true
	case "boolean":
		return valueBoolean, false, true
	case "list", "container":
		return valueJSON, true, true
	}
	return 0, false, false
}

func (x *xesReader) members(_ *record, yield func(name, json []byte) error) error {
	b := &x.bags[x.current]
	for i := 0; i < len(b.items); i = b.after(i) {
		text, err := b.appendJSON(nil, i, true)
		if err != nil {
			return err
		}
		if err := yield(b.key(i), text); err != nil {
			return err
		}
	}
	return nil
}

// bag holds the attributes of one trace or event in document order, in memory that is used again.
type bag struct {
	items []item
	text  []byte
}

// item is one attribute; what is nested in it follows, one deeper.
type item struct {
	kind       valueKind
	list       bool
	depth      int
	begin, mid int // text[begin:mid] is the key
	end        int // text[mid:end] is the value
}

func (b *bag) reset() { b.items, b.text = b.items[:0], b.text[:0] }

func (b *bag) add(it item, key, text []byte) {
	it.begin = len(b.text)
	b.text = append(b.text, key...)
	it.mid = len(b.text)
	b.text = append(b.text, text...)
	it.end = len(b.text)
	b.items = append(b.items, it)
}

func (b *bag) key(i int) []byte { return b.text[b.items[i].begin:b.items[i].mid] }

func (b *bag) value(i int) []byte { return b.text[b.items[i].mid:b.items[i].end] }

// after is the next attribute that is not nested in i.
func (b *bag) after(i int) int {
	j := i + 1
	for j < len(b.items) && b.items[j].depth > b.items[i].depth {
		j++
	}
	return j
}

// fill sets the slots of the fields the map reads.
func (b *bag) fill(tree *fieldTree, values []value) error {
	clear(values)
	if tree == nil {
		return nil
	}
	return b.fillFrom(tree, values, 0, len(b.items), false)
}

// fillFrom sets the slots below tree from the siblings between from and to; those of a list go by their number.
func (b *bag) fillFrom(tree *fieldTree, values []value, from, to int, list bool) error {
	for i, n := from, 0; i < to; i, n = b.after(i), n+1 {
		var field *fieldTree
		if list {
			field = tree.children[strconv.Itoa(n)]
		} else {
			field = tree.children[string(b.key(i))]
		}
		if field == nil {
			continue
		}
		if err := b.set(field, values, i); err != nil {
			return err
		}
		if err := b.fillFrom(field, values, i+1, b.after(i), b.items[i].list); err != nil {
			return err
		}
	}
	return nil
}

func (b *bag) set(field *fieldTree, values []value, i int) (err error) {
	if field.slot < 0 {
		return nil
	}
	if values[field.slot].kind != valueAbsent {
		return &fault{"duplicate_name", "the field " + field.name + " is there more than once"}
	}
	v := value{b.items[i].kind, b.value(i)}
	if b.items[i].list {
		v.text, err = b.appendJSON(nil, i, false)
	}
	values[field.slot] = v
	return err
}

// appendJSON writes attribute i. A list is an array of objects with one member each, because the keys of its items
// may repeat. An attribute with others nested in it is {"value": …, "nested": {…}} where nested says so.
func (b *bag) appendJSON(dst []byte, i int, nested bool) ([]byte, error) {
	it, end := b.items[i], b.after(i)
	if it.list {
		return b.appendItems(dst, i+1, end)
	}
	scalar := value{it.kind, b.value(i)}
	if end == i+1 || !nested {
		return scalar.appendJSON(dst)
	}
	dst, err := scalar.appendJSON(append(dst, `{"value":`...))
	if err != nil {
		return dst, err
	}
	dst = append(dst, `,"nested":{`...)
	for j := i + 1; j < end; j = b.after(j) {
		if j > i+1 {
			dst = append(dst, ',')
		}
		if dst, err = b.appendMember(dst, j); err != nil {
			return dst, err
		}
	}
	return append(dst, "}}"...), nil
}

func (b *bag) appendItems(dst []byte, from, to int) (_ []byte, err error) {
	dst = append(dst, '[')
	for j := from; j < to; j = b.after(j) {
		if j > from {
			dst = append(dst, ',')
		}
		if dst, err = b.appendMember(append(dst, '{'), j); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

func (b *bag) appendMember(dst []byte, i int) ([]byte, error) {
	dst, err := jsontext.AppendQuote(dst, b.key(i))
	if err != nil {
		return dst, badText(err)
	}
	return b.appendJSON(append(dst, ':'), i, true)
}

// trueOrFalse reads the four spellings of an xs:boolean, in any case.
func trueOrFalse(text []byte) (is, ok bool) {
	switch {
	case bytes.EqualFold(text, []byte("true")), string(text) == "1":
		return true, true
	case bytes.EqualFold(text, []byte("false")), string(text) == "0":
		return false, true
	}
	return false, false
}
