package keyring_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
)

// town is people with keys, as they must stay.
type town struct {
	refs  []keyring.Reference
	krids []event.KRID
	wants []keyring.Want
	keys  []keyring.Key
}

func build(t testing.TB, k *keyring.Keeper, people int) *town {
	t.Helper()
	w := &town{}
	for i := range people {
		w.refs = append(w.refs, customer(i))
	}
	w.krids = mint(t, k, w.refs...)
	for i, krid := range w.krids {
		for _, group := range []string{"identity", "contact", "finance"}[:1+i%3] {
			w.wants = append(w.wants, keyring.Want{KRID: krid, Group: group, Class: "contract", Bucket: int64(20290101 + i%5)})
		}
	}
	w.wants = append(w.wants, keyring.Want{KRID: w.krids[0], Group: "contact"})
	w.keys = make([]keyring.Key, len(w.wants))
	if err := k.ForSealing(t.Context(), w.wants, w.keys); err != nil {
		t.Fatal(err)
	}
	return w
}

// stands checks that everybody is found and every key is the same.
func (w *town) stands(t testing.TB, k *keyring.Keeper) {
	t.Helper()
	if diff := cmp.Diff(w.krids, mint(t, k, w.refs...)); diff != "" {
		t.Fatalf("people were lost or doubled (-want +got):\n%s", diff)
	}
	open := make([]keyring.OpenWant, len(w.wants))
	for i, want := range w.wants {
		open[i] = keyring.OpenWant{Want: want, Generation: w.keys[i].Generation}
	}
	opened := make([]keyring.Opened, len(open))
	if err := k.ForOpening(t.Context(), open, opened); err != nil {
		t.Fatal(err)
	}
	for i := range opened {
		if opened[i].State != keyring.Live || opened[i].PRK != w.keys[i].PRK {
			t.Fatalf("the key of %v is another one", w.wants[i])
		}
	}
}

func count(t testing.TB, k *keyring.Keeper, live, destroyed int) {
	t.Helper()
	if l, d, err := k.Count(t.Context()); l != live || d != destroyed || err != nil {
		t.Fatalf("there are %d live and %d destroyed keyrings, want %d and %d: %v", l, d, live, destroyed, err)
	}
}

