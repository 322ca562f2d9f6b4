package keyring

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// Ending is by what a key ends.
type Ending struct {
	Receipt string    // names the proof; at most 255 bytes
	Until   time.Time // until when an erased person's references are known again as theirs; zero: not at all
}

func (e Ending) validate() error {
	if e.Receipt == "" || len(e.Receipt) > maxReceipt {
		return event.Invalid("malformed_receipt", "end keys: want a receipt of 1 to %d bytes", maxReceipt)
	}
	return nil
}

// Destroy puts a tombstone in the place of a person's keyring, and suppression tokens in the place of what their
// references were found by. Fencing, the log and the old bytes of the keystore (storage.Keys.ScrubKeys) are the
// caller's. A keyring that is a tombstone already stays as it is.
func (k *Keeper) Destroy(ctx context.Context, krid event.KRID, e Ending) error {
	if krid == OfStore(k.o.Store) {
		return event.Invalid("store_keyring", "destroy keyring %s: it is the store's own", krid)
	}
	select {
	case k.ending <- struct{}{}:
		defer func() { <-k.ending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := k.endOne(ctx, krid, e, func(h *held, r *ring, c *storage.KeyChange) (bool, error) {
		return true, k.bury(h, r, e, c)
	})
	if event.Code(err) == "erased_subject" {
		return nil
	}
	return err
}

// endOne revises one keyring by an ending.
func (k *Keeper) endOne(ctx context.Context, krid event.KRID, e Ending,
	change func(*held, *ring, *storage.KeyChange) (bool, error)) error {
	if err := e.validate(); err != nil {
		return err
	}
	h, err := k.hold(ctx, false)
	if err != nil {
		return err
	}
	defer func() { h.release() }()
	for range maxRounds {
		if h, err = k.regain(ctx, h); err != nil { // tokens are to go under every epoch, those of others' rolls among them
			return err
		}
		_, err = k.revise(ctx, h, krid, func(r *ring, c *storage.KeyChange) (bool, error) { return change(h, r, c) })
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return contended("the epochs")
}

// bury makes the change that ends a keyring. Tombstones are under the key that all epochs share, so that none of them
// takes the evidence along when it ends. The change writes an epoch anew, so that none comes unnoticed between the
// reading of a keyring and the making of tokens for it (indexer).
func (k *Keeper) bury(h *held, r *ring, e Ending, c *storage.KeyChange) error {
	ended := wrapped.Ending{At: event.Micros(k.o.Clock.Now()), Receipt: e.Receipt}
	for i := range r.Groups {
		ended.Through = max(ended.Through, r.Groups[i].Newest())
	}
	c.Keyring = &storage.Keyring{KRID: r.KRID, Version: r.Version + 1, State: storage.KeyDestroyed}
	var err error
	aad := wrapped.KeyringAAD(k.o.Store, c.Keyring)
	if c.Keyring.Record, err = k.wrap(h.current.Tombstone, aad, ended.Encode()); err != nil {
		return err
	}
	c.Epoch = nextVersion(h.guard)
	for _, ref := range r.References {
		for _, epoch := range h.all {
			c.Remove = append(c.Remove, epoch.Lookup(ref))
		}
		if !e.Until.IsZero() {
			c.Replace = append(c.Replace, h.suppressed(ref, e.Until))
		}
	}
	return nil
}

func (h *held) suppressed(ref Reference, until time.Time) storage.Lookup {
	return storage.Lookup{Token: h.current.Suppression(ref), State: storage.KeyDestroyed, Until: event.Micros(until)}
}

// Suppress makes references known as those of persons who were erased, until a time.
func (k *Keeper) Suppress(ctx context.Context, refs []Reference, until time.Time) error {
	h, err := k.hold(ctx, true)
	if err != nil {
		return err
	}
	defer h.release()
	var c storage.KeyChange
	for i, ref := range refs {
		if err := validate(ref, i); err != nil {
			return err
		}
		if !slices.Contains(refs[:i], ref) {
			c.Replace = append(c.Replace, h.suppressed(ref, until))
		}
	}
	_, err = k.changeOne(ctx, c)
	return err
}

// DestroyGroup ends every generation there is of a person's group. What is sealed of it later gets a new one. A group
// that was never used is left alone.
func (k *Keeper) DestroyGroup(ctx context.Context, krid event.KRID, name string, e Ending) error {
	return k.endOne(ctx, krid, e, func(_ *held, r *ring, _ *storage.KeyChange) (bool, error) {
		g := r.Group(name)
		if g == nil || len(g.Generations) == 0 {
			return false, nil
		}
		g.Erased = wrapped.Ending{Through: g.Newest(), At: event.Micros(k.o.Clock.Now()), Receipt: e.Receipt}
		clear(g.Generations)
		g.Generations = nil
		return true, nil
	})
}

// Supersede ends one generation of a person's group, after what was sealed under it was sealed anew under a later one.
// One that is not there, or the newest one, is event.ErrInvalid.
func (k *Keeper) Supersede(ctx context.Context, krid event.KRID, name string, number uint32) error {
	h, err := k.hold(ctx, false)
	if err != nil {
		return err
	}
	defer h.release()
	_, err = k.revise(ctx, h, krid, func(r *ring, _ *storage.KeyChange) (bool, error) {
		g := r.Group(name)
		if g == nil || g.Of(number) == nil || number == g.Newest() {
			return false, event.Invalid("malformed_generation",
				"supersede generation %d of group %s of %s: there is no later one", number, name, krid)
		}
		gen := g.Of(number)
		changed := gen.Epoch > 0
		*gen = wrapped.Generation{}
		return changed, nil
	})
	return err
}

// DestroyPeriod ends a retention key, and with it what everybody's groups hold of that period. It is never made again,
// also if it never was made before.
func (k *Keeper) DestroyPeriod(ctx context.Context, class string, bucket int64, e Ending) error {
	if err := e.validate(); err != nil {
		return err
	}
	h, err := k.hold(ctx, true)
	if err != nil {
		return err
	}
	defer h.release()
	id := stored(class, bucket)
	for range maxRounds {
		found, err := k.keys.Retentions(ctx, []storage.RetentionID{id})
		if err != nil {
			return err
		}
		if found[0].State == storage.KeyDestroyed {
			k.Forget(nil) // perhaps by a call before this one, which never heard of it
			return nil
		}
		c, err := k.buryPeriod(h, id, found[0].Version, e)
		if err != nil {
			return err
		}
		o, err := k.changeOne(ctx, storage.KeyChange{Retention: c})
		if err != nil {
			return err
		}
		if o.Stored {
			k.Forget(nil) // what was derived from it goes with it
			return nil
		}
	}
	return contended("retention key " + id.Class)
}

func (k *Keeper) buryPeriod(h *held, id storage.RetentionID, version uint64, e Ending) (*storage.RetentionKey, error) {
	s := &storage.RetentionKey{RetentionID: id, Version: version + 1, State: storage.KeyDestroyed}
	ended := wrapped.Ending{At: event.Micros(k.o.Clock.Now()), Receipt: e.Receipt}
	var err error
	s.Record, err = k.wrap(h.current.Tombstone, wrapped.RetentionAAD(k.o.Store, s), ended.Encode())
	return s, err
}
