package keyring

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
)

// DestroyEpoch ends an epoch for good: its lookup tokens are removed, its record is emptied, and its root key is
// destroyed, after which no copy of what was wrapped by it opens. It refuses with event.ErrConflict, and code
// epoch_in_use, while a keyring or retention key is under it, or a Keeper may still write under it: until a lease and a
// TTL have passed since the next epoch began. Whether backups under it are still wanted, the caller must know. Again it
// tells the same.
func (k *Keeper) DestroyEpoch(ctx context.Context, number uint32) (kms.Destruction, error) {
	h, err := k.hold(ctx, false)
	if err == nil {
		err = k.refresh(ctx, true)
	}
	if err != nil {
		return kms.Destruction{}, err
	}
	defer h.release()
	stored, err := k.mayDestroy(ctx, h, number)
	if err != nil {
		return kms.Destruction{}, err
	}
	if stored.State == storage.KeyLive {
		e, err := k.meet(ctx, h, number)
		if err != nil {
			return kms.Destruction{}, err
		}
		if err := k.removeTokens(ctx, h, e); err != nil {
			return kms.Destruction{}, err
		}
		// First the keystore's word, so that a root key that is gone is never missed.
		if err := k.closeEpoch(ctx, stored); err != nil {
			return kms.Destruction{}, err
		}
		if err := k.refresh(ctx, true); err != nil {
			return kms.Destruction{}, err
		}
	}
	gone, err := k.service.Destroy(ctx, stored.Name)
	if err != nil {
		return kms.Destruction{}, kmsFault(err, "destroy", number)
	}
	return gone, nil
}

// closeEpoch empties the record of an epoch.
func (k *Keeper) closeEpoch(ctx context.Context, e storage.Epoch) error {
	for range maxRounds {
		next := nextVersion(e)
		next.State, next.Record = storage.KeyDestroyed, nil
		o, err := k.changeOne(ctx, storage.KeyChange{Epoch: next, Store: k.o.Store})
		if err != nil || o.Stored || o.Epoch.State == storage.KeyDestroyed {
			return err
		}
		e = *o.Epoch // an erasure wrote it
	}
	return contended("the epoch")
}

// mayDestroy finds an epoch that nothing depends on.
func (k *Keeper) mayDestroy(ctx context.Context, h *held, number uint32) (storage.Epoch, error) {
	k.mu.Lock()
	var found, next storage.Epoch
	for _, e := range k.head.Epochs {
		if e.Number == number {
			found = e
		}
		if e.Number > number && (next.Number == 0 || e.Number < next.Number) {
			next = e
		}
	}
	k.mu.Unlock()
	inUse := func(why string) *event.Error {
		return fault(event.ErrConflict, "epoch_in_use", "destroy epoch %d: %s", number, why)
	}
	switch {
	case found.Number == 0:
		return found, fault(event.ErrNotFound, "unknown_epoch", "destroy epoch %d: there is none", number)
	case found.State == storage.KeyDestroyed:
		return found, nil
	case next.Number == 0:
		return found, inUse("it is the newest").Hint("roll first")
	case event.Micros(k.o.Clock.Now())-next.Created < (k.o.Lease + k.o.TTL).Microseconds():
		return found, inUse("others may still write under it").
			Hint("wait until %s after epoch %d began", k.o.Lease+k.o.TTL, next.Number)
	}
	left, err := k.left(ctx, h, number+1)
	if err == nil && left {
		err = inUse("keyrings or retention keys are under it").Hint("roll again: it continues")
	}
	return found, err
}

// removeTokens removes the lookup tokens of live keyrings under an epoch.
func (k *Keeper) removeTokens(ctx context.Context, h *held, e *epoch) error {
	return k.eachChunk(ctx, h, []*epoch{e}, func(v *harvest) error {
		for part := range slices.Chunk(v.pairs, k.sizes.tokens) {
			c := storage.KeyChange{Remove: make([]storage.LookupToken, 0, len(part))}
			for i := range part {
				if i == 0 || part[i].token != part[i-1].token {
					c.Remove = append(c.Remove, part[i].token)
				}
			}
			if _, err := k.changeOne(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// Reindex writes the lookup tokens of every live keyring, for a keystore that lost them: they are not part of a backup.
// It returns how many keyrings it went through. Nobody may be minted meanwhile. Of two keyrings with one reference,
// event.ErrCorrupt with code reference_doubled, one is found by it.
func (k *Keeper) Reindex(ctx context.Context) (int, error) {
	h, err := k.hold(ctx, false)
	if err != nil {
		return 0, err
	}
	defer func() { h.release() }()
	if h, err = k.regain(ctx, h); err != nil {
		return 0, err
	}
	var doubled error
	x := &indexer{k: k, guard: h.guard, replace: true, doubled: func(p pair, of event.KRID) {
		doubled = fault(event.ErrCorrupt, "reference_doubled", "index keyring %s: a reference of it is also that of %s",
			p.krid, of)
	}}
	done := 0
	err = k.eachChunk(ctx, h, h.all, func(v *harvest) error {
		done += len(v.seen)
		err := x.add(ctx, v.pairs)
		x.suspect = false
		return err
	})
	if err == nil {
		err = doubled
	}
	return done, err
}

// eachChunk shows the tokens of all live keyrings under some epochs.
func (k *Keeper) eachChunk(ctx context.Context, h *held, epochs []*epoch, show func(*harvest) error) error {
	from := &reaper{
		k: k, h: h, epochs: epochs, lost: func(err error) error { return err }, q: storage.KeyringQuery{Live: true},
	}
	for {
		v, err := from.reap(ctx)
		if err != nil {
			return err
		}
		if err := show(v); err != nil || v.done {
			return err
		}
	}
}
