package keyring_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// tamperedKeys answers with records that somebody changed.
type tamperedKeys struct {
	storage.Keys
	head      func(*storage.KeyHead)
	keyring   func(*storage.Keyring)
	retention func(*storage.RetentionKey)
	lookup    func(*storage.Lookup)
}

func (f *tamperedKeys) KeyHead(ctx context.Context) (storage.KeyHead, error) {
	head, err := f.Keys.KeyHead(ctx)
	if f.head != nil {
		f.head(&head)
	}
	return head, err
}

func (f *tamperedKeys) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	found, err := f.Keys.Keyrings(ctx, krids)
	for i := range found {
		if f.keyring != nil {
			f.keyring(&found[i])
		}
	}
	return found, err
}

func (f *tamperedKeys) Retentions(ctx context.Context, ids []storage.RetentionID) ([]storage.RetentionKey, error) {
	found, err := f.Keys.Retentions(ctx, ids)
	for i := range found {
		if f.retention != nil {
			f.retention(&found[i])
		}
	}
	return found, err
}

func (f *tamperedKeys) Lookups(ctx context.Context, tokens []storage.LookupToken) ([]storage.Lookup, error) {
	found, err := f.Keys.Lookups(ctx, tokens)
	for i := range found {
		if f.lookup != nil {
			f.lookup(&found[i])
		}
	}
	return found, err
}

// scene is two persons, one of them erased, and what the keystore holds of them.
type scene struct {
	*rig
	krids  []event.KRID // of the living, of another one, of the erased
	stored []storage.Keyring
	period storage.RetentionKey
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{rig: newRig(t)}
	k := s.open()
	s.krids = mint(t, k, customer(1), customer(2), customer(3))
	for _, krid := range s.krids {
		sealKey(t, k, want(krid, "contact"))
	}
	if err := k.Destroy(t.Context(), s.krids[2], keyring.Ending{Receipt: "1/1"}); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.stored, err = s.keys.Keyrings(t.Context(), s.krids); err != nil {
		t.Fatal(err)
	}
	periods, err := s.keys.Retentions(t.Context(), []storage.RetentionID{{Class: "contract", Bucket: 20290331}})
	if err != nil {
		t.Fatal(err)
	}
	s.period = periods[0]
	return s
}

// refuses checks that nothing works for a person, with one class and code.
func (s *scene) refuses(krid event.KRID, class error, code string) {
	s.t.Helper()
	k, err := keyring.Open(s.t.Context(), s.keys, s.service, s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	defer k.Close()
	var key [1]keyring.Key
	var opened [1]keyring.Opened
	calls := s.keys.calls()
	err = k.ForSealing(s.t.Context(), []keyring.Want{want(krid, "contact")}, key[:])
	wantError(s.t, err, class, code)
	err = k.ForOpening(s.t.Context(), []keyring.OpenWant{{Want: want(krid, "contact"), Generation: 1}}, opened[:])
	wantError(s.t, err, class, code)
	if key[0] != (keyring.Key{}) || opened[0] != (keyring.Opened{}) {
		s.t.Error("something came along with an error")
	}
	if s.keys.calls() != calls {
		s.t.Error("something was written")
	}
}

func TestSwappedRecords(t *testing.T) {
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte {
			b = bytes.Clone(b)
			b[(at+len(b))%len(b)] ^= 1
			return b
		}
	}
	corrupt, unreadable, format := event.ErrCorrupt, "record_unreadable", "unknown_format"
	for name, c := range map[string]struct {
		change func(s *scene, r *storage.Keyring)
		class  error
		code   string
	}{
		"another's record": {func(s *scene, r *storage.Keyring) { r.Record = s.stored[1].Record }, corrupt, unreadable},
		"another version":  {func(_ *scene, r *storage.Keyring) { r.Version++ }, corrupt, unreadable},
		"live as tombstone": {func(_ *scene, r *storage.Keyring) { r.State = storage.KeyDestroyed },
			corrupt, unreadable},
		"another's tombstone": {func(s *scene, r *storage.Keyring) {
			r.State, r.Record, r.Version, r.Epoch = storage.KeyDestroyed, s.stored[2].Record, s.stored[2].Version, 0
		}, corrupt, unreadable},
		"no record":       {func(_ *scene, r *storage.Keyring) { r.Record = nil }, corrupt, unreadable},
		"cut record":      {func(_ *scene, r *storage.Keyring) { r.Record = r.Record[:20] }, corrupt, unreadable},
		"no epoch":        {func(_ *scene, r *storage.Keyring) { r.Epoch = 9 }, corrupt, "epoch_missing"},
		"absent":          {func(_ *scene, r *storage.Keyring) { *r = storage.Keyring{} }, corrupt, "key_missing"},
		"a bit":           {func(_ *scene, r *storage.Keyring) { r.Record = flip(40)(r.Record) }, corrupt, unreadable},
		"the last bit":    {func(_ *scene, r *storage.Keyring) { r.Record = flip(-1)(r.Record) }, corrupt, unreadable},
		"other format":    {func(_ *scene, r *storage.Keyring) { r.Record = flip(0)(r.Record) }, event.ErrFormat, format},
		"other suite":     {func(_ *scene, r *storage.Keyring) { r.Record = flip(1)(r.Record) }, event.ErrFormat, format},
		"unknown state":   {func(_ *scene, r *storage.Keyring) { r.State = 3 }, event.ErrFormat, format},
		"a damaged nonce": {func(_ *scene, r *storage.Keyring) { r.Record = flip(2)(r.Record) }, corrupt, unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.keys.Keys = &tamperedKeys{Keys: s.keys.Keys, keyring: func(r *storage.Keyring) {
				if r.KRID == s.krids[0] {
					c.change(s, r)
				}
			}}
			s.refuses(s.krids[0], c.class, c.code)
		})
	}
	t.Run("tombstone as live", func(t *testing.T) {
		s := newScene(t)
		s.keys.Keys = &tamperedKeys{Keys: s.keys.Keys, keyring: func(r *storage.Keyring) {
			if r.KRID == s.krids[2] {
				r.State, r.Epoch = storage.KeyLive, 1
			}
		}}
		s.refuses(s.krids[2], event.ErrCorrupt, unreadable)
	})
}

