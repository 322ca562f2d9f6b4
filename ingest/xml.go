package ingest

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// Bounds of the XML that is read. XES needs a depth of a few.
const (
	maxTagBytes    = 2 << 20
	maxDepth       = 64
	maxNameBytes   = 256
	maxTagAttrs    = 64
	maxDeclaration = 1024
)

type tagKind uint8

const (
	tagOpen tagKind = iota
	tagClose
	tagEmpty
)

// tag is one tag of an XML document. Its bytes are valid until the next one is read.
type tag struct {
	kind  tagKind
	name  []byte // as written
	attrs []xmlAttr
	line  int64
}

type xmlAttr struct{ name, value []byte }

// attr is the value of an attribute, nil if there is none.
func (t *tag) attr(name string) []byte {
	for i := range t.attrs {
		if string(t.attrs[i].name) == name {
			return t.attrs[i].value
		}
	}
	return nil
}

// local is the name without its namespace prefix.
func (t *tag) local() string { return string(t.name[bytes.IndexByte(t.name, ':')+1:]) }

// tokenizer reads the tags of a UTF-8 XML 1.0 document in constant memory. It knows exactly what a data file needs:
// tags, attributes, comments, processing instructions, the five predefined entities and character references. A
// document type declaration is refused, and with it every entity trick; so are text outside of skipped elements,
// tags that do not nest, repeated attributes and whatever XML does not allow in a name or a value.
//
// It exists because encoding/xml takes many times as long and does not bound the size of a tag.
type tokenizer struct {
	r       io.Reader
	readErr error  // why reading ended; io.EOF is the good end
	buf     []byte // buf[pos:end] is read and not yet looked at
	pos     int
	end     int
	line    int64
	begun   bool // something was read, so an XML declaration may not follow
	rooted  bool // the root element was seen
	loose   bool // text is allowed: inside an element that is skipped
	cur     tag
	scratch []byte // values that differ from how they are written
	names   []byte // names of the open elements, one after the other
	starts  []int  // where each begins in names
}

func newTokenizer(r io.Reader) *tokenizer {
	return &tokenizer{r: r, buf: make([]byte, bufferBytes), line: 1}
}

func (t *tokenizer) fail(cause string) error { return &malformed{line: t.line, cause: cause} }

// next is the next tag; io.EOF after the root element was closed.
func (t *tokenizer) next() (*tag, error) {
	for {
		if err := t.text(); err != nil {
			return nil, err
		}
		if err := t.want(len("<![CDATA[")); err != nil {
			return nil, err
		}
		b := t.buf[t.pos:t.end]
		var err error
		switch {
		case bytes.HasPrefix(b, []byte("<!--")):
			err = t.skipPast("<!--", "-->")
		case bytes.HasPrefix(b, []byte("<![CDATA[")) && t.loose:
			err = t.skipPast("<![CDATA[", "]]>")
		case bytes.HasPrefix(b, []byte("<![CDATA[")):
			err = t.fail("it has text where XES has none")
		case bytes.HasPrefix(b, []byte("<!")):
			err = t.fail("document type declarations are refused, they can define entities")
		case bytes.HasPrefix(b, []byte("<?xml")) && len(b) > 5 && isSpace(b[5]):
			err = t.declaration()
		case bytes.HasPrefix(b, []byte("<?")):
			err = t.skipPast("<?", "?>")
		default:
			t.begun = true
			return t.tag()
		}
		if err != nil {
			return nil, err
		}
		t.begun = true
	}
}

// skip passes over the element that was just opened.
func (t *tokenizer) skip() error {
	t.loose = true
	for depth := len(t.starts); len(t.starts) >= depth; {
		if _, err := t.next(); err != nil {
			return err
		}
	}
	t.loose = false
	return nil
}

// text passes over what stands before the next tag.
func (t *tokenizer) text() error {
	for {
		chunk := t.buf[t.pos:t.end]
		i := bytes.IndexByte(chunk, '<')
		if i >= 0 {
			chunk = chunk[:i]
		}
		if j := firstNonSpace(chunk); j >= 0 && !t.loose {
			t.advance(j)
			return t.fail("it has text where XES has none")
		}
		t.begun = t.begun || len(chunk) > 0
		t.advance(len(chunk))
		if i >= 0 {
			return nil
		}
		if err := t.fill(); err != nil {
			return t.ended(err)
		}
	}
}

// ended decides whether the document may end here.
func (t *tokenizer) ended(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case !t.rooted:
		return t.fail("it has no element")
	case len(t.starts) > 0:
		return t.fail("it is cut off")
	}
	return io.EOF
}

