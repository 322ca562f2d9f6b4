package keyring

import (
	"bytes"
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// sizes bound how much is read, kept in memory and changed at once where everybody's keyring is gone through.
type sizes struct {
	page   int // keyrings read at once
	chunk  int // keyrings whose tokens are in memory
	tokens int // tokens changed at once
	moved  int // keyrings changed at once
}

// A chunk of half a million takes about 28 MB. Tokens lie in keystores by their bytes, which are random: to go through
// many of them in that order changes neighbours, one after the other, where a keyring at a time would change a page
// for each.
var usualSizes = sizes{page: 1000, chunk: 1 << 19, tokens: 8192, moved: 2000}

// pair is a token and whose it is.
type pair struct {
	token storage.LookupToken
	krid  event.KRID
}

// sighting is a keyring as of when its tokens were made.
type sighting struct {
	krid    event.KRID
	version uint64
}

// harvest is the tokens of a chunk of keyrings, in the order of their bytes.
type harvest struct {
	pairs []pair
	seen  []sighting // in the order of the walk
	done  bool       // there are no more keyrings
}

// reaper makes the tokens of keyrings under some epochs.
type reaper struct {
	k      *Keeper
	h      *held
	epochs []*epoch
	q      storage.KeyringQuery // where it is
	lost   func(error) error    // what to do about a keyring that does not open
}

// reap makes the tokens of the next chunk. While one page is being opened, the next is read.
func (r *reaper) reap(ctx context.Context) (*harvest, error) {
	r.q.Limit = r.k.sizes.page
	v := &harvest{}
	var reading sync.WaitGroup
	defer reading.Wait()
	var next []storage.Keyring
	var err error
	read := func() { next, err = r.k.keys.ScanKeyrings(ctx, r.q) }
	for read(); ; reading.Wait() {
		if err != nil {
			return nil, err
		}
		if v.done = len(next) == 0; v.done || len(v.seen) >= r.k.sizes.chunk {
			break
		}
		found := next
		r.q.After = found[len(found)-1].KRID
		reading.Go(read)
		if err := r.open(ctx, found, v); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(v.pairs, func(a, b pair) int { return bytes.Compare(a.token[:], b.token[:]) })
	return v, nil
}

// open makes the tokens of a page, on all cores.
func (r *reaper) open(ctx context.Context, found []storage.Keyring, v *harvest) error {
	tokens := make([][]storage.LookupToken, len(found))
	errs, err := r.k.openEach(ctx, r.h, found, func(i int, ring *ring) error {
		for _, ref := range ring.References {
			for _, e := range r.epochs {
				tokens[i] = append(tokens[i], e.Lookup(ref))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range found {
		if errs[i] != nil {
			if err := r.lost(errs[i]); err != nil {
				return err
			}
			continue
		}
		v.seen = append(v.seen, sighting{found[i].KRID, found[i].Version})
		for _, token := range tokens[i] {
			v.pairs = append(v.pairs, pair{token, found[i].KRID})
		}
	}
	return nil
}

// openEach opens keyrings on all cores and shows each to use, which may not keep it. errs says which did not open, or
// what use said.
func (k *Keeper) openEach(ctx context.Context, h *held, found []storage.Keyring,
	use func(i int, r *ring) error) (errs []error, err error) {
	// What is opened below must not be looked for by several at once: neither names, all of which were registered before
	// found was read, nor epochs.
	if _, err := k.learnNames(ctx, h); err != nil {
		return nil, err
	}
	for i := range found {
		if found[i].State != storage.KeyLive {
			continue
		}
		if _, err := k.meet(ctx, h, found[i].Epoch); err != nil {
			return nil, err
		}
	}
	shared := *h
	shared.shared = true
	errs = make([]error, len(found))
	workers := min(runtime.GOMAXPROCS(0), len(found)/64+1)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(found); i += workers {
				r, err := k.open(ctx, &shared, &found[i])
				if err == nil && r != nil {
					err = use(i, r)
					r.Wipe()
				}
				errs[i] = err
			}
		})
	}
	group.Wait()
	return errs, nil
}

// indexer adds tokens of many keyrings. An erasure removes the tokens there are; so that none is added for a person who
// was erased since the keyring was read, both write the oldest live epoch anew, as its next version: an indexer that is
// refused looks who is still alive.
type indexer struct {
	k       *Keeper
	guard   storage.Epoch // as of before the keyrings were read
	suspect bool          // somebody may have been erased since
	replace bool          // whatever is there
	doubled func(pair, event.KRID)
}

// add stores tokens. While some are being stored, it is looked which of the next are there.
func (x *indexer) add(ctx context.Context, pairs []pair) error {
	var storing later
	for part := range slices.Chunk(x.single(pairs), x.k.sizes.tokens) {
		var err error
		if !x.replace {
			part, err = x.absent(ctx, part)
		}
		if err = cmp.Or(storing.wait(), err); err != nil {
			return err
		}
		storing.begin(func() error { return x.addPart(ctx, part) })
	}
	return storing.wait()
}

// later is one thing that is done while the next is prepared.
type later struct {
	group sync.WaitGroup
	err   error
}

func (l *later) begin(do func() error) { l.group.Go(func() { l.err = do() }) }

func (l *later) wait() error {
	l.group.Wait()
	return l.err
}

// single leaves each token out but once.
func (x *indexer) single(pairs []pair) []pair {
	single := pairs[:0]
	for _, p := range pairs {
		n := len(single)
		switch {
		case n == 0 || single[n-1].token != p.token:
			single = append(single, p)
		case single[n-1].krid != p.krid:
			x.doubled(p, single[n-1].krid)
		}
	}
	return single
}

// addPart stores tokens, whatever is there: nobody but the person they are of can have come by them meanwhile.
func (x *indexer) addPart(ctx context.Context, part []pair) error {
	for range maxRounds {
		var err error
		if x.suspect {
			if part, err = x.alive(ctx, part); err != nil {
				return err
			}
		}
		if len(part) == 0 {
			return nil
		}
		c := storage.KeyChange{Epoch: nextVersion(x.guard), Replace: make([]storage.Lookup, len(part))}
		for i, p := range part {
			c.Replace[i] = storage.Lookup{Token: p.token, State: storage.KeyLive, KRID: p.krid}
		}
		o, err := x.k.changeOne(ctx, c)
		if err != nil {
			return err
		}
		if o.Stored {
			x.guard = *c.Epoch
			return nil
		}
		if x.guard, err = x.k.oldest(ctx); err != nil {
			return err
		}
		x.suspect = true
	}
	return contended("the lookup tokens")
}

// alive leaves out the tokens of those who were erased.
func (x *indexer) alive(ctx context.Context, part []pair) ([]pair, error) {
	krids := make([]event.KRID, len(part))
	for i := range part {
		krids[i] = part[i].krid
	}
	found, err := x.k.keys.Keyrings(ctx, krids)
	if err != nil {
		return nil, err
	}
	var alive []pair
	for i := range part {
		if found[i].State == storage.KeyLive {
			alive = append(alive, part[i])
		}
	}
	return alive, nil
}

// absent leaves out the tokens that are there.
func (x *indexer) absent(ctx context.Context, part []pair) ([]pair, error) {
	tokens := make([]storage.LookupToken, len(part))
	for i := range part {
		tokens[i] = part[i].token
	}
	found, err := x.k.keys.Lookups(ctx, tokens)
	if err != nil {
		return nil, err
	}
	var absent []pair
	for i := range part {
		switch {
		case found[i].State == 0:
			absent = append(absent, part[i])
		case found[i].KRID != part[i].krid:
			x.doubled(part[i], found[i].KRID)
		}
	}
	return absent, nil
}

// nextVersion is an epoch as it is, as its next version.
func nextVersion(e storage.Epoch) *storage.Epoch {
	e.Version++
	return &e
}

// oldest is the oldest live epoch as it is now.
func (k *Keeper) oldest(ctx context.Context) (storage.Epoch, error) {
	if err := k.refresh(ctx, true); err != nil {
		return storage.Epoch{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.live()
	if len(live) == 0 {
		return storage.Epoch{}, missing("find the oldest live epoch: there is none")
	}
	return live[len(live)-1], nil
}
