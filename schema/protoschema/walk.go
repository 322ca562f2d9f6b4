package protoschema

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
)

// walker goes through the places of an event: by field number, elements by index, a message's places before those of
// what follows it. A message that is not there has no places.
type walker struct {
	frames []frame
	path   []byte
	// value is called for every personal value, with nil for one that is not there.
	value func(f *field, p *part) error
	// reference is called for every reference that is not empty.
	reference func(f *field, raw *[]byte) error
}

// frame is a message on the way down: by which field of the message above, which element, and the frames from which
// subjects of its values go.
type frame struct {
	msg        *message
	via        protowire.Number
	index      int // -1: the field holds one
	below, key int
}

// walk visits the places of a message and below it.
func (w *walker) walk(m *message, via protowire.Number, index int) error {
	fr := frame{msg: m, via: via, index: index}
	if n := len(w.frames); n > 0 {
		fr.below, fr.key = w.frames[n-1].below, w.frames[n-1].key
	}
	if m.node.below {
		fr.below = len(w.frames)
	}
	if m.node.key {
		fr.key = len(w.frames)
	}
	w.frames = append(w.frames, fr)
	for _, f := range m.node.active {
		mark := len(w.path)
		w.path = strconv.AppendInt(append(w.path, '/'), int64(f.num), 10)
		if err := w.visit(f, m.find(f.num)); err != nil {
			return err
		}
		w.path = w.path[:mark]
	}
	w.frames = w.frames[:len(w.frames)-1]
	return nil
}

func (w *walker) visit(f *field, p *part) error {
	switch {
	case f.role == sealed:
		return w.value(f, p)
	case p == nil:
		return nil
	case p.list == nil && f.role == reference:
		return w.refer(f, &p.value.raw)
	case p.list == nil:
		return w.walk(p.value.msg, f.num, -1)
	}
	mark := len(w.path)
	for i := range p.list.len() {
		w.path = strconv.AppendInt(append(w.path[:mark], '/'), int64(i), 10)
		var err error
		if f.role == reference {
			err = w.refer(f, &p.list.raws[i])
		} else {
			err = w.walk(p.list.msgs[i], f.num, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) refer(f *field, raw *[]byte) error {
	if len(*raw) == 0 {
		return nil // nobody is named
	}
	return w.reference(f, raw)
}

// subjects finds whose a value of the innermost message is. missing is the first path that leads to no reference.
func (w *walker) subjects(f *field, into []schema.Subject) (_ []schema.Subject, missing []protowire.Number) {
	start := len(into)
	for _, r := range f.routes {
		if r.from != schema.FromData {
			into = append(into, r.fixed())
			continue
		}
		ref := w.follow(r)
		if len(ref) == 0 {
			return into, r.path
		}
		s := schema.Subject{From: schema.FromData, Kind: r.kind, Ref: string(ref)}
		if !slices.Contains(into[start:], s) {
			into = append(into, s)
		}
	}
	return into, nil
}

// follow goes from the message in which a route starts to the reference at its end; nil if there is none.
func (w *walker) follow(r route) []byte {
	last := w.frames[len(w.frames)-1]
	from, along := last.msg, 0
	switch r.start {
	case startBelow:
		from = w.frames[last.below].msg
	case startKey:
		from = w.frames[last.key].msg
	case startRoot:
		from = w.frames[0].msg
	}
	for i, num := range r.path {
		p := from.find(num)
		switch {
		case p == nil:
			return nil
		case i == len(r.path)-1:
			return p.value.raw
		case p.list == nil:
			from = p.value.msg
		default:
			// The path of the value itself says which element is meant.
			if along = i + 1; along >= len(w.frames) || !w.shares(r.path[:along]) {
				return nil
			}
			from = w.frames[along].msg
		}
	}
	return nil
}

// shares says that the value lies below the given fields.
func (w *walker) shares(path []protowire.Number) bool {
	for i, num := range path {
		if w.frames[i+1].via != num {
			return false
		}
	}
	return true
}

// unresolved is the error of a value whose subject is not there.
func (w *walker) unresolved(f *field, path []protowire.Number) error {
	to := ""
	for _, n := range path {
		to += "/" + strconv.Itoa(int(n))
	}
	return event.Invalid("subject_unresolved", "check data: %s (%s): its subject, at %s from %s, is not there",
		w.path, f.desc.FullName(), to, startName(f)).Hint("set the reference, or leave the value out")
}

func startName(f *field) string {
	for _, r := range f.routes {
		if r.from == schema.FromData {
			return [...]string{
				startHere: "its message", startBelow: "the message whose declaration covers it",
				startKey: "the message with the key", startRoot: "the event",
			}[r.start]
		}
	}
	return ""
}
