package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Rolled is what a roll did.
type Rolled struct {
	Epoch      uint32 // that everything is under now
	Keyrings   int    // moved by this call
	Retentions int    // likewise
}

// Roll begins an epoch and moves every live keyring and every retention key under it, while others go on; tombstones
// stay. A roll that was cut off is continued: as long as something is under an older epoch than the newest, no other
// begins. What other Keepers write under the old epoch before they know of the new one (within their TTL) is moved by
// the next Roll. The old root key stays until DestroyEpoch.
//
// progress, if not nil, is told now and then how many keyrings are done, and of how many that were found so far. A
// keyring that does not open stays, and the others are moved before Roll returns what is wrong with it.
func (k *Keeper) Roll(ctx context.Context, progress func(done, total int)) (Rolled, error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	h, err := k.hold(ctx, true)
	if err == nil {
		err = k.refresh(ctx, true)
	}
	if err != nil {
		return Rolled{}, err
	}
	defer func() { h.release() }()
	if h, err = k.advance(ctx, h); err != nil {
		return Rolled{}, err
	}
	r := roll{k: k, h: h, done: Rolled{Epoch: h.current.Number}, progress: progress, doubled: map[event.KRID]bool{}}
	for {
		before := r.done
		if err = r.keyrings(ctx); err == nil {
			err = r.retentions(ctx)
		}
		if err != nil {
			return r.done, err
		}
		if r.done == before {
			break
		}
	}
	if r.unmoved != nil {
		return r.done, r.unmoved
	}
	progress(r.done.Keyrings, r.done.Keyrings)
	r.done.Epoch = h.current.Number
	return r.done, nil
}

// advance makes the next epoch the current one, unless the last roll is not complete, and holds it.
func (k *Keeper) advance(ctx context.Context, h *held) (*held, error) {
	h, err := k.regain(ctx, h)
	if err != nil {
		return h, err
	}
	left, err := k.left(ctx, h, h.current.Number)
	if err != nil || left {
		return h, err
	}
	stored, next, err := k.makeEpoch(ctx, h.current.Number+1, h.current)
	if err != nil {
		return h, err
	}
	defer next.Wipe()
	// The store's own keyring moves in the same change: of two who roll at once one wins, whatever number they gave.
	found, err := k.fetch(ctx, h, []event.KRID{OfStore(k.o.Store)})
	if err != nil {
		return h, err
	}
	defer found.wipe()
	own := found[OfStore(k.o.Store)]
	if own == nil || own.Register == nil {
		return h, missing("roll: the store's own keyring is not there")
	}
	c := storage.KeyChange{Epoch: &stored, Store: k.o.Store}
	if err := k.seal(&held{k: k, current: next, all: []*epoch{next}}, own, nil, &c); err != nil {
		return h, err
	}
	if _, err := k.changeOne(ctx, c); err != nil {
		return h, err
	}
	k.cache.forget([]event.KRID{OfStore(k.o.Store)})
	return k.regain(ctx, h)
}

// regain holds the epochs as they are now, all of them, in the place of h.
func (k *Keeper) regain(ctx context.Context, h *held) (*held, error) {
	if err := k.refresh(ctx, true); err != nil {
		return h, err
	}
	k.mu.Lock()
	live := k.live()
	k.mu.Unlock()
	for _, e := range live {
		if _, err := k.meet(ctx, h, e.Number); err != nil {
			return h, err
		}
	}
	again, err := k.hold(ctx, false)
	if err != nil {
		return h, err
	}
	if len(live) > 0 {
		again.guard = live[len(live)-1]
	}
	h.release()
	return again, nil
}

// left tells whether anything that must not be lost is under an epoch below this one.
func (k *Keeper) left(ctx context.Context, h *held, epoch uint32) (bool, error) {
	rings, err := k.keys.ScanKeyrings(ctx, storage.KeyringQuery{Before: epoch, Live: true, Limit: 1})
	if err != nil || len(rings) > 0 {
		return len(rings) > 0, err
	}
	left := false
	err = k.eachPeriod(ctx, h, func(found []storage.RetentionKey) error {
		left = left || slices.ContainsFunc(found, func(s storage.RetentionKey) bool {
			return s.State == storage.KeyLive && s.Epoch < epoch
		})
		return nil
	})
	return left, err
}

