package keyring

import (
	"cmp"
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// lease is when the keys of the live epochs may be used, in ticks.
type lease struct{ from, renew, until int64 }

func (l *lease) covers(now int64) bool { return l != nil && now >= l.from && now < l.until }

// held is the keys of all live epochs that are open, kept from being overwritten until release.
type held struct {
	k       *Keeper
	current *epoch   // what is written is wrapped by it; nil: there is no epoch yet
	partial bool     // an epoch that is live could not be opened
	shared  bool     // by several at once: no epoch may join
	all     []*epoch // newest first

	guard storage.Epoch // after regain: the oldest of all, as it was then
}

// of is the epoch with a number; nil: it is not open.
func (h *held) of(number uint32) *epoch {
	for _, e := range h.all {
		if e.Number == number {
			return e
		}
	}
	return nil
}

func (h *held) release() {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	for _, e := range h.all {
		e.users--
		e.settle()
	}
	h.all, h.current = nil, nil
}

// settle overwrites an epoch that is retired, once nobody uses it. It wants Keeper.mu.
func (e *epoch) settle() {
	if e.retired && e.users == 0 {
		e.Wipe()
	}
}

// leased tells whether keys in memory may be used now, and has the lease renewed in good time.
func (k *Keeper) leased(now int64) bool {
	l := k.lease.Load()
	if !l.covers(now) {
		return false
	}
	if now >= l.renew {
		k.mu.Lock()
		k.renew(now)
		k.mu.Unlock()
	}
	return true
}

// renew begins to renew the lease in the background, unless that goes on or was tried just now. It wants mu.
func (k *Keeper) renew(now int64) {
	if k.attempt == nil && k.paused(now) {
		k.unwrap(now)
	}
}

// paused tells whether the last attempt is so long ago that another may be made while the lease lasts. It wants mu.
func (k *Keeper) paused(now int64) bool { return uint64(now-k.tried) >= uint64(k.o.Lease/leaseTries) }

// hold gives access to the keys of the live epochs. Without create, a keystore that has none holds nothing.
func (k *Keeper) hold(ctx context.Context, create bool) (*held, error) {
	for range 8 {
		if err := k.refresh(ctx, !k.begun()); err != nil { // that there is no epoch is not remembered
			return nil, err
		}
		h, attempt, err := k.take(create)
		switch {
		case err != nil:
			return nil, err
		case h != nil:
			return h, nil
		case attempt == nil:
			err = k.begin(ctx)
		default:
			err = attempt.wait(ctx)
		}
		if err != nil && !k.lease.Load().covers(k.tick()) {
			if k.life.Err() != nil {
				return nil, closedKeeper()
			}
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, contended("the epochs")
}

// take is one step of hold: the keys, or an attempt to wait for, or neither: there is no epoch and one shall be made.
func (k *Keeper) take(create bool) (*held, *attempt, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, nil, closedKeeper()
	}
	now := k.tick()
	if l := k.lease.Load(); l != nil && !l.covers(now) {
		k.expire()
	}
	live := k.live()
	switch {
	case len(live) > 0:
	case len(k.head.Epochs) > 0:
		return nil, nil, fault(event.ErrCorrupt, "no_live_epoch", "open epochs: every one was destroyed").
			Hint("restore the keystore from a backup")
	case create:
		return nil, nil, nil
	default:
		return &held{k: k}, nil, nil
	}
	h := &held{k: k}
	complete := true
	for _, e := range live {
		if open := k.epochs[e.Number]; open != nil {
			h.all = append(h.all, open)
		} else {
			complete = false
		}
	}
	// An epoch that cannot be opened now does not stop those that are; it is tried again in the background. One that
	// another Keeper made since the last attempt has not been asked for yet.
	if len(h.all) == 0 || !complete && (live[0].Number > k.asked || k.attempt == nil && k.paused(now)) {
		return nil, k.unwrap(now), nil
	}
	if now >= k.lease.Load().renew {
		k.renew(now)
	}
	for _, e := range h.all {
		e.users++
	}
	h.current, h.partial = h.all[0], !complete
	return h, nil, nil
}

// live is the live epochs of the head, newest first. It wants mu.
func (k *Keeper) live() []storage.Epoch {
	var live []storage.Epoch
	for _, e := range k.head.Epochs {
		if e.State == storage.KeyLive {
			live = append(live, e)
		}
	}
	slices.SortFunc(live, func(a, b storage.Epoch) int { return cmp.Compare(b.Number, a.Number) })
	return live
}

// refresh reads the head if it was not read within the TTL, or again.
func (k *Keeper) refresh(ctx context.Context, again bool) error {
	k.mu.Lock()
	now := k.tick()
	done := !again && uint64(now-k.headAt) < uint64(k.cache.ttl)
	k.mu.Unlock()
	if done {
		return nil
	}
	return k.refreshAs(ctx, now)
}

// refreshAs reads the head at a tick.
func (k *Keeper) refreshAs(ctx context.Context, now int64) error {
	head, err := k.keys.KeyHead(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.see(head, now)
}

// see takes note of a head. It wants mu.
func (k *Keeper) see(head storage.KeyHead, now int64) error {
	if head.Store != k.o.Store && head.Store != (event.StoreID{}) {
		return foreign(head.Store)
	}
	k.signers.permit(nil, 0)
	for _, known := range k.head.Epochs { // the answer may be older than what is known
		i := slices.IndexFunc(head.Epochs, func(e storage.Epoch) bool { return e.Number == known.Number })
		switch {
		case i < 0:
			head.Epochs = append(head.Epochs, known)
		case head.Epochs[i].Version < known.Version:
			head.Epochs[i] = known
		}
	}
	head.Applied = max(head.Applied, k.head.Applied)
	k.head, k.headAt = head, now
	for _, e := range head.Epochs {
		if open := k.epochs[e.Number]; open != nil && e.State != storage.KeyLive {
			delete(k.epochs, e.Number)
			open.retired = true
			open.settle()
		}
	}
	return nil
}

// attempt is one round of asking the key service for all live epochs.
type attempt struct {
	done chan struct{}
	err  error
}

func (a *attempt) wait(ctx context.Context) error {
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unwrap begins an attempt, or joins the one that goes on. It wants mu.
func (k *Keeper) unwrap(now int64) *attempt {
	if k.attempt != nil {
		return k.attempt
	}
	a := &attempt{done: make(chan struct{})}
	if !k.spawn(func() { k.unwrapAll(a, now) }) {
		a.err = closedKeeper()
		close(a.done)
		return a
	}
	k.attempt, k.tried = a, now
	return a
}

// unwrapAll opens epochs and begins a new lease if every live one could be opened: a reference might be known under
// each, and who goes on without the newest would write under one that may be destroyed (DestroyEpoch waits for leases).
func (k *Keeper) unwrapAll(a *attempt, began int64) {
	// Another Keeper may have made or destroyed an epoch since the head was read. If it cannot be read, what is known has
	// to do, but only until the lease ends.
	a.err = k.refreshAs(k.life, began)
	k.mu.Lock()
	live := k.live()
	k.mu.Unlock()
	opened := map[uint32]*epoch{}
	failed := map[uint32]error{}
	for _, e := range live {
		if err := k.unwrapOne(e, opened); err != nil {
			failed[e.Number] = err
		}
	}
	if len(failed) > 0 {
		_ = k.refreshAs(k.life, began)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(a.done)
	k.attempt = nil
	if len(live) > 0 {
		k.asked = live[0].Number
	}
	for _, e := range k.live() { // the newest first; of one that was destroyed meanwhile it does not count
		if a.err == nil {
			a.err = failed[e.Number]
		}
	}
	// The old lease may have ended meanwhile. What it covered is opened anew then.
	if l := k.lease.Load(); l != nil && !l.covers(k.tick()) {
		k.expire()
	}
	if k.closed || len(k.epochs) == 0 && a.err != nil {
		for _, e := range opened {
			e.Wipe()
		}
		return
	}
	for number, e := range opened {
		switch there := k.epochs[number]; {
		case there == nil && k.known(number) == storage.KeyLive:
			k.epochs[number] = e
			continue
		case there != nil && !there.Same(e.Raw):
			a.err = wrapped.Unreadable("epoch, whose keys are other ones than before,")
		}
		e.Wipe()
	}
	for number := range k.epochs {
		k.newest.Store(max(k.newest.Load(), number))
	}
	if a.err == nil && len(k.epochs) > 0 {
		k.lease.Store(&lease{from: began, renew: began + int64(k.o.Lease)/2, until: began + int64(k.o.Lease)})
	}
}

func (k *Keeper) unwrapOne(stored storage.Epoch, opened map[uint32]*epoch) error {
	raw, err := k.unwrapEpoch(k.life, stored)
	if err != nil {
		return err
	}
	e, err := newEpoch(stored.Number, raw)
	if err != nil {
		return err
	}
	opened[stored.Number] = e
	return nil
}

// known is the state of an epoch in the head; 0: it is not there. It wants mu.
func (k *Keeper) known(number uint32) storage.KeyState {
	for _, e := range k.head.Epochs {
		if e.Number == number {
			return e.State
		}
	}
	return 0
}

// expire ends the use of every key in memory. It wants mu.
func (k *Keeper) expire() {
	k.lease.Store(nil)
	k.signers.permit(nil, 0)
	for number, e := range k.epochs {
		delete(k.epochs, number)
		e.retired = true
		e.settle()
	}
	k.cache.clear()
	k.periods.clear()
}

// begin makes the first epoch and, with it, the store's own keyring. Of several who do so at once one wins.
func (k *Keeper) begin(ctx context.Context) error {
	select {
	case k.beginning <- struct{}{}:
		defer func() { <-k.beginning }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := k.refresh(ctx, true); err != nil || k.begun() {
		return err
	}
	stored, e, err := k.makeEpoch(ctx, 1, nil)
	if err != nil {
		return err
	}
	defer e.Wipe()
	own := &ring{Keyring: wrapped.Keyring{
		KRID: OfStore(k.o.Store), Born: 1, References: []Reference{k.self()},
		Register: &wrapped.Register{Names: []string{event.SystemKind}},
	}}
	c := storage.KeyChange{Epoch: &stored, Store: k.o.Store}
	if err := k.seal(&held{k: k, current: e, all: []*epoch{e}}, own, nil, &c); err != nil {
		return err
	}
	if _, err := k.changeOne(ctx, c); err != nil {
		return err
	}
	return k.refresh(ctx, true)
}

// self is the reference of the store's own keyring, by which it is known whether the lookup index is there at all.
func (k *Keeper) self() Reference {
	return Reference{Kind: event.SystemKind, Ref: k.o.Store.String()}
}

func (k *Keeper) begun() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.head.Epochs) > 0
}

func foreign(store event.StoreID) error {
	return fault(event.ErrConflict, "foreign_keystore", "open keystore: it belongs to store %s", store).
		Hint("open it with its own log")
}
