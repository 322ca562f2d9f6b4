package keystest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// whole is a change with something in every part.
func whole() storage.KeyChange {
	k, r, e := ring(person()), retention("loan", 7), epoch(1)
	return storage.KeyChange{
		Keyring: &k, Retention: &r, Epoch: &e, Store: event.StoreID{7}, Applied: 9,
		Add: []storage.Lookup{live(k.KRID), live(k.KRID)}, Replace: []storage.Lookup{live(k.KRID)},
	}
}

// ChangeAtomic holds that a change is there with all its parts, or, whichever of them is refused, with none.
func ChangeAtomic(t *testing.T, open Open) {
	s := open(t).Keys
	c := whole()
	store(t, s, c)
	stored := content{
		Head:     storage.KeyHead{Store: c.Store, Applied: 9, Epochs: []storage.Epoch{*c.Epoch}},
		Keyrings: []storage.Keyring{*c.Keyring}, Retentions: []storage.RetentionKey{*c.Retention},
		Lookups: []storage.Lookup{c.Add[0], c.Add[1], c.Replace[0]},
	}
	same(t, "keystore after a change", stored, read(t, s, c))

	ahead, behind := retention("loan", 8), *c.Retention
	ahead.Version = 3
	for name, spoil := range map[string]func(x *storage.KeyChange) storage.KeyOutcome{
		"keyring": func(x *storage.KeyChange) storage.KeyOutcome {
			x.Keyring = c.Keyring
			return storage.KeyOutcome{Keyring: c.Keyring}
		},
		"retention key": func(x *storage.KeyChange) storage.KeyOutcome {
			x.Retention = &behind
			return storage.KeyOutcome{Retention: c.Retention}
		},
		"retention key of later": func(x *storage.KeyChange) storage.KeyOutcome {
			x.Retention = &ahead
			return storage.KeyOutcome{Retention: new(storage.RetentionKey)}
		},
		"lookup": func(x *storage.KeyChange) storage.KeyOutcome {
			x.Add[1] = c.Replace[0]
			return storage.KeyOutcome{Lookup: &c.Replace[0]}
		},
		"epoch": func(x *storage.KeyChange) storage.KeyOutcome {
			x.Epoch = c.Epoch
			return storage.KeyOutcome{Epoch: c.Epoch}
		},
		"store": func(x *storage.KeyChange) storage.KeyOutcome {
			x.Store = event.StoreID{8}
			return storage.KeyOutcome{Store: event.StoreID{7}}
		},
	} {
		x := whole()
		*x.Retention, *x.Epoch = retention("loan", 9), epoch(2)
		x.Applied, x.Remove = 99, []storage.LookupToken{c.Add[0].Token}
		want := spoil(&x)
		t.Run(name, func(t *testing.T) { refuse(t, s, x, want) })
	}
	// What is in the way first is told.
	refuse(t, s, c, storage.KeyOutcome{Keyring: c.Keyring})
	without := c
	without.Keyring = nil
	refuse(t, s, without, storage.KeyOutcome{Retention: c.Retention})
	without.Retention = nil
	refuse(t, s, without, storage.KeyOutcome{Lookup: &c.Add[0]})
	without.Add = nil
	refuse(t, s, without, storage.KeyOutcome{Epoch: c.Epoch})
}

// ChangeDurable holds that what was stored is there when a durable keystore is opened again, and what was refused is
// not; and that changes of one call see those before them.
func ChangeDurable(t *testing.T, open Open) {
	e := open(t)
	var all []storage.KeyChange
	for round := range 3 {
		c, first, l := minting(person())
		second := next(first, fmt.Sprint("round ", round))
		other := next(first, "another")
		r := retention("class", int64(round))
		got := change(t, e.Keys, c, storage.KeyChange{Keyring: &second, Retention: &r},
			storage.KeyChange{Keyring: &other, Applied: 1000}, storage.KeyChange{Remove: []storage.LookupToken{l.Token}},
			storage.KeyChange{Add: []storage.Lookup{l}, Applied: event.Position(round)}, storage.KeyChange{})
		stored := storage.KeyOutcome{Stored: true}
		same(t, "outcomes", []storage.KeyOutcome{stored, stored, {Keyring: &second}, stored, stored, stored}, got)
		all = append(all, c, storage.KeyChange{Retention: &r})
		before := read(t, e.Keys, all...)
		same(t, "applied", event.Position(round), before.Head.Applied)
		e.Reopen(t)
		same(t, "keystore after it was opened again", before, read(t, e.Keys, all...))
	}
	same(t, "no outcomes", 0, len(change(t, e.Keys)))
	if !e.Features.Durable {
		if err := e.Keys.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		same(t, "what another keystore holds", content{}, read(t, open(t).Keys))
	}
}