// eachPeriod reads the retention keys of the register, a batch at a time.
func (k *Keeper) eachPeriod(ctx context.Context, h *held, show func([]storage.RetentionKey) error) error {
	dir, err := k.learnNames(ctx, h)
	if err != nil {
		return err
	}
	for ids := range slices.Chunk(slices.Collect(maps.Keys(dir.Retentions)), batchSize) {
		found, err := k.keys.Retentions(ctx, ids)
		if err != nil {
			return err
		}
		if err := show(found); err != nil {
			return err
		}
	}
	return nil
}

// roll is one run of Roll.
type roll struct {
	k        *Keeper
	h        *held
	done     Rolled
	found    int    // keyrings that were under older epochs
	told     uint32 // the epoch for which tokens are made
	progress func(done, total int)
	unmoved  error               // why a keyring could not be moved
	doubled  map[event.KRID]bool // their references have tokens that are another's
}

// keyrings moves what is under older epochs, a chunk at a time: first the new tokens, in their own order, then the
// keyrings, in that of the keystore. Whoever is under an epoch has tokens there, and a roll that is cut off between the
// two is continued with those who are not.
func (r *roll) keyrings(ctx context.Context) error {
	x := &indexer{k: r.k, guard: r.h.guard, doubled: r.double}
	r.told = r.h.current.Number // which becomes another one if a newer epoch is met on the way
	from := &reaper{
		k: r.k, h: r.h, epochs: []*epoch{r.h.current}, lost: r.stays,
		q: storage.KeyringQuery{Before: r.h.current.Number, Live: true},
	}
	for {
		x.suspect = false
		q := from.q
		v, err := from.reap(ctx)
		if err != nil {
			return err
		}
		r.found += len(v.seen)
		r.progress(r.done.Keyrings, max(r.done.Keyrings, r.found))
		if err := x.add(ctx, v.pairs); err != nil {
			return err
		}
		v.pairs = nil
		if err := r.moveAll(ctx, q, v.seen); err != nil || v.done {
			return err
		}
	}
}

// double notes that a token is another's.
func (r *roll) double(p pair, of event.KRID) {
	r.doubled[p.krid] = true
	_ = r.stays(fault(event.ErrCorrupt, "reference_doubled", "roll keyring %s: a reference of it is also that of %s",
		p.krid, of))
}

// stays notes why a keyring stays where it is, unless it is a reason to stop.
func (r *roll) stays(err error) error {
	if !errors.Is(err, event.ErrCorrupt) && !errors.Is(err, event.ErrFormat) {
		return err
	}
	if r.unmoved == nil {
		r.unmoved = fmt.Errorf("roll: %w", err)
	}
	return nil
}

// moveAll moves the keyrings of a chunk. While some are being stored, the next are read and wrapped. Those that are not
// in it have their turn later.
func (r *roll) moveAll(ctx context.Context, q storage.KeyringQuery, seen []sighting) error {
	q.Limit = r.k.sizes.moved
	var storing later
	var stored []storage.KeyChange
	var outcomes []storage.KeyOutcome // of stored
	var again []storage.Keyring       // changed meanwhile: they may have more references now
	for rounds := 0; rounds < maxRounds; rounds++ {
		var found []storage.Keyring
		var told []sighting
		var err error
		if found, told, seen, err = r.next(ctx, &q, seen); len(found) > 0 {
			rounds = 0
		}
		var changes []storage.KeyChange
		if err == nil {
			found, told = append(found, again...), append(told, make([]sighting, len(again))...)
			changes, err = r.rewrap(ctx, found, told)
		}
		if err = cmp.Or(storing.wait(), err); err != nil {
			return err
		}
		again, err = r.settle(stored, outcomes)
		if err != nil || len(found)+len(again) == 0 {
			return err
		}
		r.progress(r.done.Keyrings, max(r.done.Keyrings, r.found))
		stored = changes
		storing.begin(func() (err error) {
			outcomes, err = r.k.change(ctx, stored)
			return err
		})
	}
	return contended("the keyrings")
}

