package privacy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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

// allowed is what somebody may open for a purpose, as of one state, before any person is asked.
type allowed struct {
	*Privacy
	state  *state
	moment time.Time // as of which it is decided: what is recorded is what is released
	grant  *policy.Grant
	actor  event.Actor // under its alias
}

// allow asks the policy what an opening may open.
func (p *Privacy) allow(ctx context.Context, o event.Opening, st *state) (a allowed, err error) {
	a = allowed{Privacy: p, state: st, moment: p.clock.Now()}
	if o.Actor.IsZero() {
		return a, event.Invalid("actor_missing", "open personal data: nobody is named who opens it").Hint("name who it is")
	}
	if a.actor, err = p.alias(ctx, o.Actor); err != nil {
		return a, err
	}
	o.Actor = a.actor
	a.grant, err = st.policy.Grant(o)
	return a, err
}

// record makes a use durable. Where nothing is opened nothing is recorded.
func (a *allowed) record(ctx context.Context, code string, entries []storage.UseEntry) error {
	if len(entries) == 0 {
		return nil
	}
	reason := a.grant.Reason()
	use := storage.Use{At: event.Micros(a.moment), Actor: a.actor, Purpose: a.grant.Purpose(), Code: code,
		Reason: reason.String(), Entries: entries}
	if reason.Words != "" {
		krid, err := event.ParseKRID(string(a.actor.ID))
		if err != nil {
			return event.Invalid("reason_malformed", "the reason holds words, and kind %s of the actor is no person under "+
				"whose keyring they could be sealed", a.actor.Kind).Hint(`give a code and a case id, such as "ticket 7"`)
		}
		if use.Words, err = a.sealWords(ctx, krid, reason.Words); err != nil {
			return err
		}
	}
	if err := a.uses.RecordUses(ctx, []storage.Use{use}); err != nil {
		return fmt.Errorf("record use: %w", err)
	}
	return nil
}

// sealWords seals what else was said as a reason under the keyring of who said it: an id of its own, and the box.
func (p *Privacy) sealWords(ctx context.Context, krid event.KRID, words string) ([]byte, error) {
	id, err := p.ids.Next()
	if err != nil {
		return nil, err
	}
	keeper, err := p.ring()
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
	if err := p.random(content.Seed[:]); err != nil {
		return nil, err
	}
	w := p.benches.Get().(*bench)
	defer func() {
		w.clear()
		p.benches.Put(w)
	}()
	box.Commitment = w.commit(&content)
	place := sealed.Place{Context: sealed.InUse, Store: p.store, ID: id}
	if err := w.seal(&box, &place, &content, []prk{key[0].PRK}, p.rand); err != nil {
		return nil, err
	}
	return sealed.Append(id[:], []sealed.Box{box}), nil
}

// tally counts what is opened.
type tally struct {
	entries []storage.UseEntry
	index   map[useKey]int
	before  []storage.UseEntry // what was counted the last time
}

type useKey struct {
	krid  event.KRID
	group string
}

// begin counts anew.
func (t *tally) begin() {
	t.entries, t.before = t.before[:0], t.entries
	if clear(t.index); t.index == nil {
		t.index = map[useKey]int{}
	}
}

// clear forgets what was counted, and keeps the memory.
func (t *tally) clear() {
	clear(t.entries)
	clear(t.before)
	clear(t.index)
	t.entries, t.before = t.entries[:0], t.before[:0]
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

// end puts what was counted into the order in which a keystore keeps it, and tells whether it is other than the last
// time. There is one entry of each person and group, so that any sort will do.
func (t *tally) end() (other bool) {
	slices.SortFunc(t.entries, func(a, b storage.UseEntry) int {
		return cmp.Or(bytes.Compare(a.KRID[:], b.KRID[:]), strings.Compare(a.Group, b.Group))
	})
	return !slices.Equal(t.entries, t.before)
}
