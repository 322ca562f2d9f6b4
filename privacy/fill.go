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
	blank  []string // metadata keys whose values are opened, and empty
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
			if len(s.Value) == 0 {
				f.blank = append(f.blank, s.Path)
			}
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
	f.strike()
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

// strike takes what is opened out of what is withheld: a closed box may have the same header as the one it lay in.
func (f *filler) strike() {
	e := f.event
	if len(e.Withheld) == 0 || len(f.values)+len(f.blank) == 0 {
		return
	}
	slices.SortFunc(f.values, func(a, b schema.Filling) int { return strings.Compare(a.Path, b.Path) })
	e.Withheld = slices.DeleteFunc(e.Withheld, func(w event.Withheld) bool {
		if key, ok := strings.CutPrefix(w.Path, metadataPath); ok {
			return slices.Contains(f.blank, key)
		}
		_, opened := slices.BinarySearchFunc(f.values, w.Path, func(v schema.Filling, path string) int {
			return strings.Compare(v.Path, path)
		})
		return opened
	})
	if len(e.Withheld) == 0 {
		e.Withheld = nil
	}
}

// plan is the schema an event was checked against.
func (p *Privacy) plan(e *event.Event) (schema.Plan, error) {
	v := p.schemas.Version(e.Schema)
	if v == nil {
		return nil, event.Errorf(event.ErrCorrupt, "read event %s: its schema %s is not in the log", e.ID, e.Schema)
	}
	return v.Plan()
}

// withhold notes of every value that is not opened where it would stand, and why. Verdicts are those on the boxes. A
// value that may have lain in another box, which was opened, is struck off when the event is finished.
func (r *Reading) withhold(e *event.Event, boxes []sealed.Box, verdicts []verdict, f *schema.Findings) error {
	st := r.now.Load()
	note := func(path string, value *schema.Value) {
		i := r.boxOf(e, boxes, verdicts, value)
		if i < 0 {
			return
		}
		if v := &verdicts[i]; v.why != policy.Undisclosed {
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

// boxOf is which box a value lies in, of those that stay closed: one of its group, class and owners; -1: there is none.
// Of several, whose periods differ, it is the one that ends nearest to where the value would end by the present policy.
func (r *Reading) boxOf(e *event.Event, boxes []sealed.Box, verdicts []verdict, v *schema.Value) int {
	var room [8]claim
	claims := r.claims(room[:0], e, v)
	found, end := -1, int64(0)
	for i := range boxes {
		b := &boxes[i]
		switch {
		case verdicts[i].why == "" || b.Group != v.Mark.Group || b.Class != v.Mark.Retention:
		case !owned(b, claims, len(v.Subjects)):
		case found < 0:
			found = i
		case b.Bucket != boxes[found].Bucket:
			if end == 0 {
				end = r.end(e, v.Mark)
			}
			if max(b.Bucket, end)-min(b.Bucket, end) < max(boxes[found].Bucket, end)-min(boxes[found].Bucket, end) {
				found = i
			}
		}
	}
	return found
}

// end is the bucket that a value with a mark would be put into by the present policy; 0 also where that cannot be told.
func (r *Reading) end(e *event.Event, m *schema.Mark) int64 {
	from, ok := e.RecordedAt, true
	switch m.From {
	case "", "recorded":
	case "occurred":
		from = e.OccurredAt
	default:
		from, ok = dateAt(e.Data, m.From)
	}
	bucket, err := r.now.Load().policy.Bucket(m.Retention, from)
	if !ok || err != nil {
		return 0
	}
	return bucket
}

// claim says that somebody may be a subject of a value, the one with this index.
type claim struct {
	krid    event.KRID
	subject int
}

// claims appends who the subjects of a value may be in a stored event. A relation's role may be that of several: of the
// person it was sealed for, and of those whom sealing related in role subject.
func (r *Reading) claims(list []claim, e *event.Event, v *schema.Value) []claim {
	add := func(subject int, id string) {
		if !event.IsKRID(id) {
			return
		}
		if krid, err := event.ParseKRID(id); err == nil {
			list = append(list, claim{krid, subject})
		}
	}
	for i := range v.Subjects {
		switch s := &v.Subjects[i]; s.From {
		case schema.FromStream:
			add(i, e.Stream.ID)
		case schema.FromStore:
			list = append(list, claim{keyring.OfStore(r.store), i})
		case schema.FromRelation:
			for j := range e.Relations {
				if e.Relations[j].Role == s.Role {
					add(i, e.Relations[j].ID)
				}
			}
		default:
			add(i, s.Ref)
		}
	}
	return list
}

// owned tells whether the owners of a box are the subjects of a value: each of them, and nobody else.
func owned(b *sealed.Box, claims []claim, subjects int) bool {
	owns := func(krid event.KRID) bool {
		return slices.ContainsFunc(b.Owners, func(o sealed.Owner) bool { return o.KRID == krid })
	}
	for i := range b.Owners {
		if !slices.ContainsFunc(claims, func(c claim) bool { return c.krid == b.Owners[i].KRID }) {
			return false
		}
	}
	for i := range subjects {
		if !slices.ContainsFunc(claims, func(c claim) bool { return c.subject == i && owns(c.krid) }) {
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
