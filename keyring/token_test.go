package keyring_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// watchedKeys lets a test come between a decision and the change that follows from it.
type watchedKeys struct {
	storage.Keys
	before func([]storage.KeyChange)
}

func (w *watchedKeys) ChangeKeys(ctx context.Context, c []storage.KeyChange) ([]storage.KeyOutcome, error) {
	w.before(c)
	return w.Keys.ChangeKeys(ctx, c)
}

func (r *rig) watched(before func([]storage.KeyChange)) *keyring.Keeper {
	r.t.Helper()
	k, err := keyring.Open(r.t.Context(), &watchedKeys{r.keys, before}, r.service, r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(k.Close)
	keyring.CalmForTest(k)
	keyring.SmallForTest(k)
	return k
}

// tellsMany tells whether a change writes tokens of many persons.
func tellsMany(c storage.KeyChange) bool {
	return c.Keyring == nil && c.Epoch != nil && len(c.Replace) > 1
}

// TestErasedWhileTokensAreMade: nothing leads to a person who is erased after a roll has read the keyring and before it
// writes the token, whether the roll goes on or ends there.
func TestErasedWhileTokensAreMade(t *testing.T) {
	for _, cut := range []bool{false, true} {
		r := newRig(t)
		other := r.open()
		town := build(t, other, 210)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		erased := 0
		k := r.watched(func(changes []storage.KeyChange) {
			if !slices.ContainsFunc(changes, tellsMany) || erased == 210 {
				return
			}
			for _, krid := range town.krids[erased:][:30] {
				ending := keyring.Ending{Receipt: "1/1", Until: r.clock.Now().Add(time.Minute)}
				if err := other.Destroy(t.Context(), krid, ending); err != nil {
					t.Error(err)
				}
			}
			if erased += 30; cut {
				cancel()
			}
		})
		_, err := k.Roll(ctx, nil)
		if (err != nil) != cut {
			t.Fatal(err)
		}
		if cut {
			roll(t, r.open())
		}
		if erased < 30 {
			t.Fatal("nobody was erased")
		}
		count(t, other, 210-erased, erased)
		wantLookups(t, r, 2*(210-erased+1)+erased)
		r.clock.Move(2 * time.Minute)
		for i, krid := range mint(t, r.open(), town.refs...) {
			if (krid == town.krids[i]) != (i >= erased) {
				t.Fatalf("reference %d leads to %s, which was %s", i, krid, town.krids[i])
			}
		}
	}
}

// TestChangedWhileTokensAreMade: who gets another reference from a Keeper that does not know of the epoch yet is found
// by both.
func TestChangedWhileTokensAreMade(t *testing.T) {
	r := newRig(t)
	other := r.open()
	town := build(t, other, 100)
	town.stands(t, other)
	done := false
	k := r.watched(func(changes []storage.KeyChange) {
		if done || !slices.ContainsFunc(changes, tellsMany) {
			return
		}
		done = true
		for i := range 10 {
			if err := other.AddReference(t.Context(), town.krids[i], customer(1000+i)); err != nil {
				t.Error(err)
			}
			knowing := r.open()
			err := knowing.Amend(t.Context(), town.krids[20+i], func(s *policy.Standing) (bool, error) {
				s.Restrictions = append(s.Restrictions, policy.Restriction{ID: event.ID{1}})
				return true, nil
			})
			if err == nil {
				err = knowing.AddReference(t.Context(), town.krids[40+i], customer(2000+i))
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := k.Roll(t.Context(), nil); err != nil || !done {
		t.Fatal(done, err)
	}
	for i := range 10 {
		town.refs = append(town.refs, customer(1000+i), customer(2000+i))
		town.krids = append(town.krids, town.krids[i], town.krids[40+i])
	}
	r.clock.Move(17 * time.Minute)
	if _, err := r.open().DestroyEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	town.stands(t, r.open())
	wantLookups(t, r, 100+20+1)
}

// TestDoubledReference: of two keyrings with one reference, which is damage, a roll leaves one behind.
func TestDoubledReference(t *testing.T) {
	r := newRig(t)
	town := build(t, r.open(), 200)
	var second sync.Once
	k := r.watched(func(changes []storage.KeyChange) { // a mint that loses its token
		second.Do(func() { changes[0].Add = nil })
	})
	lost := mint(t, k, customer(500))[0]
	if again := mint(t, r.open(), customer(500))[0]; again == lost {
		t.Fatal("the token was not lost")
	}
	for range 2 {
		done, err := k.Roll(t.Context(), nil)
		wantError(t, err, event.ErrCorrupt, "reference_doubled")
		if done.Epoch != 2 {
			t.Errorf("got %+v", done)
		}
	}
	if s, err := k.Status(t.Context()); err != nil || !s.Behind {
		t.Errorf("got %+v, %v", s, err)
	}
	town.stands(t, r.open())
}

// replacing is a Keeper beside the others that notes which tokens it replaces.
func (r *rig) replacing(tokens *[]storage.LookupToken) *keyring.Keeper {
	return r.watched(func(changes []storage.KeyChange) {
		for i := range changes {
			for _, l := range changes[i].Replace {
				*tokens = append(*tokens, l.Token)
			}
		}
	})
}

// TestReindexAll builds the index anew, in two epochs, for a keystore that lost it.
func TestReindexAll(t *testing.T) {
	r := newRig(t)
	k := r.open()
	keyring.SmallForTest(k)
	town := build(t, k, 210)
	roll(t, k)
	var tokens []storage.LookupToken
	thief := r.replacing(&tokens)
	for range 2 {
		tokens = nil
		if n, err := thief.Reindex(t.Context()); n != 211 || err != nil || len(tokens) != 2*211 {
			t.Fatalf("%d keyrings have %d tokens: %v", n, len(tokens), err)
		}
		town.stands(t, r.open())
		if _, err := r.keys.ChangeKeys(t.Context(), []storage.KeyChange{{Remove: tokens}}); err != nil {
			t.Fatal(err)
		}
		wantLookups(t, r, 0)
	}
	if _, err := k.Reindex(t.Context()); err != nil {
		t.Fatal(err)
	}
	town.stands(t, r.open())
	wantLookups(t, r, 2*211)
}

// TestReindexOvertaken: an epoch that another makes on the way takes the place of none that the index is built for.
func TestReindexOvertaken(t *testing.T) {
	r := newRig(t)
	k := r.open()
	keyring.SmallForTest(k)
	town := build(t, k, 60)
	roll(t, k)
	roll(t, k)
	var tokens []storage.LookupToken
	thief := r.replacing(&tokens)
	if _, err := thief.Reindex(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.keys.ChangeKeys(t.Context(), []storage.KeyChange{{Remove: tokens}}); err != nil {
		t.Fatal(err)
	}
	wantLookups(t, r, 0)
	walked := &walkedKeys{Keys: r.keys, read: func() { roll(t, k) }}
	first, err := keyring.Open(t.Context(), walked, r.service, r.options)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if n, err := first.Reindex(t.Context()); n != 61 || err != nil {
		t.Fatal(n, err)
	}
	wantLookups(t, r, 4*61) // three epochs', and those of the roll
	town.stands(t, first)
}