func roll(t testing.TB, k *keyring.Keeper) keyring.Rolled {
	t.Helper()
	done, err := k.Roll(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestRoll(t *testing.T) {
	r := newRig(t)
	k, other := r.open(), r.open()
	town := build(t, k, 2500)
	town.stands(t, other)
	erased := mint(t, k, customer(90_000))[0]
	ending := keyring.Ending{Receipt: "1/5", Until: r.clock.Now().Add(time.Hour)}
	if err := k.Destroy(t.Context(), erased, ending); err != nil {
		t.Fatal(err)
	}
	if err := k.DestroyPeriod(t.Context(), "contract", 20200101, ending); err != nil {
		t.Fatal(err)
	}
	last, calls := 0, 0
	done, err := k.Roll(t.Context(), func(done, total int) {
		if done < last || total < done {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
		calls++
	})
	if err != nil {
		t.Fatal(err)
	}
	diff := cmp.Diff(keyring.Rolled{Epoch: 2, Keyrings: 2500, Retentions: 6}, done)
	if diff != "" || last != 2500 || calls < 3 {
		t.Errorf("%s; %d progressed in %d calls", diff, last, calls)
	}
	s, err := k.Status(t.Context())
	if err != nil || s.Current != 2 || s.Behind || len(s.Epochs) != 2 {
		t.Errorf("got %+v, %v", s, err)
	}
	for name, k := range map[string]*keyring.Keeper{"same": k, "other": other, "new": r.open()} {
		town.stands(t, k)
		count(t, k, 2500, 1)
		if o := openKey(t, k, want(erased, "contact"), 1); o.State != keyring.Erased || o.Receipt != "1/5" {
			t.Errorf("%s: a tombstone reads as state %d, receipt %q", name, o.State, o.Receipt)
		}
		_, err := k.Resolve(t.Context(), []keyring.Reference{customer(90_000)}, true)
		wantError(t, err, event.ErrDenied, "erased_subject")
	}
	// What is sealed now begins a generation, for Keepers that know of the new epoch.
	other.Forget(nil)
	for _, k := range []*keyring.Keeper{k, other} {
		if key := sealKey(t, k, town.wants[0]); key.Generation != 2 {
			t.Errorf("the first sealing of the epoch has generation %d", key.Generation)
		}
	}
	if p, err := k.Person(t.Context(), town.krids[1]); err != nil || p.Epoch != 2 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestOldEpochEnds: what Lethe destroyed is not missed, and nobody is lost with it.
func TestOldEpochEnds(t *testing.T) {
	r := newRig(t)
	k, other := r.open(), r.open()
	town := build(t, k, 30)
	erased := mint(t, k, customer(90_000))[0]
	ending := keyring.Ending{Receipt: "1/5", Until: r.clock.Now().Add(1000 * time.Hour)}
	if err := k.Destroy(t.Context(), erased, ending); err != nil {
		t.Fatal(err)
	}
	town.stands(t, other)
	ctx := t.Context()
	refuse := func(number uint32, class error, code string) {
		t.Helper()
		_, err := k.DestroyEpoch(ctx, number)
		wantError(t, err, class, code)
	}
	refuse(1, event.ErrConflict, "epoch_in_use")
	refuse(7, event.ErrNotFound, "unknown_epoch")
	roll(t, k)
	refuse(1, event.ErrConflict, "epoch_in_use") // another Keeper may not know yet
	late := mint(t, other, customer(500))[0]     // and indeed
	r.clock.Move(16*time.Minute + time.Second)
	refuse(1, event.ErrConflict, "epoch_in_use")
	if s, err := k.Status(ctx); err != nil || !s.Behind {
		t.Errorf("got %+v, %v", s, err)
	}
	if done := roll(t, k); done.Epoch != 2 || done.Keyrings != 1 {
		t.Errorf("the roll was not continued: %+v", done)
	}
	var gone [2]time.Time
	for i := range gone {
		d, err := k.DestroyEpoch(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		gone[i] = d.Effective
	}
	if !gone[0].Equal(gone[1]) {
		t.Error("the second time tells another date")
	}
	for name, k := range map[string]*keyring.Keeper{"same": k, "other": other, "new": r.open()} {
		town.stands(t, k)
		if got := mint(t, k, customer(500))[0]; got != late {
			t.Errorf("%s: who was late is doubled", name)
		}
		_, err := k.Resolve(ctx, []keyring.Reference{customer(90_000)}, true)
		wantError(t, err, event.ErrDenied, "erased_subject")
		if o := openKey(t, k, want(erased, "contact"), 1); o.State != keyring.Erased {
			t.Errorf("%s: a tombstone reads as state %d", name, o.State)
		}
	}
	wantLookups(t, r, 31+1+1) // of 31 persons, the store and a suppression
}

// wantLookups checks how many lookups there are.
func wantLookups(t testing.TB, r *rig, want int) {
	t.Helper()
	sizes, err := r.keys.Keys.(storage.Keystore).KeySizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		if one := 16 + 1 + 16 + 8; size.Part == "lookups" && int(size.Bytes) != want*one {
			t.Errorf("there are %d lookups, want %d", int(size.Bytes)/one, want)
		}
	}
}

// TestRollIsCutOff at every change of the keystore, before and after it was done; the next call completes it.
func TestRollIsCutOff(t *testing.T) {
	for _, fault := range []keyFault{keysRefuse, keysUnknown} {
		for call := 1; ; call++ {
			r := newRig(t)
			k := r.open()
			keyring.SmallForTest(k)
			town := build(t, k, 210)
			r.keys.set(func(n int) keyFault {
				if n == call {
					return fault
				}
				return keysWell
			})
			_, err := k.Roll(t.Context(), nil)
			r.keys.set(nil)
			if err == nil {
				if call != 13 { // the epoch, five times tokens and five times keyrings, and retention keys
					t.Fatalf("a roll has %d changes", call-1)
				}
				break
			}
			wantError(t, err, event.ErrUnknown, "unknown_outcome")
			town.stands(t, k)
			town.stands(t, r.open())
			s, err := k.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			next := uint32(2) // of a roll whose last answer was lost nothing is left to continue
			if !s.Behind {
				next = s.Current + 1
			}
			if done := roll(t, r.open()); done.Epoch != next || next == 3 && call < 12 {
				t.Errorf("call %d, fault %d: there is epoch %d, want %d", call, fault, done.Epoch, next)
			}
			town.stands(t, k)
			count(t, k, 210, 0)
			wantLookups(t, r, int(next)*(210+1))
			if s, err := k.Status(t.Context()); err != nil || s.Behind || s.Current != next {
				t.Errorf("call %d, fault %d: %+v, %v", call, fault, s, err)
			}
		}
	}
}

// TestRollCutOffAtTheService does the same for the key service.
func TestRollCutOffAtTheService(t *testing.T) {
	for _, fault := range []kmstest.Fault{kmstest.Down, kmstest.AnswerLost} {
		r := newRig(t)
		k := r.open()
		town := build(t, k, 10)
		r.service.Set(fault)
		_, err := k.Roll(t.Context(), nil)
		wantError(t, err, event.ErrUnavailable, "kms_unavailable")
		town.stands(t, k)
		r.service.Set(kmstest.Well)
		if done := roll(t, k); done.Epoch != 2 || done.Keyrings != 10 {
			t.Errorf("got %+v", done)
		}
		town.stands(t, r.open())
	}
}

// TestRollWhileOthersWork has Keepers mint, seal and amend while two others roll.
func TestRollWhileOthersWork(t *testing.T) {
	r := newRig(t)
	k := r.open()
	town := build(t, k, 2000)
	workers := []*keyring.Keeper{r.open(), r.open()}
	grown := make([]*townspeople, 4)
	var group, rolls sync.WaitGroup
	stop := make(chan struct{})
	for i := range grown {
		grown[i] = &townspeople{}
		group.Go(func() { grown[i].work(t, workers[i%2], i, town, stop) })
	}
	for i := range 2 {
		rolls.Go(func() { roll(t, []*keyring.Keeper{k, r.open()}[i]) })
	}
	rolls.Wait()
	close(stop)
	group.Wait()
	roll(t, k) // what was minted under the old epoch meanwhile, or one epoch more
	last := r.open()
	town.stands(t, last)
	people := 2000
	for _, p := range grown {
		people += len(p.refs)
		if diff := cmp.Diff(p.krids, mint(t, last, p.refs...)); diff != "" {
			t.Error(diff)
		}
		for i, key := range p.keys {
			if o := openKey(t, last, want(p.krids[i], "contact"), key.Generation); o.PRK != key.PRK {
				t.Errorf("a key that was handed out during the roll is another one, state %d", o.State)
			}
		}
	}
	count(t, last, people, 0)
	amended := 0
	for _, krid := range town.krids {
		p, err := last.Person(t.Context(), krid)
		if err != nil {
			t.Fatal(err)
		}
		if p.Standing != nil {
			amended += len(p.Standing.Restrictions)
		}
	}
	want := 0
	for _, p := range grown {
		want += p.amended
	}
	if amended != want {
		t.Errorf("%d amendments are there, want %d", amended, want)
	}
}

type townspeople struct {
	refs    []keyring.Reference
	krids   []event.KRID
	keys    []keyring.Key
	amended int
}

func (p *townspeople) work(t *testing.T, k *keyring.Keeper, worker int, town *town, stop chan struct{}) {
	for i := 0; i < 300; i++ {
		select {
		case <-stop:
			if i > 20 {
				return
			}
		default:
		}
		ref := keyring.Reference{Kind: "employee", Ref: fmt.Sprintf("%d-%d", worker, i)}
		krids, err := k.Resolve(t.Context(), []keyring.Reference{ref}, true)
		if err != nil {
			t.Error(err)
			return
		}
		var key [1]keyring.Key
		err = k.ForSealing(t.Context(), []keyring.Want{want(krids[0], "contact")}, key[:])
		if err == nil {
			err = k.Amend(t.Context(), town.krids[i*7%len(town.krids)], func(s *policy.Standing) (bool, error) {
				s.Restrictions = append(s.Restrictions, policy.Restriction{ID: event.ID{byte(worker + 1), byte(i >> 8), byte(i)}})
				return true, nil
			})
		}
		if err != nil {
			t.Error(err)
			return
		}
		p.refs, p.krids, p.keys = append(p.refs, ref), append(p.krids, krids[0]), append(p.keys, key[0])
		p.amended++
	}
}

// apart is a Keeper beside the others whose key service has faults of its own.
func (r *rig) apart() (*keyring.Keeper, *kmstest.Faulty) {
	r.t.Helper()
	service := kmstest.NewFaulty(r.service)
	k, err := keyring.Open(r.t.Context(), r.keys, service, r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(k.Close)
	return k, service
}

// TestNewEpochWhileServiceIsDown: a Keeper that cannot open the new epoch goes on under the old one while its lease
// lasts.
func TestNewEpochWhileServiceIsDown(t *testing.T) {
	r := newRig(t)
	k := r.open()
	alone, cut := r.apart()
	town := build(t, k, 3)
	town.stands(t, alone)
	cut.Set(kmstest.Down)
	roll(t, k)
	r.clock.Move(2 * time.Minute)
	first := mint(t, alone, customer(77))[0]
	if got := mint(t, k, customer(77))[0]; got != first {
		t.Error("a person was doubled over two epochs")
	}
	second := mint(t, k, customer(78))[0]
	_, err := alone.Resolve(t.Context(), []keyring.Reference{customer(78)}, true)
	wantError(t, err, event.ErrUnavailable, "kms_unavailable")
	cut.Set(kmstest.Well)
	if got := mint(t, alone, customer(78))[0]; got != second {
		t.Error("a person was doubled over two epochs")
	}
	town.stands(t, alone)
}

// TestNewEpochOutOfReach: a Keeper whose rights do not reach the new root key ends with its lease, which is not renewed
// by the old one alone. Otherwise it would write under an epoch that is destroyed meanwhile.
func TestNewEpochOutOfReach(t *testing.T) {
	for name, work := range map[string]func(*testing.T, *rig, *keyring.Keeper){
		"busy": func(t *testing.T, r *rig, alone *keyring.Keeper) {
			for i := range 14 {
				r.clock.Move(time.Minute)
				mint(t, alone, customer(100+i))
				keyring.RenewedForTest(alone)
			}
		},
		"not knowing": func(t *testing.T, r *rig, alone *keyring.Keeper) {
			r.clock.Move(14 * time.Minute)
			r.keys.behead(true)
			if _, err := alone.Resolve(t.Context(), []keyring.Reference{customer(1)}, false); err == nil {
				t.Error("the head cannot be read, and nobody minds")
			}
			keyring.RenewedForTest(alone)
			r.keys.behead(false)
			mint(t, alone, customer(100))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			k := r.open()
			alone, partly := r.apart()
			town := build(t, k, 3)
			town.stands(t, alone)
			roll(t, k)
			s, err := k.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			partly.Lose(s.Epochs[1].Name, true)
			work(t, r, alone)
			r.clock.Move(time.Minute)
			outOfReach(t, alone, town)
			late := mint(t, k, customer(100))
			r.clock.Move(time.Minute)
			roll(t, k)
			if _, err := k.DestroyEpoch(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			outOfReach(t, alone, town)
			partly.Lose(s.Epochs[1].Name, false)
			town.stands(t, alone)
			if diff := cmp.Diff(late, mint(t, alone, customer(100))); diff != "" {
				t.Errorf("who was minted under the old epoch is lost or doubled: %s", diff)
			}
		})
	}
}

// outOfReach checks that nothing is done, and that the error says which epoch it is and what to do.
func outOfReach(t *testing.T, k *keyring.Keeper, w *town) {
	t.Helper()
	for what, err := range try(t.Context(), k, w.krids[0], customer(200)) {
		if err == nil {
			t.Fatalf("after the lease %s goes on", what)
		}
		wantError(t, err, event.ErrUnavailable, "kms_key_missing")
		if text := err.Error(); !strings.Contains(text, "open epoch 2: ") || !strings.Contains(text, "; look whether") {
			t.Errorf("%s: %s", what, text)
		}
	}
}

// walkedKeys calls back, once, when the first page of a walk was read.
type walkedKeys struct {
	storage.Keys
	once sync.Once
	read func()
}

func (w *walkedKeys) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	found, err := w.Keys.ScanKeyrings(ctx, q)
	if q.Limit > 1 {
		w.once.Do(w.read)
	}
	return found, err
}

// TestRollOvertaken: another Keeper completes a roll and does the next one while the first has just read keyrings, with
// names it does not know, and before a third, which knows of neither, mints. The first meets the newest epoch on the
// way, with tokens made for the one before: who is moved must have tokens there, too.
func TestRollOvertaken(t *testing.T) {
	const people, latecomers = 1500, 100 // more than a page, so that many who are late come after the first
	r := newRig(t)
	other, stale := r.open(), r.open()
	walked := &walkedKeys{Keys: r.keys}
	first, err := keyring.Open(t.Context(), walked, r.service, r.options)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for _, k := range []*keyring.Keeper{first, stale} { // know the names there are
		mint(t, k, customer(90_000))
		mint(t, k, customer(90_001))
	}
	staff, late := make([]keyring.Reference, people), make([]keyring.Reference, latecomers)
	for i := range staff {
		staff[i] = keyring.Reference{Kind: "employee", Ref: fmt.Sprint(i)}
	}
	for i := range late {
		late[i] = customer(i)
	}
	krids := mint(t, other, staff...)
	r.keys.set(func(n int) keyFault {
		if n > 1 { // the epoch is there, and nobody under it
			return keysRefuse
		}
		return keysWell
	})
	_, err = other.Roll(t.Context(), nil)
	wantError(t, err, event.ErrUnknown, "unknown_outcome")
	r.keys.set(nil)
	walked.read = func() {
		if a, b := roll(t, other), roll(t, other); a.Epoch != 2 || b.Epoch != 3 {
			t.Errorf("got %+v and %+v", a, b)
		}
		krids = append(krids, mint(t, stale, late...)...)
	}
	if done := roll(t, first); done.Epoch != 3 || done.Keyrings != latecomers {
		t.Errorf("got %+v", done)
	}
	r.clock.Move(16*time.Minute + time.Second)
	for number := range uint32(2) {
		if _, err := first.DestroyEpoch(t.Context(), number+1); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(krids, mint(t, r.open(), append(staff, late...)...)); diff != "" {
		t.Errorf("people were lost or doubled (-want +got):\n%s", diff)
	}
}
