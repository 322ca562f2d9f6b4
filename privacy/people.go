package privacy

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/storage"
)

// people is who is spoken of: references that are to be resolved, and aliases that callers gave themselves.
type people struct {
	refs    []keyring.Reference
	index   map[keyring.Reference]who // once there are many
	given   []event.KRID
	kinds   []string     // of given
	found   []event.KRID // of refs
	texts   [2][]string  // of the aliases of found and of given, once they are wanted
	patches []patch
}

// who stands for a person until the alias is known: refs[n], or below zero given[-1-n].
type who int

// patch is a place where an alias is to stand.
type patch struct {
	id *string
	who
}

func (p *people) clear() {
	clear(p.refs)
	clear(p.patches)
	p.refs, p.given, p.kinds, p.found = p.refs[:0], p.given[:0], p.kinds[:0], p.found[:0]
	p.patches = p.patches[:0]
	for i := range p.texts {
		clear(p.texts[i])
		p.texts[i] = p.texts[i][:0]
	}
	p.index = nil
}

// known is who has an alias, spoken of as an entity of a kind. Nobody is the store, whatever alias is given.
func (p *people) known(kind string, k event.KRID) who {
	for i := range p.given {
		if p.given[i] == k && p.kinds[i] == kind {
			return who(-1 - i)
		}
	}
	p.given, p.kinds = append(p.given, k), append(p.kinds, kind)
	return who(-len(p.given))
}

// linear is how many references are searched one by one.
const linear = 16

// add is who a reference names.
func (p *people) add(r keyring.Reference) who {
	if p.index == nil {
		if i := slices.Index(p.refs, r); i >= 0 {
			return who(i)
		}
		if len(p.refs) == linear {
			p.index = make(map[keyring.Reference]who, 4*linear)
			for i, r := range p.refs {
				p.index[r] = who(i)
			}
		}
	} else if i, ok := p.index[r]; ok {
		return i
	}
	p.refs = append(p.refs, r)
	if p.index != nil {
		p.index[r] = who(len(p.refs) - 1)
	}
	return who(len(p.refs) - 1)
}

// krid is the alias of a person, once resolved.
func (p *people) krid(x who) event.KRID {
	if x < 0 {
		return p.given[-1-x]
	}
	return p.found[x]
}

// text is krid as text.
func (p *people) text(x who) string {
	list, i := &p.texts[0], int(x)
	if x < 0 {
		list, i = &p.texts[1], int(-1-x)
	}
	for len(*list) <= i {
		*list = append(*list, "")
	}
	if (*list)[i] == "" {
		(*list)[i] = p.krid(x).String()
	}
	return (*list)[i]
}

// kind is of what kind of entity a person is spoken of.
func (p *people) kind(x who) string {
	if x < 0 {
		return p.kinds[-1-x]
	}
	return p.refs[x].Kind
}

// person is who a reference of a kind of persons names: a reference, or an alias.
func (w *work) person(kind, ref string) (who, error) {
	if event.IsKRID(ref) {
		k, err := event.ParseKRID(ref)
		if err != nil {
			return 0, err
		}
		return w.known(kind, k), nil
	}
	normal, err := w.policy.Normal(kind, ref)
	if err != nil {
		return 0, err
	}
	return w.add(keyring.Reference{Kind: kind, Ref: normal}), nil
}

// patch notes that *id, of an entity of a kind, is to become an alias, if the kind is one of persons.
func (w *work) patch(what, kind string, id *string) error {
	if !w.policy.Person(kind) {
		if event.IsKRID(*id) && kind != event.SystemKind {
			return event.Invalid("not_a_person", "check %s of kind %s: a KRID names a person, and the kind is not declared one",
				what, kind).Hint("declare it in the policy: lethe purpose set")
		}
		return nil
	}
	x, err := w.person(kind, *id)
	if err == nil {
		w.patches = append(w.patches, patch{id, x})
	}
	return err
}

