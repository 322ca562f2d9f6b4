package privacy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// wordsGroup is the data group under which words of a reason are sealed, in the keyring of who gave it.
const wordsGroup = "reason"

// alias is the actor as the log knows him: by his alias, if his kind is one of persons.
func (p *Privacy) alias(ctx context.Context, a event.Actor) (event.Actor, error) {
	st := p.now.Load()
	if !st.policy.Person(a.Kind) {
		return a, nil
	}
	w := p.work(st)
	defer w.done()
	id := string(a.ID)
	if err := w.patch("actor", a.Kind, &id); err != nil {
		return a, err
	}
	if err := w.resolve(ctx, true); err != nil {
		return a, err
	}
	return event.Actor{Kind: a.Kind, ID: event.ActorID(id)}, nil
}

// record makes the use durable: of every person and group whose boxes are to be opened, or whose references are shown,
// how many and where. Where nothing is opened nothing is recorded.
func (r *reading) record(ctx context.Context, o event.Opening) error {
	tally := tally{index: make(map[useKey]int, len(r.boxes))}
	for i := range r.events {
		at := r.events[i].Position
		for n := r.first[i]; n < r.first[i+1]; n++ {
			if r.of(n).why != "" {
				continue
			}
			b := &r.boxes[n]
			for j := range b.Owners {
				if r.keys[r.owner[r.from[n]+j].want].State == keyring.Live {
					tally.add(b.Owners[j].KRID, b.Group, at)
				}
			}
		}
		if r.names.of == nil {
			continue
		}
		for _, k := range r.names.of[i] {
			if _, shown := r.names.person[k]; shown {
				tally.add(k, policy.Reference, at)
			}
		}
	}
	if len(tally.entries) == 0 {
		return nil
	}
	use, err := r.use(ctx, o)
	if err != nil {
		return err
	}
	// In the order in which a keystore keeps them: there is one of each, so that any sort will do.
	slices.SortFunc(tally.entries, func(a, b storage.UseEntry) int {
		return cmp.Or(bytes.Compare(a.KRID[:], b.KRID[:]), strings.Compare(a.Group, b.Group))
	})
	use.Entries = tally.entries
	if err := r.uses.RecordUses(ctx, []storage.Use{use}); err != nil {
		return fmt.Errorf("record use: %w", err)
	}
	return nil
}

// use says who opens, for what and why.
func (r *reading) use(ctx context.Context, o event.Opening) (storage.Use, error) {
	reason := r.grant.Reason()
	use := storage.Use{At: event.Micros(r.clock.Now()), Actor: r.actor, Purpose: r.grant.Purpose(), Code: o.Code,
		Reason: reason.String()}
	if reason.Words == "" {
		return use, nil
	}
	krid, err := event.ParseKRID(string(r.actor.ID))
	if err != nil {
		return use, event.Invalid("reason_malformed", "open: the reason holds words, and kind %s of the actor is no person "+
			"under whose keyring they could be sealed", r.actor.Kind).Hint(`give a code and a case id, such as "ticket 7"`)
	}
	if r.words == nil {
		if r.words, err = r.sealWords(ctx, krid, reason.Words); err != nil {
			return use, err
		}
	}
	use.Words = r.words
	return use, nil
}

// sealWords seals what else was said as a reason under the keyring of who said it: an id of its own, and the box.
func (r *reading) sealWords(ctx context.Context, krid event.KRID, words string) ([]byte, error) {
	id, err := r.ids.Next()
	if err != nil {
		return nil, err
	}
	keeper, err := r.ring()
	if err != nil {
		return nil, err
	}
	var key [1]keyring.Key
	defer clear(key[:])
	if err := keeper.ForSealing(ctx, []keyring.Want{{KRID: krid, Group: wordsGroup}}, key[:]); err != nil {
		return nil, err
	}
	box := sealed.Box{Group: wordsGroup, Owners: []sealed.Owner{{KRID: krid, Generation: key[0].Generation}}}
	content := sealed.Content{Slots: []sealed.Slot{{Kind: uint8(ledger.KindProperty), State: uint8(ledger.Value),
		Path: "/reason", Hole: ^uint32(0), Value: []byte(words)}}}
	if err := r.random(content.Seed[:]); err != nil {
		return nil, err
	}
	w := r.benches.Get().(*bench)
	defer func() {
		w.clear()
		r.benches.Put(w)
	}()
	box.Commitment = w.commit(&content)
	place := sealed.Place{Context: sealed.InUse, Store: r.store, ID: id}
	if err := w.seal(&box, &place, &content, []prk{key[0].PRK}, r.rand); err != nil {
		return nil, err
	}
	return sealed.Append(id[:], []sealed.Box{box}), nil
}

// tally counts what is opened.
type tally struct {
	entries []storage.UseEntry
	index   map[useKey]int
}

type useKey struct {
	krid  event.KRID
	group string
}

func (t *tally) add(k event.KRID, group string, at event.Position) {
	n, ok := t.index[useKey{k, group}]
	if !ok {
		n = len(t.entries)
		t.index[useKey{k, group}] = n
		t.entries = append(t.entries, storage.UseEntry{KRID: k, Group: group, First: at, Last: at})
	}
	e := &t.entries[n]
	e.Count++
	e.First, e.Last = min(e.First, at), max(e.Last, at)
}