// ChangeCompares holds that a record is stored only after the one before it, and that what is destroyed stays so.
func ChangeCompares(t *testing.T, open Open) {
	e := open(t)
	s := func() storage.Keystore { return e.Keys }
	none := new(storage.Keyring)
	r := ring(person())
	for _, version := range []uint64{2, 3, math.MaxInt64} {
		x := r
		x.Version = version
		refuse(t, s(), storage.KeyChange{Keyring: &x}, storage.KeyOutcome{Keyring: none})
	}
	store(t, s(), storage.KeyChange{Keyring: &r})
	second := next(r, "second")
	second.Epoch = 2
	store(t, s(), storage.KeyChange{Keyring: &second})
	e.Reopen(t)
	for _, version := range []uint64{1, 2, 4} {
		x := next(second, "not this one")
		x.Version = version
		refuse(t, s(), storage.KeyChange{Keyring: &x}, storage.KeyOutcome{Keyring: &second})
	}
	gone := destroyed(second)
	store(t, s(), storage.KeyChange{Keyring: &gone})
	for _, version := range []uint64{1, 3, 4, 5} {
		x := ring(r.KRID)
		x.Version = version
		refuse(t, s(), storage.KeyChange{Keyring: &x}, storage.KeyOutcome{Keyring: &gone})
	}
	later := destroyed(gone) // a tombstone may say more
	store(t, s(), storage.KeyChange{Keyring: &later})

	key := retention("loan", 3)
	wrong := key
	wrong.Version = 2
	refuse(t, s(), storage.KeyChange{Retention: &wrong}, storage.KeyOutcome{Retention: new(storage.RetentionKey)})
	store(t, s(), storage.KeyChange{Retention: &key})
	ended := wrong
	ended.State = storage.KeyDestroyed
	store(t, s(), storage.KeyChange{Retention: &ended})
	wrong.Version = 3
	refuse(t, s(), storage.KeyChange{Retention: &wrong}, storage.KeyOutcome{Retention: &ended})

	first := epoch(5)
	late := first
	late.Version = 2
	refuse(t, s(), storage.KeyChange{Epoch: &late}, storage.KeyOutcome{Epoch: new(storage.Epoch)})
	store(t, s(), storage.KeyChange{Epoch: &first})
	rolled := late
	rolled.State, rolled.Record = storage.KeyDestroyed, nil
	store(t, s(), storage.KeyChange{Epoch: &rolled})
	late.Version = 3
	refuse(t, s(), storage.KeyChange{Epoch: &late}, storage.KeyOutcome{Epoch: &rolled})

	store(t, s(), storage.KeyChange{Store: event.StoreID{1}})
	store(t, s(), storage.KeyChange{Store: event.StoreID{1}}, storage.KeyChange{Applied: 1})
	refuse(t, s(), storage.KeyChange{Store: event.StoreID{2}}, storage.KeyOutcome{Store: event.StoreID{1}})
}

