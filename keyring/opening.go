package keyring

import (
	"context"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wrapped"
)

// ForOpening writes to dst, index by index, what became of keys and, of live ones, the keys; dst is at least as long. A
// keyring, group, generation or retention key that is not there is event.ErrCorrupt with code key_missing, and never
// reads as erased; dst then holds no key.
func (k *Keeper) ForOpening(ctx context.Context, wants []OpenWant, dst []Opened) error {
	now := k.tick()
	leased := k.leased(now)
	cold := 0
	for i := range wants {
		dst[i] = Opened{}
		if !leased || !k.warmOpen(&wants[i], now, &dst[i]) {
			cold++
		}
	}
	if cold == 0 {
		return nil
	}
	err := k.coldOpen(ctx, wants, dst)
	if err != nil {
		clear(dst[:len(wants)])
	}
	return err
}

// warmOpen answers from memory.
func (k *Keeper) warmOpen(w *OpenWant, now int64, dst *Opened) bool {
	var p period
	p.ended, p.serial = k.periods.copied(stored(w.Class, w.Bucket), now, &p.key)
	s := k.cache.shard(w.KRID)
	s.mu.Lock()
	if r := k.cache.find(s, w.KRID, now); r != nil {
		if gen := r.answer(w, dst); gen != nil && p.serial != 0 {
			dst.finish(gen, &p)
		}
	}
	s.mu.Unlock()
	clear(p.key[:])
	return dst.State != 0
}

// answer says what a keyring knows of a want: what became of the key, or the generation if it is live. Neither: there
// is no such key.
func (r *ring) answer(w *OpenWant, dst *Opened) *wrapped.Generation {
	if r.ended != nil {
		dst.State, dst.Receipt = Erased, r.ended.Receipt
		return nil
	}
	dst.Standing = r.Standing
	g := r.Group(w.Group)
	if g == nil || w.Generation == 0 {
		return nil
	}
	if w.Generation <= g.Erased.Through {
		dst.State, dst.Receipt = Erased, g.Erased.Receipt
		return nil
	}
	gen := g.Of(w.Generation)
	if gen != nil && gen.Epoch == 0 {
		dst.State = Superseded
		return nil
	}
	return gen
}

// finish joins the key of a group with that of a period.
func (o *Opened) finish(gen *wrapped.Generation, p *period) {
	if p.ended != nil {
		o.State, o.Receipt = Expired, p.ended.Receipt
		return
	}
	o.State, o.PRK = Live, gen.Extract(&p.key, p.serial)
}

func (k *Keeper) coldOpen(ctx context.Context, wants []OpenWant, dst []Opened) error {
	h, err := k.hold(ctx, false)
	if err != nil {
		return err
	}
	defer h.release()
	as := k.cache.forgets.Load()
	var krids []event.KRID
	var ids []storage.RetentionID
	for i := range wants {
		if dst[i].State == 0 {
			krids = append(krids, wants[i].KRID)
			ids = append(ids, stored(wants[i].Class, wants[i].Bucket))
		}
	}
	found, err := k.fetch(ctx, h, krids)
	if err != nil {
		return err
	}
	defer found.wipe()
	salts, err := k.salts(ctx, h, ids)
	if err != nil {
		return err
	}
	defer salts.wipe()
	for i := range wants {
		if dst[i].State != 0 {
			continue
		}
		if err := openOne(&wants[i], &dst[i], found, salts); err != nil {
			return err
		}
	}
	k.keep(found, as)
	k.keepPeriods(salts, as)
	return nil
}

func openOne(w *OpenWant, dst *Opened, found rings, salts salts) error {
	r := found[w.KRID]
	if r == nil {
		return missing("open for %s: the keyring is not there", w.KRID)
	}
	gen := r.answer(w, dst)
	switch {
	case dst.State != 0:
		return nil
	case gen == nil:
		return missing("open for %s: it has no generation %d of group %s", w.KRID, w.Generation, w.Group)
	}
	p := salts[stored(w.Class, w.Bucket)]
	if p == nil {
		return missing("open for %s: the retention key %s/%d is not there", w.KRID, w.Class, w.Bucket)
	}
	dst.finish(gen, p)
	return nil
}
