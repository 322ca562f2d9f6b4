package keyring_test

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

func TestResolveMintsOnce(t *testing.T) {
	r := newRig(t)
	k := r.open()
	if krids, err := k.Resolve(t.Context(), []keyring.Reference{customer(1)}, false); err != nil || !krids[0].IsZero() {
		t.Fatal(krids, err)
	}
	if n := r.service.Calls("Unwrap") + r.service.Calls("Create"); n != 0 {
		t.Errorf("the key service was asked %d times before anybody was there", n)
	}
	first := mint(t, k, customer(1), customer(2), customer(1))
	if first[0] != first[2] || first[0] == first[1] {
		t.Fatalf("got %v", first)
	}
	calls := r.keys.calls()
	again, err := k.Resolve(t.Context(), []keyring.Reference{customer(2), customer(3), customer(1)}, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]event.KRID{first[1], {}, first[0]}, again); diff != "" {
		t.Error(diff)
	}
	if r.keys.calls() != calls {
		t.Error("asking changed something")
	}
	other := r.open()
	if got := mint(t, other, customer(1), customer(2)); !slices.Equal(got, first[:2]) {
		t.Errorf("another Keeper says %v, want %v", got, first[:2])
	}
	k.Forget(nil)
	if got := mint(t, k, customer(2)); got[0] != first[1] {
		t.Errorf("after Forget got %v, want %v", got[0], first[1])
	}
}