// alias is a filter of our own whose entities of persons are to become aliases.
func (w *work) alias(f event.Filter) (event.Filter, error) {
	f = slices.Clone(f)
	for i := range f {
		m := &f[i]
		if !m.Stream.IsZero() {
			if err := w.patch("stream", m.Stream.Kind, &m.Stream.ID); err != nil {
				return nil, err
			}
		}
		m.Relations = slices.Clone(m.Relations)
		for j := range m.Relations {
			if err := w.patch("relation", m.Relations[j].Kind, &m.Relations[j].ID); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// nobody is the alias of references that nobody has had so far: no event speaks of it.
var nobody = event.KRID{}.String()

// resolve finds the alias of every reference and puts it where it is to stand. With mint, persons that are new get one,
// and aliases that were given must be somebody's.
func (w *work) resolve(ctx context.Context, mint bool) error {
	var given []event.KRID
	if mint {
		var err error
		if given, err = w.claimed(); err != nil {
			return err
		}
	}
	if len(w.refs)+len(given) > 0 {
		keeper, err := w.ring()
		if err != nil {
			return err
		}
		if len(given) > 0 {
			if err := w.check(ctx, keeper, given); err != nil {
				return err
			}
		}
		if len(w.refs) > 0 {
			if w.found, err = keeper.Resolve(ctx, w.refs, mint); err != nil {
				return err
			}
		}
	}
	for _, x := range w.patches {
		if *x.id = w.text(x.who); *x.id == nobody && mint {
			return event.Errorf(event.ErrCorrupt, "resolve reference: a new person got no alias")
		}
	}
	return nil
}

// check refuses aliases that callers gave and that are nobody's, or somebody's who is not known as one of that kind:
// what is said under them would be found under neither.
func (w *work) check(ctx context.Context, keeper *keyring.Keeper, given []event.KRID) error {
	if err := keeper.Check(ctx, given); err != nil {
		return err
	}
	references, err := keeper.References(ctx, given)
	if err != nil {
		return err
	}
	for i, kind := range w.kinds {
		if kind == event.SystemKind {
			continue
		}
		list := references[slices.Index(given, w.given[i])]
		if !slices.ContainsFunc(list, func(r keyring.Reference) bool { return r.Kind == kind }) {
			return event.Invalid("not_a_person", "check %s: nobody of kind %s has this alias", w.given[i], kind).
				Hint("see of whom it is: lethe subject show %s", w.given[i])
		}
	}
	return nil
}

// claimed are the aliases that callers gave. The store's own is not among them: it is there as soon as it is needed. A
// person who is said to have it is refused like one whose alias is nobody's, for that keyring is never destroyed.
func (w *work) claimed() (list []event.KRID, err error) {
	own := keyring.OfStore(w.store)
	for i, k := range w.given {
		switch {
		case k != own:
			if list == nil {
				list = make([]event.KRID, 0, len(w.given)-i)
			}
			list = append(list, k)
		case w.kinds[i] != event.SystemKind:
			return nil, &event.Error{Sentinel: event.ErrNotFound, Code: "unknown_person",
				Message: "check " + k.String() + ": nobody has this KRID"}
		}
	}
	return list, nil
}

// Query is a query in which references to persons are aliases, and the fence as of which it is known who is one. A
// reference to somebody who was never spoken of matches nothing.
func (p *Privacy) Query(ctx context.Context, q storage.Query) (_ storage.Query, fence uint64, err error) {
	st := p.now.Load()
	if st.plain || q.Stream.IsZero() && !q.Filter.NamesEntities() {
		return q, st.fence, nil
	}
	w := p.work(st)
	defer w.done()
	if !q.Stream.IsZero() {
		if err = w.patch("stream", q.Stream.Kind, &q.Stream.ID); err != nil {
			return q, st.fence, err
		}
	}
	if q.Filter, err = w.alias(q.Filter); err != nil {
		return q, st.fence, err
	}
	return q, st.fence, w.resolve(ctx, false)
}

// Alias is an actor and a stream as the log knows them: by aliases, where their kinds are persons. Who acts may be new;
// a stream of somebody who was never spoken of is one that is not there.
func (p *Privacy) Alias(ctx context.Context, by event.Actor, stream event.StreamID,
) (event.Actor, event.StreamID, error) {
	by, err := p.alias(ctx, by)
	if err != nil || stream.IsZero() {
		return by, stream, err
	}
	q, _, err := p.Query(ctx, storage.Query{Stream: stream})
	return by, q.Stream, err
}
