package keyring

import (
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// sealings is how many values are sealed under a generation, on average, before the next one begins; a roll of one
// generation (to correct or erase a value) seals as many again.
const sealings = 10_000

// ForSealing writes the keys for wants to dst, index by index; dst is at least as long. Generations and retention keys
// that are not there are made, and are durable when ForSealing returns. A person who was erased is event.ErrDenied with
// code erased_subject, a period whose key was destroyed event.ErrInvalid with code retention_passed, a keyring that is
// not there event.ErrCorrupt with code key_missing; dst then holds no key, and nothing was made. The store's own
// keyring (OfStore) is made with the first epoch: by the first sealing for it, if nobody was minted before.
func (k *Keeper) ForSealing(ctx context.Context, wants []Want, dst []Key) error {
	now := k.tick()
	leased := k.leased(now)
	cold := 0
	for i := range wants {
		dst[i] = Key{}
		if !leased || !k.warmSeal(&wants[i], now, &dst[i]) {
			cold++
		}
	}
	if cold == 0 {
		return nil
	}
	err := k.coldSeal(ctx, wants, dst)
	if err != nil {
		clear(dst[:len(wants)])
	}
	return err
}

// warmSeal answers from memory.
func (k *Keeper) warmSeal(w *Want, now int64, dst *Key) bool {
	var salt [32]byte
	ended, serial := k.periods.copied(stored(w.Class, w.Bucket), now, &salt)
	if serial == 0 || ended != nil {
		return false
	}
	s := k.cache.shard(w.KRID)
	s.mu.Lock()
	if r := k.cache.find(s, w.KRID, now); r != nil && r.ended == nil && s.quiet > 1 {
		if g := r.usable(w.Group, k.newest.Load()); g != nil {
			dst.Generation, dst.PRK = g.Newest(), g.Last().Extract(&salt, serial)
			s.quiet--
		}
	}
	s.mu.Unlock()
	clear(salt[:])
	return dst.Generation != 0
}

// stored is the id under which a retention key is stored.
func stored(class string, bucket int64) storage.RetentionID {
	if class == "" {
		class = openEnded
	}
	return storage.RetentionID{Class: class, Bucket: bucket}
}

// usable is a group if what is sealed in an epoch may be sealed under its newest generation; nil: one has to be made.
func (r *ring) usable(name string, epoch uint32) *wrapped.Group {
	g := r.Group(name)
	if g == nil || len(g.Generations) == 0 || g.Last().Epoch < epoch {
		return nil
	}
	return g
}

// due tells whether this sealing is one that begins a new generation. Instead of drawing for each, the number of
// sealings until the next is drawn from the geometric distribution, which comes to the same and keeps no account.
func (k *Keeper) due(krid event.KRID) (bool, error) {
	s := k.cache.shard(krid)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quiet > 1 {
		s.quiet--
		return false, nil
	}
	var b [8]byte
	if err := k.random(b[:]); err != nil {
		return false, err
	}
	due := s.quiet == 1 // at 0 nothing was drawn yet
	s.quiet = spell(binary.BigEndian.Uint64(b[:]))
	return due, nil
}

// spell is the place, from 1, of the next sealing that begins a new generation.
func spell(draw uint64) int64 {
	u := (float64(draw>>11) + 1) / (1 << 53) // in (0, 1]
	return int64(math.Log(u)/math.Log1p(-1.0/sealings)) + 1
}

// sealing is the wants of one call that memory did not answer.
type sealing struct {
	k     *Keeper
	h     *held
	wants []Want
	cold  []int // indexes of wants
	due   map[int]bool
	rings rings
	salts salts
}

func (k *Keeper) coldSeal(ctx context.Context, wants []Want, dst []Key) error {
	// What is the store's own may be the first that is ever sealed; a person's keyring is not made by sealing.
	own := !slices.ContainsFunc(wants, func(w Want) bool { return w.KRID != OfStore(k.o.Store) })
	h, err := k.hold(ctx, own)
	if err != nil {
		return err
	}
	defer h.release()
	as := k.cache.forgets.Load()
	s := &sealing{k: k, h: h, wants: wants, due: map[int]bool{}}
	for i := range wants {
		if dst[i].Generation != 0 {
			continue
		}
		s.cold = append(s.cold, i)
		if s.due[i], err = k.due(wants[i].KRID); err != nil {
			return err
		}
	}
	if err := s.gather(ctx); err != nil {
		return err
	}
	defer s.salts.wipe()
	defer s.rings.wipe()
	for range maxRounds {
		changes, err := s.plan(ctx)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			s.answer(dst)
			k.keep(s.rings, as)
			k.keepPeriods(s.salts, as)
			return nil
		}
		if err := s.commit(ctx, changes); err != nil {
			return err
		}
	}
	return contended("group keys")
}

// gather gets what there is of keyrings and retention keys.
func (s *sealing) gather(ctx context.Context) (err error) {
	krids := make([]event.KRID, len(s.cold))
	ids := make([]storage.RetentionID, len(s.cold))
	for n, i := range s.cold {
		krids[n], ids[n] = s.wants[i].KRID, stored(s.wants[i].Class, s.wants[i].Bucket)
	}
	if s.rings, err = s.k.rings(ctx, s.h, krids); err != nil {
		return err
	}
	if s.salts, err = s.k.salts(ctx, s.h, ids); err != nil {
		s.rings.wipe()
	}
	return err
}