// TestConcurrentFirstUse has a thousand callers of two Keepers meet the same person at once, in a keystore without
// epochs.
func TestConcurrentFirstUse(t *testing.T) {
	r := newRig(t)
	keepers := []*keyring.Keeper{r.open(), r.open()}
	krids := make([]event.KRID, 1000)
	keys := make([]keyring.Key, len(krids))
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range krids {
		group.Go(func() {
			<-start
			k := keepers[i%2]
			got, err := k.Resolve(t.Context(), []keyring.Reference{customer(1)}, true)
			if err != nil {
				t.Error(err)
				return
			}
			krids[i] = got[0]
			err = k.ForSealing(t.Context(), []keyring.Want{want(got[0], "contact")}, keys[i:i+1])
			if err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	group.Wait()
	for i := range krids {
		if krids[i] != krids[0] || keys[i] != keys[0] {
			t.Fatalf("caller %d got %v and another key than caller 0, who got %v", i, krids[i], krids[0])
		}
	}
	live, destroyed, err := keepers[0].Count(t.Context())
	if live != 1 || destroyed != 0 || err != nil {
		t.Errorf("there are %d live and %d destroyed keyrings: %v", live, destroyed, err)
	}
	s, err := keepers[0].Status(t.Context())
	if err != nil || len(s.Epochs) != 1 || s.Behind {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestGroupCommit has a hundred callers wait while a commit goes on: the next one is theirs together.
func TestGroupCommit(t *testing.T) {
	r := newRig(t)
	k := r.open()
	mint(t, k, customer(0)) // the epoch and the name of the kind are there
	begun, goOn := make(chan struct{}), make(chan struct{})
	r.keys.set(func(call int) keyFault {
		if call == 1 {
			close(begun)
			<-goOn
		}
		return keysWell
	})
	var group sync.WaitGroup
	one := func(i int) {
		if _, err := k.Resolve(t.Context(), []keyring.Reference{customer(i)}, true); err != nil {
			t.Error(err)
		}
	}
	group.Go(func() { one(1) })
	<-begun
	for i := range 100 {
		group.Go(func() { one(i + 2) })
	}
	for keyring.WaitingForTest(k) < 100 {
		runtime.Gosched()
	}
	close(goOn)
	group.Wait()
	if r.keys.calls() != 2 {
		t.Errorf("101 persons took %d commits, want 2", r.keys.calls())
	}
}

func TestKeysBelongToWhatTheyAreFor(t *testing.T) {
	r := newRig(t)
	k := r.open()
	krids := mint(t, k, customer(1), customer(2))
	wants := []keyring.Want{
		{KRID: krids[0], Group: "contact", Class: "contract", Bucket: 20290331},
		{KRID: krids[0], Group: "identity", Class: "contract", Bucket: 20290331},
		{KRID: krids[0], Group: "contact", Class: "contract", Bucket: 20290430},
		{KRID: krids[0], Group: "contact", Class: "claim", Bucket: 20290331},
		{KRID: krids[0], Group: "contact"},
		{KRID: krids[1], Group: "contact", Class: "contract", Bucket: 20290331},
		{KRID: keyring.OfStore(r.store), Group: "contact", Class: "contract", Bucket: 20290331},
	}
	dst := make([]keyring.Key, len(wants))
	if err := k.ForSealing(t.Context(), wants, dst); err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]int{}
	opened := make([]keyring.Opened, len(wants))
	open := make([]keyring.OpenWant, len(wants))
	for i, key := range dst {
		if j, twice := seen[key.PRK]; twice || key.Generation != 1 || key.PRK == ([32]byte{}) {
			t.Errorf("want %d has generation %d and the key of want %d", i, key.Generation, j)
		}
		seen[key.PRK] = i
		open[i] = keyring.OpenWant{Want: wants[i], Generation: 1}
	}
	for name, k := range map[string]*keyring.Keeper{"warm": k, "cold": r.open()} {
		if err := k.ForOpening(t.Context(), open, opened); err != nil {
			t.Fatal(name, err)
		}
		for i := range opened {
			if opened[i].State != keyring.Live || opened[i].PRK != dst[i].PRK {
				t.Errorf("%s: want %d opens as state %d with another key", name, i, opened[i].State)
			}
		}
		again := make([]keyring.Key, len(wants))
		if err := k.ForSealing(t.Context(), wants, again); err != nil || !slices.Equal(again, dst) {
			t.Errorf("%s: sealing again gives other keys: %v", name, err)
		}
	}
}

// TestAbsentIsNotErased: what is not there is an error, and never made anew.
func TestAbsentIsNotErased(t *testing.T) {
	r := newRig(t)
	k := r.open()
	nobody := event.KRID{7}
	var key [1]keyring.Key
	var opened [1]keyring.Opened
	open := func(w keyring.Want, generation uint32) error {
		return k.ForOpening(t.Context(), []keyring.OpenWant{{Want: w, Generation: generation}}, opened[:])
	}
	for _, state := range []string{"without an epoch", "with one"} {
		err := k.ForSealing(t.Context(), []keyring.Want{want(nobody, "contact")}, key[:])
		wantError(t, err, event.ErrCorrupt, "key_missing")
		wantError(t, open(want(nobody, "contact"), 1), event.ErrCorrupt, "key_missing")
		wantError(t, k.Check(t.Context(), []event.KRID{nobody}), event.ErrNotFound, "unknown_person")
		_, err = k.References(t.Context(), []event.KRID{nobody})
		wantError(t, err, event.ErrCorrupt, "key_missing")
		_, err = k.Person(t.Context(), nobody)
		wantError(t, err, event.ErrNotFound, "unknown_person")
		err = k.Amend(t.Context(), nobody, func(*policy.Standing) (bool, error) { return true, nil })
		wantError(t, err, event.ErrCorrupt, "key_missing")
		if t.Failed() {
			t.Fatal(state)
		}
		mint(t, k, customer(1))
	}
	krid := mint(t, k, customer(1))[0]
	sealKey(t, k, want(krid, "contact"))
	wantError(t, open(want(krid, "contact"), 2), event.ErrCorrupt, "key_missing")
	wantError(t, open(want(krid, "contact"), 0), event.ErrCorrupt, "key_missing")
	wantError(t, open(want(krid, "identity"), 1), event.ErrCorrupt, "key_missing")
	other := want(krid, "contact")
	other.Bucket = 20300101
	wantError(t, open(other, 1), event.ErrCorrupt, "key_missing")
	if opened[0].PRK != ([32]byte{}) {
		t.Error("a key came along with an error")
	}
}

func TestErasedSupersededExpired(t *testing.T) {
	r := newRig(t)
	k := r.open()
	ctx := t.Context()
	krids := mint(t, k, customer(1), customer(2), customer(3))
	key := sealKey(t, k, want(krids[0], "contact"))
	keyring.QuietForTest(k, krids[0], 0)
	if second := sealKey(t, k, want(krids[0], "contact")); second.Generation != 2 || second.PRK == key.PRK {
		t.Fatalf("the next sealing has generation %d", second.Generation)
	}
	sealKey(t, k, want(krids[0], "identity"))
	wantError(t, k.Supersede(ctx, krids[0], "contact", 2), event.ErrInvalid, "malformed_generation")
	if err := k.Supersede(ctx, krids[0], "contact", 1); err != nil {
		t.Fatal(err)
	}
	states := func(when string, krid event.KRID, group string, wanted ...keyring.State) {
		t.Helper()
		for name, k := range map[string]*keyring.Keeper{"warm": k, "cold": r.open()} {
			for i, w := range wanted {
				o := openKey(t, k, want(krid, group), uint32(i+1))
				receipt := w == keyring.Erased || w == keyring.Expired
				if o.State != w || (w == keyring.Live) != (o.PRK != [32]byte{}) || (o.Receipt != "") != receipt {
					t.Errorf("%s, %s: generation %d is in state %d with receipt %q, want %d", when, name, i+1, o.State, o.Receipt, w)
				}
			}
		}
	}
	states("superseded", krids[0], "contact", keyring.Superseded, keyring.Live)
	if err := k.DestroyGroup(ctx, krids[0], "contact", keyring.Ending{Receipt: "1/17"}); err != nil {
		t.Fatal(err)
	}
	states("group erased", krids[0], "contact", keyring.Erased, keyring.Erased)
	states("other group", krids[0], "identity", keyring.Live)
	if fresh := sealKey(t, k, want(krids[0], "contact")); fresh.Generation != 3 {
		t.Errorf("after the erasure comes generation %d, want 3", fresh.Generation)
	}
	states("group used again", krids[0], "contact", keyring.Erased, keyring.Erased, keyring.Live)
	p, err := r.open().Person(ctx, krids[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]keyring.GroupKeys{
		{Group: "contact", Generations: []uint32{3}, ErasedThrough: 2, Receipt: "1/17"},
		{Group: "identity", Generations: []uint32{1}},
	}, p.Groups); diff != "" {
		t.Error(diff)
	}
	if err := k.DestroyPeriod(ctx, "contract", 20290331, keyring.Ending{Receipt: "1/18"}); err != nil {
		t.Fatal(err)
	}
	states("period over", krids[0], "identity", keyring.Expired)
	states("both", krids[0], "contact", keyring.Erased, keyring.Erased, keyring.Expired)
	var dst [1]keyring.Key
	err = k.ForSealing(ctx, []keyring.Want{want(krids[0], "identity")}, dst[:])
	wantError(t, err, event.ErrInvalid, "retention_passed")
}

// TestGenerationsBeginByChance: with one sealing in 10,000, on average, and by the draw that was made.
func TestGenerationsBeginByChance(t *testing.T) {
	random, sum, draws := newStream(t), 0.0, 20_000
	for range draws {
		var b [8]byte
		if _, err := random.Read(b[:]); err != nil {
			t.Fatal(err)
		}
		n := keyring.SpellForTest(binary.BigEndian.Uint64(b[:]))
		if n < 1 {
			t.Fatalf("spell of %d", n)
		}
		sum += float64(n)
	}
	if mean := sum / float64(draws); mean < 9700 || mean > 10_300 {
		t.Errorf("one in %.0f", mean)
	}
	for draw, want := range map[uint64]int64{math.MaxUint64: 1, 1 << 63: 6932, 0: 367350} {
		if n := keyring.SpellForTest(draw); n != want {
			t.Errorf("draw %x gives %d, want %d", draw, n, want)
		}
	}
	r := newRig(t)
	k := r.open()
	krid := mint(t, k, customer(1))[0]
	sealKey(t, k, want(krid, "contact"))
	keyring.QuietForTest(k, krid, 3)
	var got []uint32
	for range 5 {
		got = append(got, sealKey(t, k, want(krid, "contact")).Generation)
	}
	if diff := cmp.Diff([]uint32{1, 1, 1, 2, 2}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDestroyedPerson(t *testing.T) {
	r := newRig(t)
	k, other := r.open(), r.open()
	ctx := t.Context()
	krids := mint(t, k, customer(1), customer(2))
	for _, krid := range krids {
		sealKey(t, k, want(krid, "contact"))
		sealKey(t, other, want(krid, "contact"))
	}
	mint(t, other, customer(1))
	until := r.clock.Now().Add(400 * 24 * time.Hour)
	if err := k.Destroy(ctx, krids[0], keyring.Ending{Receipt: "1/4711", Until: until}); err != nil {
		t.Fatal(err)
	}
	if err := k.Destroy(ctx, krids[0], keyring.Ending{Receipt: "1/4712", Until: until}); err != nil {
		t.Fatal("again:", err)
	}
	other.Forget(krids[:1])
	for name, k := range map[string]*keyring.Keeper{"same": k, "other": other, "new": r.open()} {
		_, err := k.Resolve(ctx, []keyring.Reference{customer(2), customer(9), customer(1)}, true)
		wantError(t, err, event.ErrDenied, "erased_subject")
		wantError(t, k.Check(ctx, krids), event.ErrDenied, "erased_subject")
		var dst [2]keyring.Key
		err = k.ForSealing(ctx, []keyring.Want{want(krids[1], "contact"), want(krids[0], "contact")}, dst[:])
		wantError(t, err, event.ErrDenied, "erased_subject")
		if dst != ([2]keyring.Key{}) {
			t.Error("keys came along with an error")
		}
		for _, generation := range []uint32{1, 9} {
			if o := openKey(t, k, want(krids[0], "contact"), generation); o.State != keyring.Erased || o.Receipt != "1/4711" {
				t.Errorf("%s: got state %d and receipt %q", name, o.State, o.Receipt)
			}
		}
		if o := openKey(t, k, want(krids[1], "contact"), 1); o.State != keyring.Live {
			t.Errorf("%s: the neighbour is in state %d", name, o.State)
		}
		names, err := k.References(ctx, krids)
		if diff := cmp.Diff([][]keyring.Reference{nil, {customer(2)}}, names); diff != "" || err != nil {
			t.Error(diff, err)
		}
		p, err := k.Person(ctx, krids[0])
		want := keyring.Person{KRID: krids[0], State: keyring.Erased, Version: 3, Receipt: "1/4711"}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Error(diff, err)
		}
	}
	if krids, err := k.Resolve(ctx, []keyring.Reference{customer(9)}, false); err != nil || !krids[0].IsZero() {
		t.Error("a refused call minted somebody", krids, err)
	}
	r.clock.Move(401 * 24 * time.Hour)
	if fresh := mint(t, k, customer(1)); fresh[0] == krids[0] {
		t.Error("after the suppression the old KRID came back")
	}
}

func TestSuppress(t *testing.T) {
	r := newRig(t)
	k := r.open()
	twice := []keyring.Reference{customer(1), customer(1)}
	if err := k.Suppress(t.Context(), twice, r.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, mint := range []bool{false, true} {
		_, err := k.Resolve(t.Context(), []keyring.Reference{customer(1)}, mint)
		wantError(t, err, event.ErrDenied, "erased_subject")
	}
	krid := mint(t, k, customer(2))[0]
	wantError(t, k.AddReference(t.Context(), krid, customer(1)), event.ErrDenied, "erased_subject")
	r.clock.Move(time.Hour)
	mint(t, k, customer(1))
}

func TestAddReference(t *testing.T) {
	r := newRig(t)
	k, other := r.open(), r.open()
	krids := mint(t, k, customer(1), customer(2))
	mail := keyring.Reference{Kind: "applicant", Ref: "ada@example.org"}
	for range 2 {
		if err := k.AddReference(t.Context(), krids[0], mail); err != nil {
			t.Fatal(err)
		}
	}
	if got := mint(t, other, mail, customer(1)); got[0] != krids[0] || got[1] != krids[0] {
		t.Errorf("got %v, want %v twice", got, krids[0])
	}
	wantError(t, k.AddReference(t.Context(), krids[1], mail), event.ErrConflict, "reference_taken")
	names, err := other.References(t.Context(), krids)
	if diff := cmp.Diff([][]keyring.Reference{{customer(1), mail}, {customer(2)}}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestAmend(t *testing.T) {
	r := newRig(t)
	keepers := []*keyring.Keeper{r.open(), r.open()}
	krid := mint(t, keepers[0], customer(1))[0]
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			err := keepers[i%2].Amend(t.Context(), krid, func(s *policy.Standing) (bool, error) {
				s.Restrictions = append(s.Restrictions, policy.Restriction{ID: event.ID{byte(i + 1)}})
				return true, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	sealKey(t, keepers[0], want(krid, "contact"))
	o := openKey(t, r.open(), want(krid, "contact"), 1)
	if len(o.Standing.Restrictions) != 40 {
		t.Errorf("%d of 40 restrictions are there", len(o.Standing.Restrictions))
	}
	before, _ := keepers[0].Person(t.Context(), krid)
	err := keepers[0].Amend(t.Context(), krid, func(s *policy.Standing) (bool, error) {
		s.Restrictions = nil
		return false, nil
	})
	after, _ := keepers[0].Person(t.Context(), krid)
	if before.Version != after.Version || len(after.Standing.Restrictions) != 40 || err != nil {
		t.Errorf("an amendment that changed nothing was stored: %v", err)
	}
}

func TestForeignKeystore(t *testing.T) {
	r := newRig(t)
	k := r.open()
	mint(t, k, customer(1))
	o := r.options
	o.Store = event.StoreID{9}
	_, err := keyring.Open(t.Context(), r.keys, r.service, o)
	wantError(t, err, event.ErrConflict, "foreign_keystore")

	// Two stores open an empty keystore; the slower one must not write into it.
	empty := &faultyKeys{Keys: memory.NewKeys()}
	first, err1 := keyring.Open(t.Context(), empty, r.service, r.options)
	second, err2 := keyring.Open(t.Context(), empty, r.service, o)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	defer first.Close()
	defer second.Close()
	mint(t, first, customer(1))
	_, err = second.Resolve(t.Context(), []keyring.Reference{customer(1)}, true)
	wantError(t, err, event.ErrConflict, "foreign_keystore")
}

func TestApplied(t *testing.T) {
	r := newRig(t)
	k := r.open()
	for _, p := range []event.Position{7, 3, 9} {
		if err := k.SetApplied(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if k.Applied() != 9 || r.open().Applied() != 9 {
		t.Errorf("got %d and %d, want 9", k.Applied(), r.open().Applied())
	}
}

func TestClosed(t *testing.T) {
	r := newRig(t)
	k := r.open()
	krid := mint(t, k, customer(1))[0]
	k.Close()
	k.Close()
	_, err := k.Resolve(t.Context(), []keyring.Reference{customer(1)}, true)
	wantError(t, err, event.ErrUnavailable, "keeper_closed")
	wantError(t, k.Check(t.Context(), []event.KRID{krid}), event.ErrUnavailable, "keeper_closed")
}

func TestEndedContext(t *testing.T) {
	r := newRig(t)
	k := r.open()
	mint(t, k, customer(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Resolve(ctx, []keyring.Reference{customer(2)}, true); err == nil {
		t.Error("a context that has ended mints")
	}
	head, err := r.keys.ScanKeyrings(t.Context(), storage.KeyringQuery{Limit: 10})
	if len(head) != 2 || err != nil {
		t.Errorf("%d keyrings are there, want the store's and one: %v", len(head), err)
	}
}

func TestMalformedReference(t *testing.T) {
	r := newRig(t)
	k := r.open()
	for _, ref := range []keyring.Reference{{}, {Kind: "customer"}, {Ref: "1"}} {
		_, err := k.Resolve(t.Context(), []keyring.Reference{customer(1), ref}, true)
		wantError(t, err, event.ErrInvalid, "malformed_reference")
	}
	if r.keys.calls() != 0 {
		t.Error("bad input changed something")
	}
}