// next reads keyrings that were seen, and with them how; none: there are no more.
func (r *roll) next(ctx context.Context, q *storage.KeyringQuery, seen []sighting) (found []storage.Keyring,
	told, rest []sighting, err error) {
	if len(seen) == 0 {
		return nil, nil, nil, nil
	}
	found, err = r.k.keys.ScanKeyrings(ctx, *q)
	if err != nil || len(found) == 0 {
		return nil, nil, nil, err
	}
	q.After = found[len(found)-1].KRID
	found, told, rest = match(found, seen)
	if len(found) == 0 {
		rest = nil
	}
	return found, told, rest, nil
}

// match leaves only those keyrings that were seen, with how they were seen, index by index. rest is what may still
// come: walks have one order.
func match(found []storage.Keyring, seen []sighting) (kept []storage.Keyring, told, rest []sighting) {
	for _, s := range found {
		ahead := seen[:min(len(seen), mostAhead)]
		if i := slices.IndexFunc(ahead, func(o sighting) bool { return o.krid == s.KRID }); i >= 0 {
			kept, told = append(kept, s), append(told, seen[i])
			seen = seen[i+1:]
		}
	}
	return kept, told, seen
}

// mostAhead is how many keyrings others may have moved, one behind the other, before the rest is left to the next pass.
const mostAhead = 10_000

// settle counts what was moved, and returns as they are now those keyrings that changed meanwhile.
func (r *roll) settle(changes []storage.KeyChange, outcomes []storage.KeyOutcome) ([]storage.Keyring, error) {
	var again []storage.Keyring
	for i, o := range outcomes {
		switch {
		case o.Stored:
			r.done.Keyrings++
		case o.Keyring != nil:
			if r.behind(o.Keyring) {
				again = append(again, *o.Keyring)
			}
		default:
			return nil, fault(event.ErrConflict, "keystore_refused", "roll keyring %s: the keystore refused",
				changes[i].Keyring.KRID)
		}
	}
	return again, nil
}

// behind tells whether a keyring is to be moved.
func (r *roll) behind(s *storage.Keyring) bool {
	return s.State == storage.KeyLive && s.Epoch < r.h.current.Number && !r.doubled[s.KRID]
}

// rewrap makes the changes that move keyrings. told says, by index, as of which version they have their tokens.
func (r *roll) rewrap(ctx context.Context, found []storage.Keyring, told []sighting) ([]storage.KeyChange, error) {
	changes := make([]storage.KeyChange, len(found))
	errs, err := r.k.openEach(ctx, r.h, found, func(i int, ring *ring) error {
		if !r.behind(&found[i]) {
			return nil
		}
		if told[i].version == ring.Version {
			ring.moved = r.told
		}
		return r.k.seal(r.h, ring, r.k.dir.Load(), &changes[i])
	})
	if err != nil {
		return nil, err
	}
	kept := changes[:0]
	for i, err := range errs {
		switch {
		case err != nil:
			if err := r.stays(err); err != nil {
				return nil, err
			}
		case changes[i].Keyring != nil:
			kept = append(kept, changes[i])
		}
	}
	return kept, nil
}

// retentions moves retention keys.
func (r *roll) retentions(ctx context.Context) error {
	return r.k.eachPeriod(ctx, r.h, func(found []storage.RetentionKey) error {
		var changes []storage.KeyChange
		for i := range found {
			s := &found[i]
			if s.State != storage.KeyLive || s.Epoch >= r.h.current.Number {
				continue
			}
			p, err := r.k.openPeriod(ctx, r.h, s)
			if err != nil {
				return err
			}
			next, err := r.k.sealPeriod(r.h, s.RetentionID, p)
			clear(p.key[:])
			if err != nil {
				return err
			}
			changes = append(changes, storage.KeyChange{Retention: next})
		}
		outcomes, err := r.k.change(ctx, changes)
		for _, o := range outcomes { // one that was changed meanwhile is found by the next pass
			if o.Stored {
				r.done.Retentions++
			}
		}
		return err
	})
}
