package keyring

import (
	"context"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// openEnded is the stored class of the key for what is kept without a fixed end; classes of policies have no dot.
const openEnded = event.SystemKind + ".open"

// directory is what is known of the register. It only grows, and is never changed: another takes its place.
type directory struct {
	version    uint64 // of the store's own keyring
	names      []string
	numbers    map[string]uint32
	retentions map[storage.RetentionID]bool
}

func newDirectory(version uint64, g *register) *directory {
	d := &directory{
		version: version, names: g.names, numbers: make(map[string]uint32, len(g.names)),
		retentions: make(map[storage.RetentionID]bool, len(g.retentions)),
	}
	for i, name := range g.names {
		d.numbers[name] = uint32(i + 1)
	}
	for _, id := range g.retentions {
		d.retentions[id] = true
	}
	return d
}

// name reads the number of a name.
func (d *directory) name(from *decoder) string { return d.at(from, from.uvarint()) }

// at is the name with a number.
func (d *directory) at(from *decoder, number uint64) string {
	if number == 0 || number > uint64(len(d.names)) {
		from.fail(errName)
		return ""
	}
	return d.names[number-1]
}

// lacks tells whether the register must grow to hold these.
func (d *directory) lacks(names []string, ids []storage.RetentionID) bool {
	for _, name := range names {
		if d.numbers[name] == 0 {
			return true
		}
	}
	for _, id := range ids {
		if !d.retentions[id] {
			return true
		}
	}
	return false
}

// grow adds what is not there yet.
func (g *register) grow(names []string, ids []storage.RetentionID) (changed bool) {
	d := newDirectory(0, g)
	for _, name := range names {
		if d.numbers[name] == 0 {
			g.names = append(g.names, name)
			d.numbers[name] = uint32(len(g.names))
			changed = true
		}
	}
	for _, id := range ids {
		if !d.retentions[id] {
			g.retentions = append(g.retentions, id)
			d.retentions[id] = true
			changed = true
		}
	}
	return changed
}

// know is the directory, which is read if it is not known yet.
func (k *Keeper) know(ctx context.Context, h *held) (*directory, error) {
	if dir := k.dir.Load(); dir != nil {
		return dir, nil
	}
	return k.learnNames(ctx, h)
}

// learnNames reads the register again.
func (k *Keeper) learnNames(ctx context.Context, h *held) (*directory, error) {
	krid := OfStore(k.o.Store)
	found, err := k.keys.Keyrings(ctx, []event.KRID{krid})
	if err != nil {
		return nil, err
	}
	r, err := k.open(ctx, h, &found[0])
	if err != nil {
		return nil, err
	}
	if r == nil || r.own == nil {
		return nil, missing("read the store's own keyring: it is not there")
	}
	defer r.wipe()
	return k.adopt(newDirectory(r.version, r.own)), nil
}

// adopt makes a directory the one that is known, unless a newer one is.
func (k *Keeper) adopt(d *directory) *directory {
	for {
		now := k.dir.Load()
		if now != nil && now.version >= d.version {
			return now
		}
		if k.dir.CompareAndSwap(now, d) {
			return d
		}
	}
}

// inscribe makes sure that names have numbers, and that retention keys are registered before they are made: what is not
// in the register would be left behind by a roll.
func (k *Keeper) inscribe(ctx context.Context, h *held, names []string, ids []storage.RetentionID) (*directory, error) {
	dir, err := k.know(ctx, h)
	if err != nil || !dir.lacks(names, ids) {
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
		return r.own.grow(names, ids), nil
	})
	if err != nil {
		return nil, err
	}
	if dir = k.dir.Load(); dir.lacks(names, ids) {
		return nil, missing("read the store's own keyring: a name that was stored is not there")
	}
	return dir, nil
}
