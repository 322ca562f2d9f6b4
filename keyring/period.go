package keyring

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// salts are retention keys in clear that one call has for itself.
type salts map[storage.RetentionID]*period

// salts gets retention keys, from memory where they are; one that was never made is not in the answer.
func (k *Keeper) salts(ctx context.Context, h *held, ids []storage.RetentionID) (salts, error) {
	got := make(salts, len(ids))
	var ask []storage.RetentionID
	now := k.tick()
	for _, id := range ids {
		if _, twice := got[id]; twice {
			continue
		}
		p := &period{}
		if p.ended, p.serial = k.periods.copied(id, now, &p.key); p.serial == 0 {
			ask = append(ask, id)
		}
		got[id] = p
	}
	if len(ask) == 0 {
		return got, nil
	}
	for _, id := range ask {
		delete(got, id)
	}
	found, err := k.keys.Retentions(ctx, ask)
	for i := range found {
		var p *period
		if p, err = k.openPeriod(ctx, h, &found[i]); err != nil {
			break
		}
		if p != nil {
			p.loaded = now
			got[ask[i]] = p
		}
	}
	if err != nil {
		got.wipe()
		return nil, err
	}
	return got, nil
}

func (s salts) wipe() {
	for _, p := range s {
		if p != nil {
			clear(p.key[:])
		}
	}
}

// keepPeriods copies what was read or made into memory.
func (k *Keeper) keepPeriods(s salts, as uint64) {
	for id, p := range s {
		if p.serial == 0 {
			k.periods.put(id, p, k.cache, as)
		}
	}
}

// openPeriod opens the record of a retention key; nil: there is none.
func (k *Keeper) openPeriod(ctx context.Context, h *held, s *storage.RetentionKey) (*period, error) {
	p := &period{version: s.Version, epoch: s.Epoch, loaded: k.tick()}
	what := fmt.Sprintf("retention key %s/%d", s.Class, s.Bucket)
	switch s.State {
	case 0:
		return nil, nil
	case storage.KeyDestroyed:
		var err error
		p.ended, err = h.tombstone(wrapped.RetentionAAD(k.o.Store, s), s.Record, what)
		return p, err
	case storage.KeyLive:
	default:
		return nil, event.Errorf(event.ErrFormat, "open %s: it has state %d", what, s.State)
	}
	e, err := k.meet(ctx, h, s.Epoch)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	plain, err := wrapped.Open(e.Retention, wrapped.RetentionAAD(k.o.Store, s), s.Record, what)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) != len(p.key) {
		return nil, wrapped.Unreadable(what)
	}
	p.key = [32]byte(plain)
	return p, nil
}

// newPeriod is the first version of a retention key.
func (k *Keeper) newPeriod(h *held, id storage.RetentionID) (*storage.RetentionKey, error) {
	var p period
	defer clear(p.key[:])
	if err := k.random(p.key[:]); err != nil {
		return nil, err
	}
	return k.sealPeriod(h, id, &p)
}

// sealPeriod is the next version of a retention key, under the current epoch.
func (k *Keeper) sealPeriod(h *held, id storage.RetentionID, p *period) (*storage.RetentionKey, error) {
	s := &storage.RetentionKey{RetentionID: id, Version: p.version + 1, Epoch: h.current.Number, State: storage.KeyLive}
	var err error
	plain := append(make([]byte, 0, len(p.key)), p.key[:]...)
	s.Record, err = k.wrap(h.current.Retention, wrapped.RetentionAAD(k.o.Store, s), plain)
	return s, err
}
