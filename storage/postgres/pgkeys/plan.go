package pgkeys

import (
	"bytes"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// rows are the records of one table that a transaction has to do with: as they are stored, and then as it leaves them.
type rows[K comparable, V any] struct {
	now     map[K]V // what is not there is absent
	changed map[K]bool
}

func newRows[K comparable, V any]() rows[K, V] { return rows[K, V]{make(map[K]V), make(map[K]bool)} }

func (r *rows[K, V]) set(key K, value V) { r.now[key], r.changed[key] = value, true }

func (r *rows[K, V]) remove(key K) {
	if _, there := r.now[key]; there {
		delete(r.now, key)
		r.changed[key] = true
	}
}

// nobody is whose keystore a new one is.
var nobody event.StoreID

// plan is what a transaction does. It begins as what is stored of all that the changes name.
type plan struct {
	store      event.StoreID
	applied    event.Position
	moved      bool // store or applied are new
	keyrings   rows[event.KRID, storage.Keyring]
	retentions rows[storage.RetentionID, storage.RetentionKey]
	epochs     rows[uint32, storage.Epoch]
	lookups    rows[storage.LookupToken, storage.Lookup]
}

func newPlan() *plan {
	return &plan{
		keyrings:   newRows[event.KRID, storage.Keyring](),
		retentions: newRows[storage.RetentionID, storage.RetentionKey](),
		epochs:     newRows[uint32, storage.Epoch](),
		lookups:    newRows[storage.LookupToken, storage.Lookup](),
	}
}

// empty tells that there is nothing to write.
func (p *plan) empty() bool {
	return !p.moved && len(p.keyrings.changed)+len(p.retentions.changed)+len(p.epochs.changed)+len(p.lookups.changed) == 0
}

// apply does a change as a whole, or says what is in its way.
func (p *plan) apply(c *storage.KeyChange) storage.KeyOutcome {
	if out, refused := p.refuse(c); refused {
		return out
	}
	if c.Keyring != nil {
		p.keyrings.set(c.Keyring.KRID, *c.Keyring)
	}
	if c.Retention != nil {
		p.retentions.set(c.Retention.RetentionID, *c.Retention)
	}
	if c.Epoch != nil {
		p.epochs.set(c.Epoch.Number, *c.Epoch)
	}
	for _, l := range slices.Concat(c.Add, c.Replace) {
		p.lookups.set(l.Token, l)
	}
	for _, token := range c.Remove {
		p.lookups.remove(token)
	}
	if c.Store != nobody && p.store == nobody {
		p.store, p.moved = c.Store, true
	}
	if c.Applied > p.applied {
		p.applied, p.moved = c.Applied, true
	}
	return storage.KeyOutcome{Stored: true}
}

func (p *plan) refuse(c *storage.KeyChange) (out storage.KeyOutcome, refused bool) {
	if c.Keyring != nil {
		if now := p.keyrings.now[c.Keyring.KRID]; !c.Keyring.Follows(now.Version, now.State) {
			now.Record = bytes.Clone(now.Record)
			return storage.KeyOutcome{Keyring: &now}, true
		}
	}
	if c.Retention != nil {
		if now := p.retentions.now[c.Retention.RetentionID]; !c.Retention.Follows(now.Version, now.State) {
			now.Record = bytes.Clone(now.Record)
			return storage.KeyOutcome{Retention: &now}, true
		}
	}
	for _, l := range c.Add {
		if now, there := p.lookups.now[l.Token]; there {
			return storage.KeyOutcome{Lookup: &now}, true
		}
	}
	if c.Epoch != nil {
		if now := p.epochs.now[c.Epoch.Number]; !c.Epoch.Follows(now.Version, now.State) {
			now.Record = bytes.Clone(now.Record)
			return storage.KeyOutcome{Epoch: &now}, true
		}
	}
	if c.Store != nobody && p.store != nobody && c.Store != p.store {
		return storage.KeyOutcome{Store: p.store}, true
	}
	return out, false
}

// fate is what became of a transaction that nobody heard of again.
type fate int

const (
	unsure fate = iota
	done
	undone
)

// fateOf tells whether what this plan wrote is stored, from what is stored now of all it wrote: any record tells it for
// the whole transaction, but for one that others have changed since.
func (p *plan) fateOf(now *plan) fate {
	for key := range p.keyrings.changed {
		mine, theirs := p.keyrings.now[key], now.keyrings.now[key]
		same := mine.State == theirs.State && mine.Epoch == theirs.Epoch && bytes.Equal(mine.Record, theirs.Record)
		if f := fateBy(mine.Version, theirs.Version, same); f != unsure {
			return f
		}
	}
	for key := range p.retentions.changed {
		mine, theirs := p.retentions.now[key], now.retentions.now[key]
		same := mine.State == theirs.State && mine.Epoch == theirs.Epoch && bytes.Equal(mine.Record, theirs.Record)
		if f := fateBy(mine.Version, theirs.Version, same); f != unsure {
			return f
		}
	}
	for key := range p.epochs.changed {
		mine, theirs := p.epochs.now[key], now.epochs.now[key]
		same := mine.State == theirs.State && mine.Name == theirs.Name && bytes.Equal(mine.Record, theirs.Record)
		if f := fateBy(mine.Version, theirs.Version, same); f != unsure {
			return f
		}
	}
	if len(p.keyrings.changed)+len(p.retentions.changed)+len(p.epochs.changed) > 0 {
		return unsure
	}
	return p.fateOfRest(now)
}

// fateBy compares the version that was to be stored with the one that is.
func fateBy(mine, theirs uint64, same bool) fate {
	switch {
	case mine == theirs && same:
		return done
	case mine >= theirs:
		return undone
	}
	return unsure
}

// fateOfRest is of a transaction that changed lookups and the head only. If they are all as it left them nothing is to
// be done; otherwise doing it again comes to the same as doing it now.
func (p *plan) fateOfRest(now *plan) fate {
	for key := range p.lookups.changed {
		mine, there := p.lookups.now[key]
		theirs, stored := now.lookups.now[key]
		if there != stored || mine != theirs {
			return undone
		}
	}
	if p.store != now.store || p.applied > now.applied {
		return undone
	}
	return done
}
