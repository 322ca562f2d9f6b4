package jsonschema

import (
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// find walks over data along the places of a plan.
type find struct {
	*tape.Tape
	out   *schema.Findings
	stack []uint32 // values from the top to the present one; tape.None: not there
	path  []byte   // of the present value, where it differs from event to event
	paths []byte   // such paths, all of them
	spots []spot   // whose they are
	slots []uint32 // members by place, for the objects on the way
	fixed []resolved
	texts []heard
}

// spot is a path in paths, and what it is the path of.
type spot struct {
	from, to  uint32
	number    int
	reference bool
}

// resolved is a subject that is in the same place in every event.
type resolved struct {
	ref   string
	known bool
}

// heard is a reference that was already made a string.
type heard struct {
	at  uint32
	ref string
}

// Locate finds personal values and references. See schema.Plan. Of joint subjects two that are the same person by the
// same reference count once. A value that is not there, and whose subject is not there either, is left out.
func (p *plan) Locate(data []byte, f *schema.Findings) error {
	f.Values, f.References = f.Values[:0], f.References[:0]
	w, err := p.start(data)
	if err != nil {
		return err
	}
	defer p.done(w)
	d := &w.find
	d.reset(&w.Tape, f, p.fixed)
	err = d.visit(p.root, 0)
	d.forget()
	if err != nil {
		f.Values, f.References = f.Values[:0], f.References[:0]
		return err
	}
	d.name(f)
	order(f)
	return nil
}

func (d *find) reset(t *tape.Tape, f *schema.Findings, fixed int) {
	d.Tape, d.out = t, f
	d.stack, d.path, d.paths, d.spots = d.stack[:0], d.path[:0], d.paths[:0], d.spots[:0]
	d.slots, d.texts = d.slots[:0], d.texts[:0]
	d.fixed = slices.Grow(d.fixed[:0], fixed)[:fixed]
	clear(d.fixed)
}

// forget drops what the memory that is used again holds of this event.
func (d *find) forget() {
	d.out = nil
	clear(d.texts)
	clear(d.fixed)
}

// name gives values and references the paths that differ from event to event: one string holds all of them.
func (d *find) name(f *schema.Findings) {
	if len(d.spots) == 0 {
		return
	}
	all := string(d.paths)
	for _, s := range d.spots {
		if s.reference {
			f.References[s.number].Path = all[s.from:s.to]
		} else {
			f.Values[s.number].Path = all[s.from:s.to]
		}
	}
}

func order(f *schema.Findings) {
	byPath := func(a, b schema.Value) int { return strings.Compare(a.Path, b.Path) }
	if !slices.IsSortedFunc(f.Values, byPath) {
		slices.SortFunc(f.Values, byPath)
	}
	refByPath := func(a, b schema.Reference) int { return strings.Compare(a.Path, b.Path) }
	if !slices.IsSortedFunc(f.References, refByPath) {
		slices.SortFunc(f.References, refByPath)
	}
}

func (d *find) visit(p *place, i uint32) error {
	d.stack = append(d.stack[:p.depth], i)
	var kind byte
	if i != tape.None {
		kind = d.Entries[i].Kind
	}
	if p.kind != "" {
		return d.reference(p, i, kind)
	}
	object, array := kind == '{' && !p.wholeObject, kind == '[' && !p.wholeArray
	if p.value {
		there := i != tape.None && !object && !array
		if err := d.value(p, i, there); err != nil || there {
			return err
		}
	}
	if len(p.props) > 0 {
		if !object {
			i = tape.None
		}
		if err := d.object(p, i); err != nil {
			return err
		}
	}
	if len(p.prefix) > 0 || p.rest != nil {
		if !array {
			i = tape.None
		}
		return d.array(p, i)
	}
	return nil
}

// object visits the places in an object; i may be tape.None.
func (d *find) object(p *place, i uint32) error {
	base := len(d.slots)
	for range p.props {
		d.slots = append(d.slots, tape.None)
	}
	if i != tape.None {
		for j, end := i+1, d.Entries[i].Next; j < end; j = d.Entries[j].Next {
			if n, ok := p.byName[string(d.Text(j))]; ok {
				d.slots[base+n] = j + 1
			}
		}
	}
	way := len(d.path)
	for n, child := range p.props {
		if child.dynamic {
			d.path = appendStep(d.path[:way], child.step)
		}
		if err := d.visit(child, d.slots[base+n]); err != nil {
			return err
		}
	}
	d.path, d.slots = d.path[:way], d.slots[:base]
	return nil
}

// array visits the places in an array; i may be tape.None.
func (d *find) array(p *place, i uint32) error {
	way, j, end := len(d.path), tape.None, tape.None
	if i != tape.None {
		j, end = i+1, d.Entries[i].Next
	}
	for n := 0; n < len(p.prefix) || j < end && p.rest != nil; n++ {
		at, child := tape.None, p.rest
		if j < end {
			at, j = j, d.Entries[j].Next
		}
		if n < len(p.prefix) {
			child = p.prefix[n]
		}
		if child == nil {
			continue
		}
		if child.dynamic {
			if !p.dynamic {
				d.path = append(d.path, p.path...)
			}
			d.path = strconv.AppendInt(append(d.path, '/'), int64(n), 10)
		}
		if err := d.visit(child, at); err != nil {
			return err
		}
		d.path = d.path[:way]
	}
	return nil
}

// spot keeps the path of what is noted next, or answers the path if it is always the same.
func (d *find) spot(p *place, number int, reference bool) string {
	if !p.dynamic {
		return p.path
	}
	from := len(d.paths)
	d.paths = append(d.paths, d.path...)
	d.spots = append(d.spots, spot{uint32(from), uint32(len(d.paths)), number, reference})
	return ""
}

func tooMany() error {
	return event.Invalid("oversized", "check data: more than %d personal values or references", schema.MaxFound).
		Hint("declare arrays themselves, not their elements: each is then one value")
}

func (d *find) reference(p *place, i uint32, kind byte) error {
	if kind != '"' {
		return nil // not there, or null
	}
	f := d.out
	if len(f.References) == schema.MaxFound {
		return tooMany()
	}
	e := &d.Entries[i]
	f.References = append(f.References, schema.Reference{
		Path: d.spot(p, len(f.References), true), Kind: p.kind, Ref: d.hear(i), At: e.At, End: e.End,
	})
	return nil
}

// hear is a text as a string, made once.
func (d *find) hear(i uint32) string {
	const few = 32
	for _, h := range d.texts {
		if h.at == i {
			return h.ref
		}
	}
	ref := string(d.Text(i))
	if len(d.texts) < few {
		d.texts = append(d.texts, heard{i, ref})
	}
	return ref
}

func (d *find) value(p *place, i uint32, there bool) error {
	f := d.out
	n := len(f.Values)
	if n == schema.MaxFound {
		return tooMany()
	}
	if n < cap(f.Values) {
		f.Values = f.Values[:n+1] // what stood here before leaves the memory of its subjects
	} else {
		f.Values = append(f.Values, schema.Value{})
	}
	v := &f.Values[n]
	*v = schema.Value{Mark: p.mark, Subjects: v.Subjects[:0], State: ledger.Absent}
	if there {
		e := &d.Entries[i]
		v.State, v.At, v.End = ledger.Null, e.At, e.End
		if e.Kind != 'n' {
			v.State, v.Bytes = ledger.Value, d.Raw(i)
		}
	}
	for t := range p.targets {
		s := p.targets[t].Subject
		if s.From == schema.FromData {
			if s.Ref = d.resolve(&p.targets[t]); s.Ref == "" {
				return d.unresolved(p, there)
			}
		}
		if !slices.Contains(v.Subjects, s) {
			v.Subjects = append(v.Subjects, s)
		}
	}
	v.Path = d.spot(p, n, false)
	return nil
}

func (d *find) unresolved(p *place, there bool) error {
	d.out.Values = d.out.Values[:len(d.out.Values)-1]
	if !there {
		return nil
	}
	path := p.path
	if p.dynamic {
		path = string(d.path)
	}
	return event.Invalid("subject_unresolved",
		"check data: nothing says whose %s is: its subject is missing or empty", path)
}

// resolve is the reference that a subject leads to, or nothing.
func (d *find) resolve(t *target) string {
	if t.fixed >= 0 && d.fixed[t.fixed].known {
		return d.fixed[t.fixed].ref
	}
	i := d.stack[t.base]
	for _, step := range t.steps {
		if i == tape.None {
			break
		}
		if d.Entries[i].Kind != '[' {
			i = d.Member(i, step)
			continue
		}
		n, ok := index(step)
		if !ok {
			i = tape.None
			break
		}
		i = d.Element(i, n)
	}
	ref := ""
	if i != tape.None && d.Entries[i].Kind == '"' {
		ref = d.hear(i)
	}
	if t.fixed >= 0 {
		d.fixed[t.fixed] = resolved{ref, true}
	}
	return ref
}
