package keyring

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// Check reports whether KRIDs that a caller gave are those of persons: one that nobody has is event.ErrNotFound with
// code unknown_person, one of a person who was erased event.ErrDenied with code erased_subject. That of the store
// (OfStore) is fine also before its keyring was made.
func (k *Keeper) Check(ctx context.Context, krids []event.KRID) error {
	now := k.tick()
	warm := k.leased(now)
	for _, krid := range krids {
		warm = warm && k.cache.live(krid, now)
	}
	if warm {
		return nil
	}
	begun := k.begun()
	return k.view(ctx, krids, func(krid event.KRID, r *ring) error {
		switch {
		case r == nil && krid == OfStore(k.o.Store) && !begun:
		case r == nil:
			return fault(event.ErrNotFound, "unknown_person", "check %s: nobody has this KRID", krid)
		case r.ended != nil:
			return erasedSubject("check %s: the person was erased", krid)
		}
		return nil
	})
}

// References returns by which references persons are known, index by index: none for those who were erased. A keyring
// that is not there is event.ErrCorrupt with code key_missing.
func (k *Keeper) References(ctx context.Context, krids []event.KRID) ([][]Reference, error) {
	known := make(map[event.KRID][]Reference, len(krids))
	err := k.view(ctx, krids, func(krid event.KRID, r *ring) error {
		if r == nil {
			return missing("name %s: the keyring is not there", krid)
		}
		known[krid] = slices.Clone(r.References)
		return nil
	})
	if err != nil {
		return nil, err
	}
	names := make([][]Reference, len(krids))
	for i, krid := range krids {
		names[i] = known[krid]
	}
	return names, nil
}

// Person is what the keyring of a person says. One that nobody has is event.ErrNotFound with code unknown_person.
func (k *Keeper) Person(ctx context.Context, krid event.KRID) (Person, error) {
	p := Person{KRID: krid, State: Live}
	err := k.view(ctx, []event.KRID{krid}, func(_ event.KRID, r *ring) error {
		if r == nil {
			return fault(event.ErrNotFound, "unknown_person", "show %s: nobody has this KRID", krid)
		}
		p.Version, p.Epoch = r.Version, r.Epoch
		if r.ended != nil {
			p.State, p.Receipt = Erased, r.ended.Receipt
			return nil
		}
		p.References, p.Standing = slices.Clone(r.References), r.Standing
		for i := range r.Groups {
			p.Groups = append(p.Groups, show(&r.Groups[i]))
		}
		return nil
	})
	if err != nil {
		return Person{}, err
	}
	return p, nil
}

// show is a group without its keys.
func show(g *wrapped.Group) GroupKeys {
	shown := GroupKeys{Group: g.Name, ErasedThrough: g.Erased.Through, Receipt: g.Erased.Receipt}
	for i := range g.Generations {
		if g.Generations[i].Epoch > 0 {
			shown.Generations = append(shown.Generations, g.Erased.Through+uint32(i)+1)
		}
	}
	return shown
}

// view shows each of the keyrings, once; nil: it is not there. They may not be kept.
func (k *Keeper) view(ctx context.Context, krids []event.KRID, show func(event.KRID, *ring) error) error {
	h, err := k.hold(ctx, false)
	if err != nil {
		return err
	}
	defer h.release()
	as := k.cache.forgets.Load()
	found, err := k.rings(ctx, h, krids)
	if err != nil {
		return err
	}
	defer found.wipe()
	for _, krid := range krids {
		if err := show(krid, found[krid]); err != nil {
			return err
		}
	}
	k.keep(found, as)
	return nil
}

// rings gets keyrings for one call: copies of those in memory, and the others from the keystore.
func (k *Keeper) rings(ctx context.Context, h *held, krids []event.KRID) (rings, error) {
	now := k.tick()
	copies := rings{}
	var ask []event.KRID
	asked := map[event.KRID]bool{}
	for _, krid := range krids {
		if asked[krid] {
			continue
		}
		asked[krid] = true
		if r := k.cache.copied(krid, now); r != nil {
			copies[krid] = r
		} else {
			ask = append(ask, krid)
		}
	}
	found, err := k.fetch(ctx, h, ask)
	if err != nil {
		copies.wipe()
		return nil, err
	}
	for krid, r := range copies {
		found[krid] = r
	}
	return found, nil
}

// Amend changes what holds for a person. change gets a standing of its own and may be called again, if others changed
// the keyring meanwhile; if it answers false or an error, nothing is stored. Errors are those of Check, but a keyring
// that is not there is event.ErrCorrupt with code key_missing.
func (k *Keeper) Amend(ctx context.Context, krid event.KRID,
	change func(*policy.Standing) (changed bool, err error)) error {
	h, err := k.hold(ctx, false)
	if err != nil {
		return err
	}
	defer h.release()
	_, err = k.revise(ctx, h, krid, func(r *ring, _ *storage.KeyChange) (bool, error) {
		own, err := copyStanding(r.Standing)
		if err != nil {
			return false, err
		}
		changed, err := change(own)
		if err != nil || !changed {
			return false, err
		}
		if r.Standing = own; own.Empty() {
			r.Standing = nil
		}
		return true, nil
	})
	return err
}

// copyStanding is a deep copy.
func copyStanding(s *policy.Standing) (*policy.Standing, error) {
	own := &policy.Standing{}
	if s.Empty() {
		return own, nil
	}
	b, err := s.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return own, own.UnmarshalBinary(b)
}

// AddReference makes a person known by another reference. One that is another person's is event.ErrConflict with code
// reference_taken, one of a person who was erased event.ErrDenied with code erased_subject.
func (k *Keeper) AddReference(ctx context.Context, krid event.KRID, ref Reference) error {
	if err := validate(ref, 0); err != nil {
		return err
	}
	h, err := k.hold(ctx, false)
	if err != nil {
		return err
	}
	defer h.release()
	if h.current == nil {
		return missing("change keyring %s: it is not there", krid)
	}
	if _, err := k.inscribe(ctx, h, []string{ref.Kind}, nil); err != nil {
		return err
	}
	_, err = k.revise(ctx, h, krid, func(r *ring, _ *storage.KeyChange) (bool, error) {
		if slices.Contains(r.References, ref) {
			return false, nil
		}
		if len(r.References) >= maxReferences {
			return false, event.Invalid("too_many_references", "add reference: %s has %d", krid, len(r.References))
		}
		holders, err := k.holders(ctx, h, []Reference{ref})
		if err != nil {
			return false, err
		}
		if holders[0].suppressed(event.Micros(k.o.Clock.Now())) {
			return false, erasedSubject("add reference to %s: its person was erased", krid)
		}
		r.References = append(r.References, ref)
		return true, nil
	})
	return err
}
