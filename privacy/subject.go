package privacy

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// Subject finds a person by a reference of a kind, or by the alias: event.ErrNotFound with code unknown_person if
// nobody has the reference, event.ErrDenied with code erased_subject if who had it was erased.
func (p *Privacy) Subject(ctx context.Context, kind, ref string) (event.KRID, error) {
	st, err := p.refresh(ctx)
	if err != nil {
		return event.KRID{}, err
	}
	if event.IsKRID(ref) {
		return event.ParseKRID(ref)
	}
	if !st.policy.Person(kind) {
		return event.KRID{}, event.Invalid("not_a_person", "find person: kind %s is not declared one", kind).
			Hint("lethe purpose show lists the kinds that are")
	}
	w := p.work(st)
	defer w.done()
	if err := w.patch("person", kind, &ref); err != nil {
		return event.KRID{}, err
	}
	if err := w.resolve(ctx, false); err != nil {
		return event.KRID{}, err
	}
	if ref == nobody {
		return event.KRID{}, &event.Error{Sentinel: event.ErrNotFound, Code: "unknown_person",
			Message: "find person: nobody of kind " + kind + " has this reference", Next: "check the reference"}
	}
	return event.ParseKRID(ref)
}

// Person is what the keyring says of a person, without references: those an opening may show are in its Names.
type Person struct {
	keyring.Person
	Names    []event.Name
	Consents []policy.ConsentState // those of its standing that count now
}

// Person tells about a person. References are shown, and the use recorded, only if the opening allows it.
func (p *Privacy) Person(ctx context.Context, o event.Opening, krid event.KRID) (out Person, err error) {
	keeper, err := p.ring()
	if err != nil {
		return Person{}, err
	}
	recorded := false
	err = p.steady(ctx, func(st *state) error {
		found, err := keeper.Person(ctx, krid)
		if err != nil {
			return err
		}
		out = Person{Person: found}
		out.References = nil
		out.Consents = st.policy.Consents(found.Standing, p.clock.Now())
		out.Groups = slices.DeleteFunc(slices.Clone(out.Groups), func(g keyring.GroupKeys) bool {
			return st.policy.Undisclosed(g.Group)
		})
		if o.IsZero() || found.State != keyring.Live || len(found.References) == 0 {
			return nil
		}
		a, err := p.allow(ctx, o, st)
		if err != nil || a.grant.Person(policy.Reference, found.Standing, a.moment) != "" {
			return err
		}
		for _, ref := range found.References {
			out.Names = append(out.Names, event.Name{KRID: krid, Kind: ref.Kind, Ref: ref.Ref})
		}
		if recorded {
			return nil
		}
		recorded = true
		return a.record(ctx, o.Code, []storage.UseEntry{{KRID: krid, Group: policy.Reference, Count: 1}})
	})
	if err != nil {
		return Person{}, err
	}
	return out, nil
}

// Holding is where values of one group of a person lie.
type Holding struct {
	Group       string
	Class       string // retention class
	Until       int64  // last day it is kept, as yyyymmdd; 0: no fixed end
	Boxes       int
	First, Last event.Position
	Types       []string // of the events
	Joint       bool     // some are jointly somebody else's
}

// Footprint is what the log holds of a person.
type Footprint struct {
	KRID     event.KRID
	Events   int // that speak of the person
	Holdings []Holding
	Roles    map[string]int // in how many events the person is related how; "stream": events of the person's own streams
}

