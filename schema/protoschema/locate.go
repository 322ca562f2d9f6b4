package protoschema

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
)

// locator collects what a walk finds.
type locator struct {
	walker
	f       *schema.Findings
	paths   []byte // of all values and references, end to end
	values  []span // where the path of each value lies in paths
	refs    []span
	scratch []byte
	owners  []schema.Subject
}

type span struct{ from, to int }

// locate fills f with the places of an event.
func locate(m *message, f *schema.Findings) error {
	l := &locator{f: f}
	f.Values, f.References = f.Values[:0], f.References[:0]
	l.value, l.reference = l.addValue, l.addReference
	if !m.node.deep {
		return nil
	}
	if err := l.walk(m, 0, -1); err != nil {
		f.Values, f.References = f.Values[:0], f.References[:0]
		return err
	}
	paths := string(l.paths)
	for i, s := range l.values {
		f.Values[i].Path = paths[s.from:s.to]
	}
	for i, s := range l.refs {
		f.References[i].Path = paths[s.from:s.to]
	}
	order(f)
	return nil
}

// order sorts findings by the bytes of their paths.
func order(f *schema.Findings) {
	slices.SortFunc(f.Values, func(a, b schema.Value) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(f.References, func(a, b schema.Reference) int { return strings.Compare(a.Path, b.Path) })
}

// here notes the path of what was found.
func (l *locator) here() span {
	start := len(l.paths)
	l.paths = append(l.paths, l.path...)
	return span{start, len(l.paths)}
}

func (l *locator) full(n int) error {
	if n < schema.MaxFound {
		return nil
	}
	return event.Invalid("oversized", "check data: it holds more than %d personal values or references", schema.MaxFound).
		Hint("mark the repeated field instead of the fields of its elements")
}

func (l *locator) addValue(f *field, p *part) error {
	owners, err := l.owned(f, p != nil)
	if err != nil || owners == nil {
		return err
	}
	if err := l.full(len(l.f.Values)); err != nil {
		return err
	}
	v := schema.Value{Mark: f.mark, Subjects: owners}
	if p != nil {
		v.State, v.Bytes = ledger.Value, l.bytes(p)
	}
	l.f.Values = append(l.f.Values, v)
	l.values = append(l.values, l.here())
	return nil
}

// owned returns the subjects of a value; nil for a value that is not there and nobody's.
func (l *locator) owned(f *field, there bool) ([]schema.Subject, error) {
	if f.fixed != nil {
		return f.fixed, nil
	}
	start := len(l.owners)
	all, missing := l.subjects(f, l.owners)
	if missing != nil {
		if there {
			return nil, l.unresolved(f, missing)
		}
		return nil, nil
	}
	l.owners = all
	return slices.Clip(all[start:]), nil
}

// bytes is the fixed encoding of a value; texts are not copied.
func (l *locator) bytes(p *part) []byte {
	if p.list == nil && p.value.msg == nil && p.f.wire == protowire.BytesType {
		return p.value.raw
	}
	start := len(l.scratch)
	l.scratch = appendPart(l.scratch, p)
	return slices.Clip(l.scratch[start:])
}

func (l *locator) addReference(f *field, raw *[]byte) error {
	if err := l.full(len(l.f.References)); err != nil {
		return err
	}
	l.f.References = append(l.f.References, schema.Reference{Kind: f.refKind, Ref: string(*raw)})
	l.refs = append(l.refs, l.here())
	return nil
}
