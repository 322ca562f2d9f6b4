package keyring

import (
	"context"

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
		stored.Version, stored.State, stored.Record = stored.Version+1, storage.KeyDestroyed, nil
		o, err := k.changeOne(ctx, storage.KeyChange{Epoch: &stored, Store: k.o.Store})
		if err == nil && !o.Stored && o.Epoch.State != storage.KeyDestroyed {
			err = contended("the epoch")
		}
		if err != nil {
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
	_, err := k.eachToken(ctx, h, func(r *ring, c *storage.KeyChange) {
		for _, ref := range r.refs {
			c.Remove = append(c.Remove, e.lookup(ref))
		}
	})
	return err
}

// Reindex writes the lookup tokens of every live keyring, for a keystore that lost them: they are not part of a backup.
// It returns how many keyrings it went through. Nobody may be minted meanwhile.
func (k *Keeper) Reindex(ctx context.Context) (int, error) {
	h, err := k.hold(ctx, false)
	if err != nil {
		return 0, err
	}
	defer h.release()
	return k.eachToken(ctx, h, func(r *ring, c *storage.KeyChange) {
		for _, ref := range r.refs {
			for _, e := range h.all {
				c.Replace = append(c.Replace, storage.Lookup{Token: e.lookup(ref), State: storage.KeyLive, KRID: r.krid})
			}
		}
	})
}

// eachToken changes tokens, those of many keyrings at once.
func (k *Keeper) eachToken(ctx context.Context, h *held, change func(*ring, *storage.KeyChange)) (done int, err error) {
	q := storage.KeyringQuery{Live: true, Limit: batchSize}
	for {
		found, err := k.keys.ScanKeyrings(ctx, q)
		if err != nil || len(found) == 0 {
			return done, err
		}
		q.After = found[len(found)-1].KRID
		var c storage.KeyChange
		for i := range found {
			r, err := k.open(ctx, h, &found[i])
			if err != nil {
				return done, err
			}
			change(r, &c)
			r.wipe()
		}
		if _, err := k.changeOne(ctx, c); err != nil {
			return done, err
		}
		done += len(found)
	}
}