// Map walks the events that speak of a person, by the relations index, and says what is held where and until when. It
// opens nothing. Groups that are undisclosed are left out.
func (p *Privacy) Map(ctx context.Context, krid event.KRID, progress func(events int)) (Footprint, error) {
	st, err := p.refresh(ctx)
	if err != nil {
		return Footprint{}, err
	}
	f := footprint{Footprint: Footprint{KRID: krid, Roles: map[string]int{}}, at: map[holdingKey]*Holding{}}
	q := storage.Query{Filter: st.speakingOf(krid), Limit: 512}
	for len(q.Filter) > 0 {
		page, err := p.log.Page(ctx, q)
		if err != nil {
			return Footprint{}, err
		}
		for i := range page.Records {
			if err := f.add(st, &page.Records[i]); err != nil {
				return Footprint{}, err
			}
		}
		if progress != nil {
			progress(f.Events)
		}
		if page.Done {
			break
		}
		q.From = page.Scanned + 1
	}
	return f.finish(), nil
}

// speakingOf is a filter for events that speak of a person under any kind that is declared one.
func (s *state) speakingOf(krid event.KRID) (f event.Filter) {
	id := krid.String()
	kinds := s.policy.Document().Kinds
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if kinds[kind].Person {
			f = append(f, event.Match{Stream: event.Stream(kind, id)},
				event.Match{Relations: []event.Relation{{Kind: kind, ID: id}}})
		}
	}
	return f
}

type holdingKey struct {
	group, class string
	until        int64
}

type footprint struct {
	Footprint
	at map[holdingKey]*Holding
}

func (f *footprint) add(st *state, r *storage.Record) error {
	f.Events++
	e, err := r.Event()
	if err != nil {
		return err
	}
	id := f.KRID.String()
	if e.Stream.ID == id {
		f.Roles["stream"]++
	}
	roles := map[string]bool{}
	for _, rel := range e.Relations {
		if rel.ID == id && !roles[rel.Role] {
			roles[rel.Role] = true
			f.Roles[rel.Role]++
		}
	}
	boxes, err := sealed.Parse(r.Boxes)
	if err != nil {
		return err
	}
	for i := range boxes {
		b := &boxes[i]
		mine := slices.ContainsFunc(b.Owners, func(o sealed.Owner) bool { return o.KRID == f.KRID })
		if !mine || st.policy.Undisclosed(b.Group) {
			continue
		}
		key := holdingKey{b.Group, b.Class, b.Bucket}
		h := f.at[key]
		if h == nil {
			h = &Holding{Group: b.Group, Class: b.Class, Until: b.Bucket, First: e.Position}
			f.at[key] = h
		}
		h.Boxes++
		h.Last = e.Position
		h.Joint = h.Joint || b.Joint
		if !slices.Contains(h.Types, e.Type) {
			h.Types = append(h.Types, e.Type)
		}
	}
	return nil
}

func (f *footprint) finish() Footprint {
	for _, h := range f.at {
		slices.Sort(h.Types)
		f.Holdings = append(f.Holdings, *h)
	}
	slices.SortFunc(f.Holdings, func(a, b Holding) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), cmp.Compare(a.Until, b.Until), strings.Compare(a.Class, b.Class))
	})
	return f.Footprint
}

// Uses lists who read what of a person, newest first, up to q.Limit; q.Before goes on from an earlier answer (0: from
// the newest). Groups and purposes that are undisclosed are left out.
func (p *Privacy) Uses(ctx context.Context, q storage.UseQuery) (storage.UsePage, error) {
	st, err := p.refresh(ctx)
	if err != nil {
		return storage.UsePage{}, err
	}
	if p.uses == nil {
		_, err := p.ring()
		return storage.UsePage{}, err
	}
	page, err := p.uses.PageUses(ctx, q)
	if err != nil {
		return storage.UsePage{}, err
	}
	hidden := func(e storage.UseEntry) bool { return st.policy.Undisclosed(e.Group) }
	for i := range page.Uses {
		page.Uses[i].Entries = slices.DeleteFunc(page.Uses[i].Entries, hidden)
	}
	page.Uses = slices.DeleteFunc(page.Uses, func(u storage.Use) bool {
		purpose, _ := st.policy.Purpose(u.Purpose)
		return purpose.Undisclosed || len(u.Entries) == 0
	})
	return page, nil
}
