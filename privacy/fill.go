package privacy

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/sealed"
)

// filler puts opened values into one event after the other.
type filler struct {
	event  *event.Event
	values []schema.Filling
}

// take adds what was in a box. The bytes stay the bench's until the event is finished.
func (f *filler) take(c *sealed.Content) {
	for i := range c.Slots {
		s := &c.Slots[i]
		switch {
		case s.State == uint8(ledger.Absent):
		case s.Kind == uint8(ledger.KindMetadata):
			if f.event.Metadata == nil { // the key stays with an empty value, unless the row was changed
				f.event.Metadata = map[string]string{}
			}
			f.event.Metadata[s.Path] = string(s.Value)
		default:
			f.values = append(f.values, schema.Filling{Path: s.Path, Hole: s.Hole, State: ledger.SlotState(s.State),
				Bytes: s.Value})
		}
	}
}

// done gives the room of the values back to the bench, without what was in it.
func (f *filler) done(w *bench) {
	clear(f.values)
	w.values = f.values[:0]
}

// finish puts the values of the data in, in the order of their places.
func (f *filler) finish(p *Privacy) error {
	if len(f.values) == 0 {
		return nil
	}
	plan, err := p.plan(f.event)
	if err != nil {
		return err
	}
	slices.SortFunc(f.values, func(a, b schema.Filling) int {
		if a.Hole != b.Hole {
			return int(int64(a.Hole) - int64(b.Hole))
		}
		return strings.Compare(a.Path, b.Path)
	})
	f.event.Data, err = plan.Fill(f.event.Data, f.values)
	return err
}

// plan is the schema an event was checked against.
func (p *Privacy) plan(e *event.Event) (schema.Plan, error) {
	v := p.schemas.Version(e.Schema)
	if v == nil {
		return nil, event.Errorf(event.ErrCorrupt, "read event %s: its schema %s is not in the log", e.ID, e.Schema)
	}
	return v.Plan()
}

// withhold notes of every value that is not opened where it would stand, and why. Verdicts are those on the boxes.
func (r *Reading) withhold(e *event.Event, boxes []sealed.Box, verdicts []verdict, f *schema.Findings) error {
	st := r.now.Load()
	note := func(path string, value *schema.Value) {
		i := r.boxOf(e, boxes, value)
		if i < 0 {
			return
		}
		if v := &verdicts[i]; v.why != "" && v.why != policy.Undisclosed {
			e.Withheld = append(e.Withheld, event.Withheld{Path: path, Group: boxes[i].Group, Reason: v.why, Receipt: v.receipt})
		}
	}
	for _, key := range e.MetadataKeys() {
		if m, ok := st.policy.Metadata(key); ok && e.Metadata[key] == "" {
			note(metadataPath+key, &schema.Value{Mark: &schema.Mark{Group: m.Group, Retention: m.Retention},
				Subjects: []schema.Subject{{From: schema.FromRelation, Role: m.Role}}})
		}
	}
	if e.Schema == (event.SchemaID{}) || len(e.Data) == 0 {
		return nil
	}
	plan, err := r.plan(e)
	if err != nil {
		return err
	}
	if err := plan.Locate(e.Data, f); err != nil {
		return err
	}
	for i := range f.Values {
		if value := &f.Values[i]; value.State != ledger.Absent {
			note(value.Path, value)
		}
	}
	return nil
}

// boxOf is which box a value lies in: that of its group, class and owners; -1: there is none.
func (r *Reading) boxOf(e *event.Event, boxes []sealed.Box, v *schema.Value) int {
	var room [4]event.KRID
	owners := room[:0]
	for i := range v.Subjects {
		krid, err := event.ParseKRID(r.subject(e, &v.Subjects[i]))
		if err != nil {
			return -1
		}
		owners = append(owners, krid)
	}
	if len(owners) == 0 {
		return -1
	}
	return slices.IndexFunc(boxes, func(b sealed.Box) bool {
		return b.Group == v.Mark.Group && b.Class == v.Mark.Retention && owns(&b, owners)
	})
}

// subject is the alias that a stored event has for a subject of a value.
func (r *Reading) subject(e *event.Event, s *schema.Subject) string {
	switch s.From {
	case schema.FromStream:
		return e.Stream.ID
	case schema.FromStore:
		return keyring.OfStore(r.store).String()
	case schema.FromRelation:
		found := ""
		for i := range e.Relations {
			if rel := &e.Relations[i]; rel.Role == s.Role && event.IsKRID(rel.ID) {
				found = rel.ID
			}
		}
		return found
	}
	return s.Ref
}

// owns tells whether a box is of all these persons.
func owns(b *sealed.Box, persons []event.KRID) bool {
	for _, krid := range persons {
		if !slices.ContainsFunc(b.Owners, func(o sealed.Owner) bool { return o.KRID == krid }) {
			return false
		}
	}
	return true
}

// parallelFrom is how many events make opening them on several cores worth while.
const parallelFrom = 32

// parallel runs do for every event, on several cores where there are many.
func (r *Reading) parallel(do func(w *bench, i int) error) error {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(r.events)/parallelFrom))
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			w := r.benches.Get().(*bench)
			defer func() {
				w.clear()
				r.benches.Put(w)
			}()
			for i := len(r.events) * n / workers; i < len(r.events)*(n+1)/workers && errs[n] == nil; i++ {
				errs[n] = do(w, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