// want makes n bytes available, or all there are.
func (t *tokenizer) want(n int) error {
	for t.end-t.pos < n {
		if err := t.fill(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fill reads until the buffer is full, so that what is looked at again after a fill has at least doubled. What was
// read before an error is delivered before the error.
func (t *tokenizer) fill() error {
	if t.readErr != nil {
		return t.readErr
	}
	copy(t.buf, t.buf[t.pos:t.end])
	t.end -= t.pos
	t.pos = 0
	if t.end == len(t.buf) {
		if len(t.buf) >= maxTagBytes {
			return t.fail("a tag is larger than 2 MiB")
		}
		t.buf = append(t.buf, make([]byte, len(t.buf))...)
	}
	n, err := io.ReadFull(t.r, t.buf[t.end:])
	t.end += n
	if errors.Is(err, io.ErrUnexpectedEOF) && n > 0 {
		err = nil // the reader will say on the next call whether this was the good end
	}
	if err != nil {
		t.readErr = err
	}
	if n > 0 {
		return nil
	}
	return t.readErr
}

func (t *tokenizer) advance(n int) {
	t.line += int64(bytes.Count(t.buf[t.pos:t.pos+n], []byte("\n")))
	t.pos += n
}

func (t *tokenizer) skipPast(start, end string) error {
	t.advance(len(start))
	for {
		if i := bytes.Index(t.buf[t.pos:t.end], []byte(end)); i >= 0 {
			t.advance(i + len(end))
			return nil
		}
		t.advance(max(0, t.end-t.pos-len(end)+1))
		if err := t.fill(); errors.Is(err, io.EOF) {
			return t.fail("it is cut off")
		} else if err != nil {
			return err
		}
	}
}

// declaration reads <?xml … ?>, of which only the encoding matters.
func (t *tokenizer) declaration() error {
	if t.begun {
		return t.fail("an XML declaration stands after the beginning")
	}
	if err := t.want(maxDeclaration); err != nil {
		return err
	}
	b := t.buf[t.pos:t.end]
	n := bytes.Index(b[:min(len(b), maxDeclaration)], []byte("?>"))
	if n < 0 {
		return t.fail("its XML declaration does not end")
	}
	if i := bytes.Index(b[:n], []byte("encoding")); i >= 0 {
		name := bytes.TrimLeft(b[i+len("encoding"):n], " \t\r\n=")
		if len(name) < 7 || !bytes.EqualFold(name[1:6], []byte("utf-8")) || name[6] != name[0] {
			return t.fail("its encoding is not UTF-8; convert it first")
		}
	}
	t.advance(n + 2)
	return nil
}

// tag reads the tag that begins at pos.
func (t *tokenizer) tag() (*tag, error) {
	n, err := t.tagSize()
	if err != nil {
		return nil, err
	}
	b := t.buf[t.pos : t.pos+n]
	if !utf8.Valid(b) {
		return nil, t.fail("it is not valid UTF-8")
	}
	t.cur.line, t.cur.kind, t.cur.attrs, t.scratch = t.line, tagOpen, t.cur.attrs[:0], t.scratch[:0]
	b = b[1 : n-1]
	switch {
	case len(b) > 0 && b[0] == '/':
		t.cur.kind, b = tagClose, b[1:]
	case len(b) > 0 && b[len(b)-1] == '/':
		t.cur.kind, b = tagEmpty, b[:len(b)-1]
	}
	if t.cur.name, b = cutName(b); t.cur.name == nil {
		return nil, t.fail("a tag has no proper name")
	}
	if err := t.attributes(b); err != nil {
		return nil, err
	}
	if err := t.nest(); err != nil {
		return nil, err
	}
	t.advance(n)
	return &t.cur, nil
}

// tagSize finds the end of the tag, reading on as far as needed.
func (t *tokenizer) tagSize() (int, error) {
	for {
		n, ok := tagEnd(t.buf[t.pos:t.end])
		if !ok {
			return 0, t.fail("a tag is not closed: a < stands in it")
		}
		if n > 0 {
			return n, nil
		}
		if err := t.fill(); errors.Is(err, io.EOF) {
			return 0, t.fail("it is cut off")
		} else if err != nil {
			return 0, err
		}
	}
}

// tagEnd is the size of the tag that b begins with, 0 if b ends before; not ok: another tag begins inside.
func tagEnd(b []byte) (n int, ok bool) {
	quote := byte(0)
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '<':
			return 0, false
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '>':
			return i + 1, true
		case c == '"' || c == '\'':
			quote = c
		}
	}
	return 0, true
}

// attributes reads name="value" pairs until b is used up.
func (t *tokenizer) attributes(b []byte) error {
	for {
		rest := trimSpace(b)
		if len(rest) == 0 {
			return nil
		}
		if len(rest) == len(b) {
			return t.fail("a space is missing in a tag")
		}
		var a xmlAttr
		if a.name, rest = cutName(rest); a.name == nil || t.cur.kind == tagClose {
			return t.fail("a tag has a malformed attribute")
		}
		rest = trimSpace(rest)
		if len(rest) == 0 || rest[0] != '=' {
			return t.fail("an attribute has no value")
		}
		rest = trimSpace(rest[1:])
		if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
			return t.fail("an attribute's value has no quotes")
		}
		n := bytes.IndexByte(rest[1:], rest[0])
		if n < 0 {
			return t.fail("an attribute's value has no closing quote")
		}
		var err error
		if a.value, err = t.unescape(rest[1 : n+1]); err != nil {
			return err
		}
		if len(t.cur.attrs) == maxTagAttrs || t.cur.attr(string(a.name)) != nil {
			return t.fail("a tag repeats an attribute, or has more than 64")
		}
		t.cur.attrs = append(t.cur.attrs, a)
		b = rest[n+2:]
	}
}