func TestSwappedPeriods(t *testing.T) {
	for name, change := range map[string]func(s *scene, r *storage.RetentionKey){
		"another bucket":    func(_ *scene, r *storage.RetentionKey) { r.Bucket++ },
		"another class":     func(_ *scene, r *storage.RetentionKey) { r.Class = "claim" },
		"another version":   func(_ *scene, r *storage.RetentionKey) { r.Version++ },
		"live as tombstone": func(_ *scene, r *storage.RetentionKey) { r.State = storage.KeyDestroyed },
		"a person's record": func(s *scene, r *storage.RetentionKey) { r.Record = s.stored[0].Record },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.keys.Keys = &tamperedKeys{Keys: s.keys.Keys, retention: func(r *storage.RetentionKey) { change(s, r) }}
			s.refuses(s.krids[0], event.ErrCorrupt, "record_unreadable")
		})
	}
}

// TestSwappedLookups: a row that leads to somebody else does not pass, for the keyring names its references itself.
func TestSwappedLookups(t *testing.T) {
	resolve := func(s *scene, change func(*storage.Lookup)) error {
		k, err := keyring.Open(t.Context(), &tamperedKeys{Keys: s.keys, lookup: change}, s.service, s.options)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		_, err = k.Resolve(t.Context(), []keyring.Reference{customer(1)}, true)
		return err
	}
	s := newScene(t)
	err := resolve(s, func(l *storage.Lookup) {
		if l.State == storage.KeyLive {
			l.KRID = s.krids[1]
		}
	})
	wantError(t, err, event.ErrCorrupt, "lookup_mismatch")
	err = resolve(s, func(l *storage.Lookup) {
		if l.State == storage.KeyLive {
			l.KRID = event.KRID{1}
		}
	})
	wantError(t, err, event.ErrCorrupt, "key_missing")
}

