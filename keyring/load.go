package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// rings are keyrings in clear that one call has for itself.
type rings map[event.KRID]*ring

func (r rings) wipe() {
	for krid, ring := range r {
		ring.wipe()
		delete(r, krid)
	}
}

// keep hands them over to the cache. as is what it had forgotten when they were read.
func (k *Keeper) keep(r rings, as uint64) {
	for krid, ring := range r {
		k.cache.put(ring, as)
		delete(r, krid)
	}
}

// fetch reads keyrings; one that is not there is not in the answer.
func (k *Keeper) fetch(ctx context.Context, h *held, krids []event.KRID) (rings, error) {
	got := rings{}
	if len(krids) == 0 {
		return got, nil
	}
	now := k.tick()
	found, err := k.keys.Keyrings(ctx, krids)
	if err != nil {
		return nil, err
	}
	for i := range found {
		r, err := k.open(ctx, h, &found[i])
		if err != nil {
			got.wipe()
			return nil, err
		}
		if r != nil {
			r.loaded = now
			got[r.krid] = r
		}
	}
	return got, nil
}

// open opens a record of the keystore; nil: there is none.
func (k *Keeper) open(ctx context.Context, h *held, s *storage.Keyring) (*ring, error) {
	what := "keyring " + s.KRID.String()
	r := &ring{krid: s.KRID, version: s.Version, epoch: s.Epoch}
	switch {
	case s.State == 0:
		return nil, nil
	case s.State == storage.KeyDestroyed:
		var err error
		r.ended, err = h.tombstone(keyringAAD(labelTombstone, k.o.Store, s), s.Record, what)
		return r, err
	case s.State != storage.KeyLive:
		return nil, event.Errorf(event.ErrFormat, "open %s: it has state %d", what, s.State)
	}
	e, err := k.meet(ctx, h, s.Epoch)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	plain, err := unwrap(e.ring(s.KRID), keyringAAD(labelKeyring, k.o.Store, s), s.Record, what)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	err = k.decode(ctx, h, r, plain)
	if errors.Is(err, errForm) || errors.Is(err, errName) {
		err = unreadable(what)
	}
	if err != nil {
		r.wipe()
		return nil, err
	}
	return r, nil
}

// decode reads a record. A name that is not known was perhaps given its number a moment ago.
func (k *Keeper) decode(ctx context.Context, h *held, r *ring, plain []byte) error {
	if r.krid == OfStore(k.o.Store) {
		return r.decode(plain, nil, true)
	}
	dir, err := k.know(ctx, h)
	if err != nil {
		return err
	}
	if err = r.decode(plain, dir, false); !errors.Is(err, errName) {
		return err
	}
	if dir, err = k.learnNames(ctx, h); err != nil {
		return err
	}
	again := ring{krid: r.krid, version: r.version, epoch: r.epoch}
	r.wipe()
	*r = again
	return r.decode(plain, dir, false)
}

// tombstone opens one, by the key that all epochs share.
func (h *held) tombstone(aad, record []byte, what string) (*ending, error) {
	if h.current == nil {
		return nil, missing("open %s: the keystore has no epoch", what)
	}
	plain, err := unwrap(h.current.tombstone, aad, record, what)
	if err != nil {
		return nil, err
	}
	ended, err := decodeTombstone(plain)
	if err != nil {
		return nil, unreadable(what)
	}
	return ended, nil
}

// meet is the epoch with a number. One that is not known yet is looked up, and joins those held.
func (k *Keeper) meet(ctx context.Context, h *held, number uint32) (*epoch, error) {
	if e := h.of(number); e != nil {
		return e, nil
	}
	k.mu.Lock()
	known := k.known(number)
	k.mu.Unlock()
	if known == 0 {
		if err := k.refresh(ctx, true); err != nil {
			return nil, err
		}
	}
	for range 8 { // an attempt that goes on may have begun before the epoch was known
		e, attempt, err := k.join(h, number)
		if e != nil || err != nil {
			return e, err
		}
		if err := attempt.wait(ctx); err != nil {
			return nil, err
		}
	}
	return nil, fault(event.ErrUnavailable, "kms_unavailable", "open epoch %d: it did not open", number).Hint("try again")
}

// join takes an epoch into h if it is open; otherwise it tells what to wait for, or why that is in vain.
func (k *Keeper) join(h *held, number uint32) (*epoch, *attempt, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.epochs[number]; e != nil {
		e.users++
		h.all = append(h.all, e)
		slices.SortFunc(h.all, func(a, b *epoch) int { return int(int64(b.number) - int64(a.number)) })
		h.current = h.all[0]
		return e, nil, nil
	}
	code, what := "epoch_missing", "is not in the keystore"
	switch k.known(number) {
	case storage.KeyLive:
		return nil, k.unwrap(k.tick()), nil
	case storage.KeyDestroyed:
		code, what = "epoch_destroyed", "was destroyed while this was under it"
	}
	return nil, nil, fault(event.ErrCorrupt, code, "find epoch %d: it %s", number, what).
		Hint("restore the keystore from a backup")
}

