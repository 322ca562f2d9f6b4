package keyring

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// Resolve returns who is known by references, index by index. One that nobody is known by gets the zero KRID or, with
// mint, a keyring, which is durable when Resolve returns; of many who are first at once all get the same. If one of the
// references is of a person who was erased, it is event.ErrDenied with code erased_subject, and nothing was minted.
func (k *Keeper) Resolve(ctx context.Context, refs []Reference, mint bool) ([]event.KRID, error) {
	krids := make([]event.KRID, len(refs))
	now := k.tick()
	leased := k.leased(now)
	unknown := 0
	for i := range refs {
		ok := false
		if leased {
			krids[i], ok = k.cache.who(refs[i], now)
		}
		if !ok {
			krids[i] = event.KRID{}
			unknown++
		}
	}
	if unknown == 0 {
		return krids, nil
	}
	return krids, k.resolve(ctx, refs, krids, mint)
}

// search is references that are looked for.
type search struct {
	refs  []Reference              // each once
	at    map[Reference]int        // index of the first of these in the question, for messages
	found map[Reference]event.KRID // also zero: it is known that nobody is
}

func (k *Keeper) resolve(ctx context.Context, refs []Reference, krids []event.KRID, mint bool) error {
	s := search{at: map[Reference]int{}, found: map[Reference]event.KRID{}}
	for i, ref := range refs {
		if _, twice := s.at[ref]; twice || !krids[i].IsZero() {
			continue
		}
		if err := validate(ref, i); err != nil {
			return err
		}
		s.at[ref] = i
		s.refs = append(s.refs, ref)
	}
	h, err := k.hold(ctx, mint)
	if err != nil || h.current == nil {
		return err
	}
	defer h.release()
	for range maxRounds {
		if err := k.lookup(ctx, h, &s); err != nil {
			return err
		}
		if !mint || len(s.refs) == 0 {
			break
		}
		if err := k.mint(ctx, h, &s); err != nil {
			return err
		}
		if len(s.refs) == 0 {
			break
		}
	}
	if mint && len(s.refs) > 0 {
		return contended("the references")
	}
	for i, ref := range refs {
		if krids[i].IsZero() {
			krids[i] = s.found[ref]
		}
	}
	return nil
}

// Bounds of references, names and receipts, in bytes.
const (
	maxKind      = 255
	maxReference = 4096
	maxReceipt   = 255
	maxName      = 255
)

// maxReferences is by how many references one person is known at most.
const maxReferences = 1000

// validate checks a reference that a caller gave as the one with an index.
func validate(r Reference, i int) error {
	if r.Kind == "" || len(r.Kind) > maxKind || r.Ref == "" || len(r.Ref) > maxReference {
		return event.Invalid("malformed_reference",
			"resolve reference %d: want a kind of 1 to %d and a name of 1 to %d bytes", i, maxKind, maxReference)
	}
	return nil
}

// lookup finds those who are known, and leaves the others in s.refs.
func (k *Keeper) lookup(ctx context.Context, h *held, s *search) error {
	as, asked := k.cache.forgets.Load(), k.tick()
	holders, err := k.holders(ctx, h, s.refs)
	if err != nil {
		return err
	}
	now := event.Micros(k.o.Clock.Now())
	for i, o := range holders {
		if o.suppressed(now) {
			return erasedSubject("resolve reference %d: its person was erased", s.at[s.refs[i]])
		}
	}
	found := rings{}
	defer found.wipe()
	unknown := s.refs[:0]
	for i, o := range holders {
		ref := s.refs[i]
		if o.krid.IsZero() {
			unknown = append(unknown, ref)
			continue
		}
		if err := k.add(ctx, h, found, &o.keyring, asked); err != nil {
			return err
		}
		if err := found[o.krid].mustHold(ref, o.krid, s.at[ref]); err != nil {
			return err
		}
		s.found[ref] = o.krid
	}
	s.refs = unknown
	k.keep(found, as)
	return nil
}

