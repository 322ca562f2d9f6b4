package keyring

import (
	"context"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// openEnded is the stored class of the key for what is kept without a fixed end; classes of policies have no dot.
const openEnded = event.SystemKind + ".open"

// know is the directory, which is read if it is not known yet.
func (k *Keeper) know(ctx context.Context, h *held) (*wrapped.Directory, error) {
	if dir := k.dir.Load(); dir != nil {
		return dir, nil
	}
	return k.learnNames(ctx, h)
}

// learnNames reads the register again.
func (k *Keeper) learnNames(ctx context.Context, h *held) (*wrapped.Directory, error) {
	krid := OfStore(k.o.Store)
	found, err := k.keys.Keyrings(ctx, []event.KRID{krid})
	if err != nil {
		return nil, err
	}
	if dir := k.dir.Load(); dir != nil && dir.Version == found[0].Version {
		return dir, nil
	}
	r, err := k.open(ctx, h, &found[0])
	if err != nil {
		return nil, err
	}
	if r == nil || r.Register == nil {
		return nil, missing("read the store's own keyring: it is not there")
	}
	defer r.Wipe()
	return k.adopt(wrapped.NewDirectory(r.Version, r.Register)), nil
}

// adopt makes a directory the one that is known, unless a newer one is.
func (k *Keeper) adopt(d *wrapped.Directory) *wrapped.Directory {
	for {
		now := k.dir.Load()
		if now != nil && now.Version >= d.Version {
			return now
		}
		if k.dir.CompareAndSwap(now, d) {
			return d
		}
	}
}

// inscribe makes sure that names have numbers, and that retention keys are registered before they are made: what is not
// in the register would be left behind by a roll.
func (k *Keeper) inscribe(ctx context.Context, h *held, names []string,
	ids []storage.RetentionID) (*wrapped.Directory, error) {
	dir, err := k.know(ctx, h)
	if err != nil || !dir.Lacks(names, ids) {
		return dir, err
	}
	// The register brings its class names along, by number.
	for _, id := range ids {
		names = append(names[:len(names):len(names)], id.Class)
	}
	for _, name := range names {
		if name == "" || len(name) > maxName {
			return nil, event.Invalid("malformed_name", "name group or class: want 1 to %d bytes", maxName)
		}
	}
	_, err = k.revise(ctx, h, OfStore(k.o.Store), func(r *ring, _ *storage.KeyChange) (bool, error) {
		return r.Register.Grow(names, ids), nil
	})
	if err != nil {
		return nil, err
	}
	if dir = k.dir.Load(); dir.Lacks(names, ids) {
		return nil, missing("read the store's own keyring: a name that was stored is not there")
	}
	return dir, nil
}