// seal puts a keyring into a change, as its next version under the current epoch, with the tokens it lacks there: those
// of new references under every live epoch, for a Keeper that does not know of the current one yet looks there.
func (k *Keeper) seal(h *held, r *ring, dir *directory, c *storage.KeyChange) error {
	if r.own != nil {
		dir = newDirectory(0, r.own)
	}
	s := &storage.Keyring{KRID: r.krid, Version: r.version + 1, Epoch: h.current.number, State: storage.KeyLive}
	plain, err := r.encode(dir)
	if err != nil {
		return fmt.Errorf("write keyring %s: %w", r.krid, err)
	}
	s.Record, err = k.wrap(h.current.ring(r.krid), keyringAAD(labelKeyring, k.o.Store, s), plain)
	c.Keyring = s
	c.Add = append(c.Add, h.tokens(r)...)
	return err
}

// tokens are those a keyring lacks under the epochs held.
func (h *held) tokens(r *ring) (add []storage.Lookup) {
	for i, ref := range r.refs {
		for _, e := range h.all {
			if i >= r.told || e == h.current && r.epoch != e.number {
				add = append(add, storage.Lookup{Token: e.lookup(ref), State: storage.KeyLive, KRID: r.krid})
			}
		}
	}
	return add
}

// stored notes that a change was stored.
func (r *ring) stored(s *storage.Keyring, now int64) {
	r.version, r.epoch, r.told, r.loaded = s.Version, s.Epoch, len(r.refs), now
}

// revise changes a keyring, again if others did so meanwhile. change may add to what is stored together; if it changes
// nothing, nothing is stored. The answer says whether something was.
func (k *Keeper) revise(ctx context.Context, h *held, krid event.KRID,
	change func(*ring, *storage.KeyChange) (bool, error)) (bool, error) {
	as := k.cache.forgets.Load()
	found, err := k.fetch(ctx, h, []event.KRID{krid})
	if err != nil {
		return false, err
	}
	defer found.wipe()
	for range maxRounds {
		r := found[krid]
		switch {
		case r == nil:
			return false, missing("change keyring %s: it is not there", krid)
		case r.ended != nil:
			return false, erasedSubject("change keyring %s: its person was erased", krid)
		}
		c := storage.KeyChange{}
		if changed, err := change(r, &c); err != nil || !changed {
			if r.own != nil { // others may have put there what is asked for
				k.adopt(newDirectory(r.version, r.own))
			}
			return false, err
		}
		dir, err := k.know(ctx, h)
		if err != nil {
			return false, err
		}
		if c.Keyring == nil { // change may have made a tombstone
			if err := k.seal(h, r, dir, &c); err != nil {
				return false, err
			}
		}
		o, err := k.changeOne(ctx, c)
		switch {
		case err != nil:
			return false, err
		case o.Stored:
			k.revised(found, &c, as)
			return true, nil
		case o.Lookup != nil:
			return false, k.taken(o.Lookup, krid)
		}
		if err := k.again(ctx, h, found, o.Keyring); err != nil {
			return false, err
		}
	}
	return false, contended("keyring " + krid.String())
}

// maxRounds is how often a change is made anew because others were first.
const maxRounds = 1000

// revised keeps what was stored.
func (k *Keeper) revised(found rings, c *storage.KeyChange, as uint64) {
	r := found[c.Keyring.KRID]
	if c.Keyring.State != storage.KeyLive {
		k.cache.forget([]event.KRID{r.krid})
		return
	}
	r.stored(c.Keyring, k.tick())
	if r.own != nil {
		k.adopt(newDirectory(r.version, r.own))
	}
	k.keep(found, as)
}

// again puts what is stored now in the place of what was read before.
func (k *Keeper) again(ctx context.Context, h *held, found rings, s *storage.Keyring) error {
	if s == nil {
		return fault(event.ErrConflict, "keystore_refused", "change keyrings: the keystore refused for no known reason")
	}
	r, err := k.open(ctx, h, s)
	if err != nil {
		return err
	}
	if old := found[s.KRID]; old != nil {
		old.wipe()
		delete(found, s.KRID)
	}
	if r != nil {
		r.loaded = k.tick()
		found[s.KRID] = r
	}
	return nil
}

// taken says that a reference, which was free a moment ago, is another's.
func (k *Keeper) taken(l *storage.Lookup, krid event.KRID) error {
	if l.State == storage.KeyDestroyed {
		return erasedSubject("change keyring %s: a reference is of a person who was erased", krid)
	}
	return fault(event.ErrConflict, "reference_taken", "change keyring %s: a reference is that of %s", krid, l.KRID).
		Hint("two keyrings of one person cannot be joined; use the other")
}