// nest checks that the tag opens or closes what it may.
func (t *tokenizer) nest() error {
	depth := len(t.starts)
	if t.cur.kind == tagClose {
		if depth == 0 || !bytes.Equal(t.names[t.starts[depth-1]:], t.cur.name) {
			return t.fail("an end tag does not match its start tag")
		}
		t.names = t.names[:t.starts[depth-1]]
		t.starts = t.starts[:depth-1]
		return nil
	}
	if depth == 0 && t.rooted {
		return t.fail("something follows the root element")
	}
	t.rooted = true
	if t.cur.kind == tagOpen {
		if depth == maxDepth {
			return t.fail("elements are nested deeper than 64")
		}
		t.starts = append(t.starts, len(t.names))
		t.names = append(t.names, t.cur.name...)
	}
	return nil
}

// unescape gives the value an attribute has: references resolved, white space made spaces (XML 1.0, 3.3.3).
func (t *tokenizer) unescape(raw []byte) ([]byte, error) {
	i := 0
	for i < len(raw) && raw[i] >= ' ' && raw[i] != '&' {
		i++
	}
	if i == len(raw) {
		return raw, nil
	}
	begin := len(t.scratch)
	t.scratch = append(t.scratch, raw[:i]...)
	for i < len(raw) {
		switch c := raw[i]; {
		case c == '&':
			n := bytes.IndexByte(raw[i:], ';')
			if n < 0 || n > 10 {
				return nil, t.fail("a & is not followed by a known reference")
			}
			char, ok := reference(string(raw[i+1 : i+n]))
			if !ok {
				return nil, t.fail("an entity is not one of amp, lt, gt, quot, apos or a character reference")
			}
			t.scratch = utf8.AppendRune(t.scratch, char)
			i += n
		case isSpace(c):
			t.scratch = append(t.scratch, ' ')
		case c < ' ':
			return nil, t.fail("a value has a control character")
		default:
			t.scratch = append(t.scratch, c)
		}
		i++
	}
	return t.scratch[begin:len(t.scratch):len(t.scratch)], nil
}

// reference is the character that &name; stands for.
func reference(name string) (rune, bool) {
	switch name {
	case "amp":
		return '&', true
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	base, digits := 10, name[1:]
	if digits[0] == 'x' {
		base, digits = 16, digits[1:]
	}
	n, err := strconv.ParseUint(digits, base, 32)
	char := rune(n)
	ok := err == nil && n <= utf8.MaxRune && utf8.ValidRune(char) && char != 0xfffe && char != 0xffff &&
		(char >= ' ' || char == '\t' || char == '\n' || char == '\r')
	return char, ok
}

// cutName takes an XML name from the front of b; a nil name: there is none.
func cutName(b []byte) (name, rest []byte) {
	i := 0
	for i < len(b) && isNameByte(b[i], i > 0) {
		i++
	}
	if i == 0 || i > maxNameBytes {
		return nil, b
	}
	return b[:i], b[i:]
}

func isNameByte(c byte, inside bool) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == ':' || c >= utf8.RuneSelf ||
		inside && (c >= '0' && c <= '9' || c == '-' || c == '.')
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

func firstNonSpace(b []byte) int {
	for i, c := range b {
		if !isSpace(c) {
			return i
		}
	}
	return -1
}
