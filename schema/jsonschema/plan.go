package jsonschema

import (
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema/tape"
)

// plan is a compiled schema.
type plan struct {
	top    *node
	root   *place
	fixed  int
	marks  []schema.Place
	strict bool
	pool   sync.Pool // of *walk
}

var _ schema.Plan = (*plan)(nil)

func newPlan(top *node, root *place, x *expander) *plan {
	p := &plan{top: top, root: root, fixed: x.fixed, marks: x.marks, strict: x.strict}
	if x.over {
		p.marks = nil // it names no person, and lists more than anybody reads
	}
	p.pool.New = func() any { return &walk{Tape: tape.Tape{Depth: tape.DataDepth}} }
	return p
}

// Format is event.JSON.
func (p *plan) Format() event.Format { return event.JSON }

// Marks are the places of all scalars, by path: those of a schema that names no person say nothing but their types.
func (p *plan) Marks() []schema.Place { return p.marks }

// walk is the memory that reading one event's data takes. It is used again.
type walk struct {
	tape.Tape
	check check
	find  find
	edits []edit
}

// start reads data; done gives the memory back. No data is read as an empty object.
func (p *plan) start(data []byte) (*walk, error) {
	if len(data) > 4*event.MaxDataBytes {
		return nil, event.Invalid("oversized", "check data: %d bytes are too many", len(data))
	}
	if len(data) == 0 {
		data = []byte("{}")
	}
	w := p.pool.Get().(*walk)
	if err := w.Read(data); err != nil {
		p.done(w)
		return nil, err
	}
	if w.Entries[0].Kind != '{' {
		p.done(w)
		return nil, event.Invalid("invalid_json", "check data: want a JSON object")
	}
	return w, nil
}

// maxKept is the number of entries above which memory is not kept for the next event.
const maxKept = 1 << 14

func (p *plan) done(w *walk) {
	w.Data = nil
	if cap(w.Entries) <= maxKept {
		p.pool.Put(w)
	}
}
