package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
)

// Upcaster makes the data of one version into data of the next. It is a pure function of an open document, in which
// each personal value is a *Token: it may be moved or dropped, and there is nothing in it to compute with.
//
// The document is made of map[string]any, []any, string, bool, nil, json.Number and *Token, and so is the answer, which
// may be the document itself, changed. Of an error that is no *ScriptError only that there was one is told.
type Upcaster struct {
	Name string // in Version.Upcaster, with language "go"
	Func Upcast
}

// upcastNext is what to do about data that does not come to its present form.
const upcastNext = "read it as it was written, or push a version whose upcaster takes it"

// Token stands for a personal value. Data cannot forge one: it is a Go value of a type that no JSON decodes to.
type Token struct{ path string }

// String says nothing of the value.
func (t *Token) String() string { return "sealed value" }

// Moved says where an upcaster put a personal value.
type Moved struct {
	From string // path in the older version
	To   string // path in the newer one; empty: it was dropped
	Hole uint32 // where null stands for it in the new data; NoHole: it was dropped
}

// Bounds of a document that an upcaster makes.
const (
	maxDocumentDepth = 1_000
	maxDocument      = 4 * event.MaxDataBytes
)

// Upcast applies u to data that Cut returned, in which f was located. The answer is the new data, in which names are
// sorted, and where each value that was there went, by the path it comes from. References are aliases and stay texts.
func (u *Upcaster) Upcast(open []byte, f *Findings) (data []byte, moved []Moved, err error) {
	document, tokens, err := tokenise(open, f)
	if err != nil {
		return nil, nil, err
	}
	after, err := u.run(document)
	if err != nil {
		return nil, nil, err
	}
	w := &documentWriter{upcaster: u.Name, places: map[*Token]Moved{}}
	if err := w.write(after, 0); err != nil {
		return nil, nil, err
	}
	for _, t := range tokens {
		m, kept := w.places[t]
		if !kept {
			m = Moved{Hole: NoHole}
		}
		m.From = t.path
		moved = append(moved, m)
		delete(w.places, t)
	}
	if len(w.places) > 0 {
		return nil, nil, w.fault("it made a value of its own look personal")
	}
	return w.buf, moved, nil
}

// run keeps a panic of the function from ending the program; its value may hold data and is dropped.
func (u *Upcaster) run(document map[string]any) (after map[string]any, err error) {
	defer func() {
		if recover() != nil {
			err = event.Invalid("upcast_failed", "upcast by %s: the function panics", u.Name)
		}
	}()
	after, err = u.Func(document)
	if err != nil {
		return nil, event.Invalid("upcast_failed", "upcast by %s: %s", u.Name, plainly(err)).Hint(upcastNext)
	}
	return after, nil
}

// tokenise puts tokens into the places of values that are there.
func tokenise(open []byte, f *Findings) (map[string]any, []*Token, error) {
	dec := json.NewDecoder(bytes.NewReader(open))
	dec.UseNumber()
	document := map[string]any{}
	if len(open) > 0 && dec.Decode(&document) != nil {
		return nil, nil, event.Errorf(event.ErrCorrupt, "upcast: the data is no JSON object")
	}
	var tokens []*Token
	for i := range f.Values {
		if f.Values[i].State == ledger.Absent {
			continue
		}
		t := &Token{f.Values[i].Path}
		if !place(document, t) {
			return nil, nil, event.Errorf(event.ErrCorrupt, "upcast: there is no place %s in the data", t.path)
		}
		tokens = append(tokens, t)
	}
	return document, tokens, nil
}

// place puts a token where its path leads, in the place of null.
func place(document map[string]any, t *Token) bool {
	steps := strings.Split(strings.TrimPrefix(t.path, "/"), "/")
	var at any = document
	for i, step := range steps {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		last := i == len(steps)-1
		switch c := at.(type) {
		case map[string]any:
			next, there := c[step]
			if last && there && next == nil {
				c[step] = t
				return true
			}
			at = next
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(c) {
				return false
			}
			if last && c[n] == nil {
				c[n] = t
				return true
			}
			at = c[n]
		default:
			return false
		}
	}
	return false
}

// documentWriter writes a document and notes where tokens come to stand.
type documentWriter struct {
	upcaster string
	buf      []byte
	path     []byte
	places   map[*Token]Moved
}

func (w *documentWriter) fault(format string, args ...any) error {
	return event.Invalid("upcast_failed", "upcast by %s: %s", w.upcaster, fmt.Sprintf(format, args...)).
		Hint(upcastNext)
}

func (w *documentWriter) write(v any, depth int) (err error) {
	if depth > maxDocumentDepth || len(w.buf) > maxDocument {
		return w.fault("the document is too large")
	}
	switch v := v.(type) {
	case nil:
		w.buf = append(w.buf, "null"...)
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case string:
		if w.buf, err = jsontext.AppendQuote(w.buf, v); err != nil {
			return w.fault("a text is no UTF-8")
		}
	case json.Number:
		literal := jsontext.Value(v)
		if !literal.IsValid() || literal.Kind() != '0' {
			return w.fault("a number is none")
		}
		w.buf = append(w.buf, v...)
	case *Token:
		if _, twice := w.places[v]; twice || v == nil {
			return w.fault("a personal value is there twice")
		}
		w.places[v] = Moved{To: string(w.path), Hole: uint32(len(w.buf))}
		w.buf = append(w.buf, "null"...)
	case []any:
		return w.list(v, depth)
	case map[string]any:
		return w.object(v, depth)
	default:
		return w.fault("the document holds a Go type that is not of JSON")
	}
	return nil
}

func (w *documentWriter) list(list []any, depth int) error {
	w.buf = append(w.buf, '[')
	way := len(w.path)
	for i, v := range list {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.path = strconv.AppendInt(append(w.path[:way], '/'), int64(i), 10)
		if err := w.write(v, depth+1); err != nil {
			return err
		}
	}
	w.buf, w.path = append(w.buf, ']'), w.path[:way]
	return nil
}

func (w *documentWriter) object(o map[string]any, depth int) (err error) {
	w.buf = append(w.buf, '{')
	way := len(w.path)
	for i, name := range slices.Sorted(maps.Keys(o)) {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if w.buf, err = jsontext.AppendQuote(w.buf, name); err != nil {
			return w.fault("a name is no UTF-8")
		}
		w.buf = append(w.buf, ':')
		step := event.EscapePointer(name)
		w.path = append(append(w.path[:way], '/'), step...)
		if err := w.write(o[name], depth+1); err != nil {
			return err
		}
	}
	w.buf, w.path = append(w.buf, '}'), w.path[:way]
	return nil
}