// plan is the changes that are wanting before every want can be answered.
func (s *sealing) plan(ctx context.Context) ([]storage.KeyChange, error) {
	var names []string
	var ids []storage.RetentionID
	lacking := false
	for _, i := range s.cold {
		w := &s.wants[i]
		if err := s.check(w); err != nil {
			return nil, err
		}
		if id := stored(w.Class, w.Bucket); s.salts[id] == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		if s.lacks(i) {
			lacking = true
			if !slices.Contains(names, w.Group) {
				names = append(names, w.Group)
			}
		}
	}
	if !lacking && len(ids) == 0 {
		return nil, nil
	}
	dir, err := s.k.inscribe(ctx, s.h, names, ids)
	if err != nil {
		return nil, err
	}
	changes, err := s.begin(dir)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		c, err := s.k.newPeriod(s.h, id)
		if err != nil {
			return nil, err
		}
		changes = append(changes, storage.KeyChange{Retention: c})
	}
	return changes, nil
}

// check refuses a want that cannot be answered.
func (s *sealing) check(w *Want) error {
	r := s.rings[w.KRID]
	switch {
	case r == nil:
		return missing("seal for %s: the keyring is not there", w.KRID)
	case r.ended != nil:
		return erasedSubject("seal for %s: the person was erased", w.KRID)
	}
	if p := s.salts[stored(w.Class, w.Bucket)]; p != nil && p.ended != nil {
		return event.Invalid("retention_passed", "seal under %s/%d: the period is over and its key destroyed", w.Class,
			w.Bucket)
	}
	return nil
}

// lacks tells whether a want needs a new generation.
func (s *sealing) lacks(i int) bool {
	return s.due[i] || s.rings[s.wants[i].KRID].usable(s.wants[i].Group, s.h.current.Number) == nil
}

// begin adds the generations that are lacking, and writes each keyring that gets one. These may be more than were
// lacking before names were asked for: that may have shown a newer epoch.
func (s *sealing) begin(dir *wrapped.Directory) ([]storage.KeyChange, error) {
	changed := map[event.KRID]bool{}
	for _, i := range s.cold {
		if !s.lacks(i) { // another want of the call may have brought it
			continue
		}
		s.due[i] = false
		r, name := s.rings[s.wants[i].KRID], s.wants[i].Group
		g := r.Group(name)
		if g == nil {
			r.Groups = append(r.Groups, wrapped.Group{Name: name, Number: dir.Numbers[name]})
			g = &r.Groups[len(r.Groups)-1]
		}
		if g.Newest() == math.MaxUint32 {
			return nil, fault(event.ErrFull, "generations_full", "seal for %s: group %s has no generation left", r.KRID,
				name)
		}
		fresh := wrapped.Generation{Epoch: s.h.current.Number}
		if err := s.k.random(fresh.Key[:]); err != nil {
			return nil, err
		}
		g.Generations = grown(g.Generations, fresh)
		changed[r.KRID] = true
	}
	changes := make([]storage.KeyChange, 0, len(changed))
	for krid := range changed {
		var c storage.KeyChange
		if err := s.k.seal(s.h, s.rings[krid], dir, &c); err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// grown appends a generation, and leaves no key behind where append would.
func grown(gens []wrapped.Generation, g wrapped.Generation) []wrapped.Generation {
	longer := append(make([]wrapped.Generation, 0, len(gens)+1), gens...)
	clear(gens)
	return append(longer, g)
}

// commit makes changes durable. Where others were faster, what they stored takes the place of what was planned.
func (s *sealing) commit(ctx context.Context, changes []storage.KeyChange) error {
	now := s.k.tick()
	outcomes, err := s.k.change(ctx, changes)
	if err != nil {
		return err
	}
	for i := range outcomes {
		c, o := &changes[i], &outcomes[i]
		switch {
		case c.Keyring != nil && o.Stored:
			s.rings[c.Keyring.KRID].stored(c.Keyring, now)
		case c.Keyring != nil && o.Lookup != nil:
			err = s.k.taken(o.Lookup, c.Keyring.KRID)
		case c.Keyring != nil:
			err = s.k.again(ctx, s.h, s.rings, o.Keyring)
		case o.Stored:
			s.salts[c.Retention.RetentionID], err = s.k.openPeriod(ctx, s.h, c.Retention)
		default:
			s.salts[c.Retention.RetentionID], err = s.k.openPeriod(ctx, s.h, o.Retention)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answer writes the keys, all of which are there.
func (s *sealing) answer(dst []Key) {
	for _, i := range s.cold {
		w := &s.wants[i]
		g := s.rings[w.KRID].Group(w.Group)
		salt := s.salts[stored(w.Class, w.Bucket)]
		dst[i] = Key{Generation: g.Newest(), PRK: g.Last().Extract(&salt.key, 0)}
	}
}
