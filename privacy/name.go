package privacy

import (
	"context"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
)

// names is the references of the persons that a batch speaks of, where the reader may see them.
type names struct {
	of     [][]event.KRID // by event, each alias once
	person map[event.KRID]keyring.Person
}

// name finds out whose references may be shown.
func (r *Reading) name(ctx context.Context, keeper *keyring.Keeper) error {
	r.names = names{}
	if !r.grant.References() {
		return nil
	}
	r.names = names{of: make([][]event.KRID, len(r.events)), person: map[event.KRID]keyring.Person{}}
	var all []event.KRID
	var f schema.Findings
	for i := range r.events {
		aliases, err := r.spokenOf(&r.events[i], &f)
		if err != nil {
			return err
		}
		r.names.of[i] = aliases
		for _, k := range aliases {
			if _, ok := r.names.person[k]; !ok {
				r.names.person[k] = keyring.Person{}
				all = append(all, k)
			}
		}
	}
	if _, err := keeper.References(ctx, all); err != nil { // all at once: what follows finds them in memory
		return err
	}
	for _, k := range all {
		person, err := keeper.Person(ctx, k)
		if err != nil {
			return err
		}
		if person.State != keyring.Live || r.grant.Person(policy.Reference, person.Standing, r.moment) != "" {
			delete(r.names.person, k)
			continue
		}
		r.names.person[k] = person
	}
	return nil
}

// spokenOf lists the aliases in an event: of its stream, its relations, and its data.
func (r *Reading) spokenOf(e *event.Event, f *schema.Findings) (list []event.KRID, err error) {
	add := func(kind, id string) {
		if !r.state.policy.Person(kind) {
			return
		}
		k, err := event.ParseKRID(id)
		if err != nil {
			return
		}
		for _, have := range list {
			if have == k {
				return
			}
		}
		list = append(list, k)
	}
	add(e.Stream.Kind, e.Stream.ID)
	for _, rel := range e.Relations {
		add(rel.Kind, rel.ID)
	}
	if e.Schema == (event.SchemaID{}) || len(e.Data) == 0 {
		return list, nil
	}
	plan, err := r.plan(e)
	if err != nil {
		return nil, err
	}
	if err := plan.Locate(e.Data, f); err != nil {
		return nil, err
	}
	for i := range f.References {
		add(f.References[i].Kind, f.References[i].Ref)
	}
	return list, nil
}

// show puts into event i what its aliases stand for.
func (n *names) show(i int, e *event.Event) {
	if n.of == nil {
		return
	}
	for _, k := range n.of[i] {
		person, ok := n.person[k]
		if !ok {
			continue
		}
		for _, ref := range person.References {
			e.Names = append(e.Names, event.Name{KRID: k, Kind: ref.Kind, Ref: ref.Ref})
		}
	}
}