// TestLostIndex: a keystore that was restored without its lookups makes nobody anew, and gets them back.
func TestLostIndex(t *testing.T) {
	r := newRig(t)
	k := r.open()
	town := build(t, k, 20)
	roll(t, k)
	old, restored := r.keys.Keys, memory.NewKeys()
	head, err1 := old.KeyHead(t.Context())
	rings, err2 := old.ScanKeyrings(t.Context(), storage.KeyringQuery{Limit: 100})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	changes := []storage.KeyChange{{Store: head.Store}}
	for i := range head.Epochs {
		changes = append(changes, storage.KeyChange{Epoch: &head.Epochs[i]})
	}
	for i := range rings {
		changes = append(changes, storage.KeyChange{Keyring: &rings[i]})
	}
	r.keys.Keys = &insert{Keys: restored}
	if _, err := r.keys.ChangeKeys(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	k = r.open()
	_, err := k.Resolve(t.Context(), town.refs, true)
	wantError(t, err, event.ErrCorrupt, "index_missing")
	if n, err := k.Reindex(t.Context()); n != 21 || err != nil {
		t.Fatal(n, err)
	}
	if diff := cmp.Diff(town.krids, mint(t, k, town.refs...)); diff != "" {
		t.Error(diff)
	}
}

// insert writes records with whatever version they have, step by step.
type insert struct{ storage.Keys }

func (f *insert) ChangeKeys(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	for _, c := range changes {
		if c.Keyring == nil {
			continue
		}
		for v := uint64(1); v < c.Keyring.Version; v++ {
			step := *c.Keyring
			step.Version, step.Record = v, []byte{0}
			if _, err := f.Keys.ChangeKeys(ctx, []storage.KeyChange{{Keyring: &step}}); err != nil {
				return nil, err
			}
		}
	}
	return f.Keys.ChangeKeys(ctx, changes)
}

func TestDamagedEpoch(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*storage.Epoch)
		class  error
		code   string
	}{
		"another number": {func(e *storage.Epoch) { e.Number = 2 }, event.ErrCorrupt, "kms_not_opened"},
		"no record":      {func(e *storage.Epoch) { e.Record = nil }, event.ErrCorrupt, "record_unreadable"},
		"other format":   {func(e *storage.Epoch) { e.Record[0] = 2 }, event.ErrFormat, "unknown_format"},
		"a bit":          {func(e *storage.Epoch) { e.Record[99] ^= 1 }, event.ErrCorrupt, "kms_not_opened"},
		"destroyed": {func(e *storage.Epoch) {
			e.State, e.Record = storage.KeyDestroyed, nil
		}, event.ErrCorrupt, "no_live_epoch"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.keys.Keys = &tamperedKeys{Keys: s.keys.Keys, head: func(h *storage.KeyHead) { c.change(&h.Epochs[0]) }}
			s.refuses(s.krids[0], c.class, c.code)
		})
	}
}

// TestLostRegister: without the store's own keyring nothing is guessed.
func TestLostRegister(t *testing.T) {
	s := newScene(t)
	s.keys.Keys = &tamperedKeys{Keys: s.keys.Keys, keyring: func(r *storage.Keyring) {
		if r.KRID == keyring.OfStore(s.store) {
			*r = storage.Keyring{}
		}
	}}
	s.refuses(s.krids[0], event.ErrCorrupt, "key_missing")
}

// TestRollLeavesWhatDoesNotOpen and moves the others.
func TestRollLeavesWhatDoesNotOpen(t *testing.T) {
	r := newRig(t)
	k := r.open()
	town := build(t, k, 20)
	found, err := r.keys.Keyrings(t.Context(), town.krids[3:5])
	if err != nil {
		t.Fatal(err)
	}
	broken := found[0]
	broken.Version++
	broken.Record = found[1].Record
	if _, err := r.keys.ChangeKeys(t.Context(), []storage.KeyChange{{Keyring: &broken}}); err != nil {
		t.Fatal(err)
	}
	done, err := k.Roll(t.Context(), nil)
	wantError(t, err, event.ErrCorrupt, "record_unreadable")
	if done.Keyrings != 19 {
		t.Errorf("%d keyrings were moved, want all but one", done.Keyrings)
	}
	r.clock.Move(1000 * 3600e9)
	_, err = k.DestroyEpoch(t.Context(), 1)
	wantError(t, err, event.ErrConflict, "epoch_in_use")
}

// TestErrorsNameNobody: messages hold KRIDs and numbers, no references.
func TestErrorsNameNobody(t *testing.T) {
	s := newScene(t)
	k := s.open()
	secret := keyring.Reference{Kind: "customer", Ref: "ada.lovelace@example.org"}
	krid := mint(t, k, secret)[0]
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	note(k.AddReference(t.Context(), s.krids[0], secret))
	note(k.Amend(t.Context(), event.KRID{1}, func(*policy.Standing) (bool, error) { return true, nil }))
	if err := k.Destroy(t.Context(), krid, keyring.Ending{Receipt: "1/1", Until: s.clock.Now().Add(3600e9)}); err != nil {
		t.Fatal(err)
	}
	_, err := k.Resolve(t.Context(), []keyring.Reference{secret}, true)
	note(err)
	note(k.AddReference(t.Context(), s.krids[0], secret))
	s.service.Set(kmstest.Down)
	_, err = s.open().Resolve(t.Context(), []keyring.Reference{secret}, true)
	note(err)
	for _, err := range errs {
		if err == nil || bytes.Contains([]byte(err.Error()), []byte("ada.lovelace")) {
			t.Errorf("got %v", err)
		}
	}
}