// mustHold checks what a lookup said against the keyring itself, which is sealed.
func (r *ring) mustHold(ref Reference, krid event.KRID, i int) error {
	switch {
	case r == nil:
		return missing("resolve reference %d: keyring %s is not there", i, krid)
	case r.ended != nil:
		return erasedSubject("resolve reference %d: %s was erased", i, krid)
	case !slices.Contains(r.References, ref):
		return fault(event.ErrCorrupt, "lookup_mismatch", "resolve reference %d: keyring %s has none such", i, krid).
			Hint("restore the keystore from a backup")
	}
	return nil
}

// holder is what tokens of a reference say.
type holder struct {
	krid    event.KRID
	keyring storage.Keyring // of krid
	until   int64           // end of its suppression
}

func (h holder) suppressed(now int64) bool { return h.until > now }

// holders asks for the tokens of references under every epoch held. The newest epoch's counts.
func (k *Keeper) holders(ctx context.Context, h *held, refs []Reference) ([]holder, error) {
	each := len(h.all) + 1
	questions := make([]question, 0, each*len(refs))
	for _, ref := range refs {
		for n, e := range h.all {
			questions = append(questions, question{token: e.Lookup(ref), older: n > 0})
		}
		// Last: an erasure puts it in the place of the others, so that one of them is seen whenever they are read.
		questions = append(questions, question{token: h.current.Suppression(ref)})
	}
	found, err := k.find(ctx, questions)
	if err != nil {
		return nil, err
	}
	holders := make([]holder, len(refs))
	for i := range holders {
		o := &holders[i]
		for _, a := range found[i*each:][:each] {
			switch l := &a.lookup; {
			case l.State == storage.KeyDestroyed:
				o.until = max(o.until, l.Until)
			case l.State == storage.KeyLive && o.krid.IsZero():
				o.krid, o.keyring = l.KRID, a.keyring
			}
		}
	}
	return holders, nil
}

// mustIndex makes sure, once, that there is an index: a keystore that was restored without it knows nobody, and
// everybody would be made again.
func (k *Keeper) mustIndex(ctx context.Context, h *held) error {
	if k.indexed.Load() {
		return nil
	}
	holders, err := k.holders(ctx, h, []Reference{k.self()})
	if err != nil {
		return err
	}
	if holders[0].krid != OfStore(k.o.Store) {
		return fault(event.ErrCorrupt, "index_missing", "resolve references: the keystore has no lookup index").
			Hint("build it from the keyrings (Reindex)")
	}
	k.indexed.Store(true)
	return nil
}

// mint makes keyrings for references nobody is known by. Those that others were faster with stay in s.refs.
func (k *Keeper) mint(ctx context.Context, h *held, s *search) error {
	as := k.cache.forgets.Load()
	if err := k.mustIndex(ctx, h); err != nil {
		return err
	}
	var kinds []string
	for _, ref := range s.refs {
		if !slices.Contains(kinds, ref.Kind) {
			kinds = append(kinds, ref.Kind)
		}
	}
	dir, err := k.inscribe(ctx, h, kinds, nil)
	if err != nil {
		return err
	}
	minted := make([]*ring, len(s.refs))
	changes := make([]storage.KeyChange, len(s.refs))
	for i, ref := range s.refs {
		r := &ring{Keyring: wrapped.Keyring{Born: h.current.Number, References: []Reference{ref}}}
		if err := k.random(r.KRID[:]); err != nil {
			return err
		}
		if err := k.seal(h, r, dir, &changes[i]); err != nil {
			return err
		}
		minted[i] = r
	}
	now := k.tick()
	outcomes, err := k.change(ctx, changes)
	if err != nil {
		return err
	}
	lost := s.refs[:0]
	for i, ref := range s.refs {
		if !outcomes[i].Stored { // by another's keyring of the same reference, or of the same KRID
			lost = append(lost, ref)
			continue
		}
		s.found[ref] = minted[i].KRID
		minted[i].stored(changes[i].Keyring, now)
		k.cache.put(minted[i], as)
	}
	s.refs = lost
	return nil
}
