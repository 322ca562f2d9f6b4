package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// rings are keyrings in clear that one call has for itself.
type rings map[event.KRID]*ring

func (r rings) wipe() {
	for krid, ring := range r {
		ring.Wipe()
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

// ring is a keyring in clear with what is known of it here.
type ring struct {
	wrapped.Keyring
	told  int             // how many of the references have their tokens, but perhaps for an epoch it is not under yet
	moved uint32          // the epoch for which a roll made those, too; 0: none
	ended *wrapped.Ending // only in a tombstone, which has but KRID and version beside it

	loaded     int64 // tick as of which this was stored
	used       bool  // since it was last about to leave the cache
	prev, next *ring // in the cache
}

// clone is a copy that may be changed.
func (r *ring) clone() *ring {
	return &ring{Keyring: r.Keyring.Clone(), told: r.told, ended: r.ended, loaded: r.loaded, used: r.used}
}

// fetch reads keyrings; one that is not there is not in the answer.
func (k *Keeper) fetch(ctx context.Context, h *held, krids []event.KRID) (rings, error) {
	got := rings{}
	if len(krids) == 0 {
		return got, nil
	}
	questions := make([]question, len(krids))
	for i, krid := range krids {
		questions[i].krid = krid
	}
	now := k.tick()
	found, err := k.find(ctx, questions)
	for i := range found {
		if err = k.add(ctx, h, got, &found[i].keyring, now); err != nil {
			break
		}
	}
	if err != nil {
		got.wipe()
		return nil, err
	}
	return got, nil
}

// add opens a record that was read at a tick, unless it is there.
func (k *Keeper) add(ctx context.Context, h *held, to rings, s *storage.Keyring, now int64) error {
	if to[s.KRID] != nil {
		return nil
	}
	r, err := k.open(ctx, h, s)
	if err == nil && r != nil {
		r.loaded = now
		to[r.KRID] = r
	}
	return err
}

// open opens a record of the keystore; nil: there is none.
func (k *Keeper) open(ctx context.Context, h *held, s *storage.Keyring) (*ring, error) {
	what := "keyring " + s.KRID.String()
	r := &ring{Keyring: wrapped.Keyring{KRID: s.KRID, Version: s.Version, Epoch: s.Epoch}}
	switch {
	case s.State == 0:
		return nil, nil
	case s.State == storage.KeyDestroyed:
		var err error
		r.ended, err = h.tombstone(wrapped.KeyringAAD(k.o.Store, s), s.Record, what)
		return r, err
	case s.State != storage.KeyLive:
		return nil, event.Errorf(event.ErrFormat, "open %s: it has state %d", what, s.State)
	}
	e, err := k.meet(ctx, h, s.Epoch)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	plain, err := wrapped.Open(e.Ring(s.KRID), wrapped.KeyringAAD(k.o.Store, s), s.Record, what)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if err = k.decode(ctx, h, r, plain); err != nil {
		r.Wipe()
		return nil, err
	}
	r.told = len(r.References)
	return r, nil
}

// decode reads a record. A name that is not known was perhaps given its number a moment ago.
func (k *Keeper) decode(ctx context.Context, h *held, r *ring, plain []byte) error {
	if r.KRID == OfStore(k.o.Store) {
		_, err := r.Decode(plain, nil, true)
		return err
	}
	dir, err := k.know(ctx, h)
	if err != nil {
		return err
	}
	if known, err := r.Decode(plain, dir, false); known || h.shared {
		return err
	}
	if dir, err = k.learnNames(ctx, h); err != nil {
		return err
	}
	again := wrapped.Keyring{KRID: r.KRID, Version: r.Version, Epoch: r.Epoch}
	r.Wipe()
	r.Keyring = again
	_, err = r.Decode(plain, dir, false)
	return err
}

// tombstone opens one, by the key that all epochs share.
func (h *held) tombstone(aad, record []byte, what string) (*wrapped.Ending, error) {
	if h.current == nil {
		return nil, missing("open %s: the keystore has no epoch", what)
	}
	plain, err := wrapped.Open(h.current.Tombstone, aad, record, what)
	if err != nil {
		return nil, err
	}
	return wrapped.DecodeTombstone(plain, what)
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
		h.all = append(slices.Clone(h.all), e) // a walk may go through those there were
		slices.SortFunc(h.all, func(a, b *epoch) int { return int(int64(b.Number) - int64(a.Number)) })
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
func (k *Keeper) seal(h *held, r *ring, dir *wrapped.Directory, c *storage.KeyChange) error {
	if r.Register != nil {
		dir = wrapped.NewDirectory(0, r.Register)
	}
	s := &storage.Keyring{KRID: r.KRID, Version: r.Version + 1, Epoch: h.current.Number, State: storage.KeyLive}
	plain, err := r.Encode(dir)
	if err != nil {
		return fmt.Errorf("write keyring %s: %w", r.KRID, err)
	}
	s.Record, err = k.wrap(h.current.Ring(r.KRID), wrapped.KeyringAAD(k.o.Store, s), plain)
	c.Keyring = s
	h.tell(r, c)
	return err
}

// tell adds the tokens that a keyring lacks under the epochs held. Those of an epoch that it comes under only now may
// be there already: a roll writes them first.
func (h *held) tell(r *ring, c *storage.KeyChange) {
	for i, ref := range r.References {
		for _, e := range h.all {
			switch {
			case i >= r.told:
				c.Add = append(c.Add, storage.Lookup{Token: e.Lookup(ref), State: storage.KeyLive, KRID: r.KRID})
			case e == h.current && r.Epoch != e.Number && r.moved != e.Number:
				c.Replace = append(c.Replace, storage.Lookup{Token: e.Lookup(ref), State: storage.KeyLive, KRID: r.KRID})
			}
		}
	}
}

// stored notes that a change was stored.
func (r *ring) stored(s *storage.Keyring, now int64) {
	r.Version, r.Epoch, r.told, r.loaded = s.Version, s.Epoch, len(r.References), now
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
			if r.Register != nil { // others may have put there what is asked for
				k.adopt(wrapped.NewDirectory(r.Version, r.Register))
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
			k.cache.forget([]event.KRID{krid}) // it may be stored all the same
			return false, err
		case o.Stored:
			k.revised(found, &c, as)
			return true, nil
		case o.Lookup != nil:
			return false, k.taken(o.Lookup, krid)
		case o.Epoch != nil:
			return false, errOvertaken
		}
		if err := k.again(ctx, h, found, o.Keyring); err != nil {
			return false, err
		}
	}
	return false, contended("keyring " + krid.String())
}

// errOvertaken says that the epochs are not as they were when a change was prepared that depends on them.
var errOvertaken = errors.New("epochs changed meanwhile")

// maxRounds is how often a change is made anew because others were first.
const maxRounds = 1000

// revised keeps what was stored.
func (k *Keeper) revised(found rings, c *storage.KeyChange, as uint64) {
	r := found[c.Keyring.KRID]
	if c.Keyring.State != storage.KeyLive {
		k.cache.forget([]event.KRID{r.KRID})
		return
	}
	r.stored(c.Keyring, k.tick())
	if r.Register != nil {
		k.adopt(wrapped.NewDirectory(r.Version, r.Register))
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
		old.Wipe()
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
