package keyring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"

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
// progress, if not nil, is told now and then how many keyrings are done, and of about how many. A keyring that does not
// open stays, and the others are moved before Roll returns what is wrong with it.
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
	r := roll{k: k, h: h, done: Rolled{Epoch: h.current.number}, progress: progress}
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
	r.done.Epoch = h.current.number
	return r.done, nil
}

// advance makes the next epoch the current one, unless the last roll is not complete, and holds it.
func (k *Keeper) advance(ctx context.Context, h *held) (*held, error) {
	h, err := k.regain(ctx, h)
	if err != nil {
		return h, err
	}
	left, err := k.left(ctx, h, h.current.number)
	if err != nil || left {
		return h, err
	}
	stored, next, err := k.makeEpoch(ctx, h.current.number+1, h.current)
	if err != nil {
		return h, err
	}
	defer next.wipe()
	// The store's own keyring moves in the same change: of two who roll at once one wins, whatever number they gave.
	found, err := k.fetch(ctx, h, []event.KRID{OfStore(k.o.Store)})
	if err != nil {
		return h, err
	}
	defer found.wipe()
	own := found[OfStore(k.o.Store)]
	if own == nil || own.own == nil {
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
	for ids := range slices.Chunk(slices.Collect(maps.Keys(dir.retentions)), batchSize) {
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
	progress func(done, total int)
	unmoved  error // why a keyring could not be moved
}

// keyrings moves what is under older epochs, from the first KRID to the last. While one batch is being moved, the next
// is read.
func (r *roll) keyrings(ctx context.Context) error {
	q := storage.KeyringQuery{Before: r.h.current.number, Live: true, Limit: batchSize}
	done := r.done.Keyrings
	var reading sync.WaitGroup
	defer reading.Wait()
	var next []storage.Keyring
	var err error
	read := func() { next, err = r.k.keys.ScanKeyrings(ctx, q) }
	for read(); ; reading.Wait() {
		if err != nil || len(next) == 0 {
			return err
		}
		found := next
		q.After = found[len(found)-1].KRID
		part := float64(binary.BigEndian.Uint32(q.After[:])) / math.MaxUint32
		reading.Go(read)
		for round := 0; len(found) > 0; round++ {
			if round == maxRounds {
				return contended("the keyrings")
			}
			var failed error
			if found, failed = r.move(ctx, found); failed != nil {
				return failed
			}
		}
		// KRIDs are random: how far through them is how far through the keyrings.
		total := done + int(float64(r.done.Keyrings-done)/max(part, 1e-9))
		r.progress(r.done.Keyrings, max(r.done.Keyrings, total))
	}
}

// move wraps keyrings anew, and returns as they are now those that changed meanwhile.
func (r *roll) move(ctx context.Context, found []storage.Keyring) ([]storage.Keyring, error) {
	changes, err := r.rewrap(ctx, found)
	if err != nil {
		return nil, err
	}
	outcomes, err := r.k.change(ctx, changes)
	if err != nil {
		return nil, err
	}
	var again []storage.Keyring
	for i, o := range outcomes {
		switch {
		case o.Stored:
			r.done.Keyrings++
		case o.Keyring != nil:
			if s := o.Keyring; s.State == storage.KeyLive && s.Epoch < r.h.current.number {
				again = append(again, *s)
			}
		case o.Lookup != nil:
			r.stays(fault(event.ErrCorrupt, "reference_doubled", "roll keyring %s: a reference of it is also that of %s",
				changes[i].Keyring.KRID, o.Lookup.KRID))
		default:
			return nil, fault(event.ErrConflict, "keystore_refused", "roll keyring %s: the keystore refused",
				changes[i].Keyring.KRID)
		}
	}
	return again, nil
}

// stays notes why a keyring stays where it is.
func (r *roll) stays(err error) {
	if r.unmoved == nil {
		r.unmoved = err
	}
}

// rewrap makes the changes that move keyrings, on all cores.
func (r *roll) rewrap(ctx context.Context, found []storage.Keyring) ([]storage.KeyChange, error) {
	dir, err := r.k.know(ctx, r.h)
	if err != nil {
		return nil, err
	}
	for i := range found { // what is opened below must not be looked for by several at once
		if _, err := r.k.meet(ctx, r.h, found[i].Epoch); err != nil {
			return nil, err
		}
	}
	changes, errs := make([]storage.KeyChange, len(found)), make([]error, len(found))
	workers := min(runtime.GOMAXPROCS(0), len(found)/64+1)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(found); i += workers {
				errs[i] = r.rewrapOne(ctx, &found[i], dir, &changes[i])
			}
		})
	}
	group.Wait()
	kept := changes[:0]
	for i, err := range errs {
		switch {
		case err == nil:
			kept = append(kept, changes[i])
		case errors.Is(err, event.ErrCorrupt), errors.Is(err, event.ErrFormat):
			r.stays(fmt.Errorf("roll: %w", err))
		default:
			return nil, err
		}
	}
	return kept, nil
}

func (r *roll) rewrapOne(ctx context.Context, s *storage.Keyring, dir *directory, c *storage.KeyChange) error {
	ring, err := r.k.open(ctx, r.h, s)
	if err != nil {
		return err
	}
	defer ring.wipe()
	if known := r.k.dir.Load(); known != nil { // opening may have learnt names
		dir = known
	}
	return r.k.seal(r.h, ring, dir, c)
}

// retentions moves retention keys.
func (r *roll) retentions(ctx context.Context) error {
	return r.k.eachPeriod(ctx, r.h, func(found []storage.RetentionKey) error {
		var changes []storage.KeyChange
		for i := range found {
			s := &found[i]
			if s.State != storage.KeyLive || s.Epoch >= r.h.current.number {
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
