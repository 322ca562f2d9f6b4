package jsonschema

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
)

// edit replaces some bytes.
type edit struct {
	at, end uint32
	with    []byte
	krid    event.KRID
	hole    int // index into the holes; -1: none
}

func null() []byte { return []byte("null") }

// kridLength is the length of a KRID as a JSON text.
const kridLength = len(`"krid_00000000000000000000000000"`)

// Cut is data without its personal values. A hole is the offset of the null that stands for a value.
func (p *plan) Cut(data []byte, f *schema.Findings, alias []event.KRID, holes []uint32) ([]byte, []uint32, error) {
	if len(alias) != len(f.References) {
		return nil, holes, event.Invalid("schema_invalid", "cut data: %d aliases for %d references",
			len(alias), len(f.References))
	}
	w := p.pool.Get().(*walk)
	defer p.done(w)
	w.edits = w.edits[:0]
	first := len(holes)
	nothing := null()
	for i := range f.Values {
		holes = append(holes, schema.NoHole)
		if v := &f.Values[i]; v.State != ledger.Absent {
			w.edits = append(w.edits, edit{at: v.At, end: v.End, with: nothing, hole: first + i})
		}
	}
	for i := range f.References {
		if alias[i].IsZero() {
			return nil, holes[:first], event.Invalid("schema_invalid", "cut data: a reference without an alias")
		}
		w.edits = append(w.edits, edit{at: f.References[i].At, end: f.References[i].End, krid: alias[i], hole: -1})
	}
	slices.SortFunc(w.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	open := make([]byte, 0, len(data)+kridLength*len(alias))
	done := uint32(0)
	for i := range w.edits {
		e := &w.edits[i]
		if e.at < done || e.end < e.at || int(e.end) > len(data) {
			return nil, holes[:first], event.Invalid("schema_invalid", "cut data: the findings are of other data")
		}
		open = append(open, data[done:e.at]...)
		if e.hole >= 0 {
			holes[e.hole] = uint32(len(open))
			open = append(open, e.with...)
		} else {
			open = append(append(append(open, '"'), e.krid.String()...), '"')
		}
		done = e.end
	}
	return append(open, data[done:]...), holes, nil
}

// Fill puts values into their holes. A hole may also lead to a reference that Cut made a KRID, to show another in its
// place.
func (p *plan) Fill(open []byte, values []schema.Filling) ([]byte, error) {
	w := p.pool.Get().(*walk)
	defer p.done(w)
	w.edits = w.edits[:0]
	size := len(open)
	for i := range values {
		v := &values[i]
		if v.State != ledger.Value {
			continue
		}
		n := filled(open, v.Hole)
		if n == 0 || len(v.Bytes) == 0 {
			return nil, event.Errorf(event.ErrCorrupt, "fill data: no hole for %s at offset %d", v.Path, v.Hole)
		}
		w.edits = append(w.edits, edit{at: v.Hole, end: v.Hole + uint32(n), with: v.Bytes})
		size += len(v.Bytes)
	}
	slices.SortFunc(w.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	data := make([]byte, 0, size)
	done := uint32(0)
	for i := range w.edits {
		e := &w.edits[i]
		if e.at < done {
			return nil, event.Errorf(event.ErrCorrupt, "fill data: two values for the hole at offset %d", e.at)
		}
		data = append(append(data, open[done:e.at]...), e.with...)
		done = e.end
		e.with = nil
	}
	return append(data, open[done:]...), nil
}

// filled is how many bytes stand in a hole; 0: it is none.
func filled(open []byte, hole uint32) int {
	if int64(hole) >= int64(len(open)) {
		return 0
	}
	rest := open[hole:]
	switch {
	case bytes.HasPrefix(rest, null()):
		return len(null())
	case len(rest) >= kridLength && rest[0] == '"' && rest[kridLength-1] == '"':
		if _, err := event.ParseKRID(string(rest[1 : kridLength-1])); err == nil {
			return kridLength
		}
	}
	return 0
}