// ChangeOneWinner holds that of many goroutines who create the same person one stores theirs, and every other is told
// that one's keyring; and the same of persons found under one token, retention keys and epochs.
func ChangeOneWinner(t *testing.T, open Open) {
	s := open(t).Keys
	const callers, things = 24, 6
	shared := make([]storage.Lookup, things)
	krids := make([]event.KRID, things)
	for i := range things {
		krids[i], shared[i] = person(), live(person())
	}
	var won [things][4][callers]bool
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for i := range things {
				mark := fmt.Appendf(nil, "by caller %d", caller)
				k, r, e := ring(krids[i]), retention("class", int64(i)), epoch(uint32(i+1))
				k.Record, r.Record, e.Record = mark, mark, mark
				l := shared[i]
				l.KRID = event.KRID{byte(caller + 1)}
				outcomes, err := s.ChangeKeys(t.Context(), []storage.KeyChange{
					{Keyring: &k}, {Retention: &r}, {Epoch: &e}, {Add: []storage.Lookup{l}},
				})
				if err != nil {
					t.Errorf("change keys: %v", err)
					return
				}
				for part, o := range outcomes {
					won[i][part][caller] = o.Stored
				}
			}
		})
	}
	wait.Wait()
	for i := range things {
		l := lookups(t, s, shared[i].Token)[0]
		records := [][]byte{
			keyrings(t, s, krids[i])[0].Record,
			retentions(t, s, storage.RetentionID{Class: "class", Bucket: int64(i)})[0].Record,
			head(t, s).Epochs[i].Record,
			fmt.Appendf(nil, "by caller %d", l.KRID[0]-1),
		}
		for part, record := range records {
			for caller, stored := range won[i][part] {
				if want := string(record) == fmt.Sprintf("by caller %d", caller); want != stored {
					t.Errorf("thing %d, part %d is %q, and caller %d was told that it was stored: %t",
						i, part, record, caller, stored)
				}
			}
		}
		k := ring(krids[i])
		refuse(t, s, storage.KeyChange{Keyring: &k}, storage.KeyOutcome{Keyring: &keyrings(t, s, krids[i])[0]})
	}
}

// ChangeChecked holds that nothing of a call is stored if one of its changes is malformed.
func ChangeChecked(t *testing.T, open Open) {
	s := open(t).Keys
	good, _, _ := minting(person())
	k, r, e, l := ring(person()), retention("loan", 1), epoch(1), live(person())
	keyring := func(spoil func(k *storage.Keyring)) storage.KeyChange {
		x := k
		spoil(&x)
		return storage.KeyChange{Keyring: &x}
	}
	nameless, unnumbered, stateless := r, e, l
	nameless.Class, unnumbered.Number, stateless.State = "", 0, 0
	anonymous, named := l, l
	anonymous.KRID, named.State = event.KRID{}, storage.KeyDestroyed
	for name, bad := range map[string]storage.KeyChange{
		"nobody":         keyring(func(k *storage.Keyring) { k.KRID = event.KRID{} }),
		"version 0":      keyring(func(k *storage.Keyring) { k.Version = 0 }),
		"version beyond": keyring(func(k *storage.Keyring) { k.Version = math.MaxInt64 + 1 }),
		"state 0":        keyring(func(k *storage.Keyring) { k.State = 0 }),
		"state 3":        keyring(func(k *storage.Keyring) { k.State = 3 }),
		"no class":       {Retention: &nameless},
		"epoch 0":        {Epoch: &unnumbered},
		"lookup without": {Add: []storage.Lookup{stateless}},
		"lookup of none": {Replace: []storage.Lookup{anonymous}},
		"lookup of gone": {Replace: []storage.Lookup{named}},
		"added twice":    {Add: []storage.Lookup{l, l}},
		"two places":     {Add: []storage.Lookup{l}, Replace: []storage.Lookup{l}},
		"added, removed": {Add: []storage.Lookup{l}, Remove: []storage.LookupToken{l.Token}},
		"removed twice":  {Remove: []storage.LookupToken{l.Token, l.Token}},
	} {
		outcomes, err := s.ChangeKeys(t.Context(), []storage.KeyChange{good, bad})
		if !errors.Is(err, event.ErrInvalid) || len(outcomes) > 0 {
			t.Errorf("a change with %s: %v", name, err)
		}
		same(t, "keystore after "+name, content{Lookups: make([]storage.Lookup, 1)}, read(t, s, good))
	}
	store(t, s, good)
}
