package keyring_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
)

// model is what two Keepers on one keystore must agree with, whatever fails in between.
type model struct {
	t       *testing.T
	r       *rig
	keepers [2]*keyring.Keeper
	persons map[keyring.Reference]*modelPerson
	gone    map[keyring.Reference]bool
	keys    map[string]modelKey
	prks    map[[32]byte]string
	periods map[int64]string // destroyed ones, by which receipt
	receipt int
	epoch   uint32
}

type modelPerson struct {
	ref          keyring.Reference
	krid         event.KRID
	receipt      string // erased
	groups       map[string]*modelGroup
	restrictions int
}

type modelGroup struct {
	newest, through uint32
	receipt         string
	superseded      map[uint32]bool
}

// modelKey is a key that was handed out.
type modelKey struct {
	person     *modelPerson
	group      string
	generation uint32
	bucket     int64
	prk        [32]byte
}

func newModel(t *testing.T) *model {
	m := &model{
		t: t, r: newRig(t), persons: map[keyring.Reference]*modelPerson{}, gone: map[keyring.Reference]bool{},
		keys: map[string]modelKey{}, prks: map[[32]byte]string{}, periods: map[int64]string{}, epoch: 1,
	}
	m.r.options.Cached = 3
	m.keepers = [2]*keyring.Keeper{m.r.open(), m.r.open()}
	return m
}

func (m *model) keeper(t *rapid.T) *keyring.Keeper {
	return m.keepers[rapid.IntRange(0, 1).Draw(t, "keeper")]
}

func (m *model) ref(t *rapid.T) keyring.Reference {
	return customer(rapid.IntRange(0, 5).Draw(t, "ref"))
}

// try does something once with a fault of the keystore, and if that failed, again without one.
func (m *model) try(t *rapid.T, do func() error) error {
	call := rapid.IntRange(0, 4).Draw(t, "call that fails")
	fault := rapid.SampledFrom([]keyFault{keysRefuse, keysUnknown}).Draw(t, "fault")
	m.r.keys.set(func(n int) keyFault {
		if n == call {
			return fault
		}
		return keysWell
	})
	err := do()
	m.r.keys.set(nil)
	if errors.Is(err, event.ErrUnknown) {
		err = do()
	}
	return err
}

// person is one that is there and alive; nil: nobody has the reference that was drawn.
func (m *model) person(t *rapid.T) *modelPerson {
	p := m.persons[m.ref(t)]
	if p == nil || p.receipt != "" {
		return nil
	}
	return p
}

// alive makes an action of what is done with somebody who is there.
func (m *model) alive(do func(*rapid.T, *modelPerson)) func(*rapid.T) {
	return func(t *rapid.T) {
		if p := m.person(t); p != nil {
			do(t, p)
		}
	}
}

func (m *model) nextReceipt() keyring.Ending {
	m.receipt++
	return keyring.Ending{Receipt: fmt.Sprintf("1/%d", m.receipt), Until: m.r.clock.Now().Add(24000 * time.Hour)}
}

// fence is what follows everything that narrows.
func (m *model) fence(krid event.KRID) {
	for _, k := range m.keepers {
		k.Forget([]event.KRID{krid})
	}
}

func (m *model) resolve(t *rapid.T) {
	ref, k, mint := m.ref(t), m.keeper(t), rapid.Bool().Draw(t, "mint")
	var krids []event.KRID
	err := m.try(t, func() (err error) {
		krids, err = k.Resolve(t.Context(), []keyring.Reference{ref}, mint)
		return err
	})
	switch p := m.persons[ref]; {
	case m.gone[ref]:
		if event.Code(err) != "erased_subject" {
			t.Fatalf("an erased person resolves: %v", err)
		}
	case err != nil:
		t.Fatal(err)
	case p != nil && krids[0] != p.krid, p == nil && krids[0].IsZero() == mint:
		t.Fatalf("got %v for %+v", krids[0], p)
	case p == nil && mint:
		m.persons[ref] = &modelPerson{ref: ref, krid: krids[0], groups: map[string]*modelGroup{}}
	}
}

func (m *model) seal(t *rapid.T, p *modelPerson) {
	k := m.keeper(t)
	w := want(p.krid, rapid.SampledFrom([]string{"contact", "identity"}).Draw(t, "group"))
	w.Bucket = rapid.Int64Range(1, 3).Draw(t, "bucket")
	if rapid.IntRange(0, 3).Draw(t, "due") == 0 {
		keyring.QuietForTest(k, p.krid, 0)
	}
	var dst [1]keyring.Key
	err := m.try(t, func() error { return k.ForSealing(t.Context(), []keyring.Want{w}, dst[:]) })
	if m.periods[w.Bucket] != "" {
		if event.Code(err) != "retention_passed" {
			t.Fatalf("a period that ended: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	g := p.groups[w.Group]
	if g == nil {
		g = &modelGroup{superseded: map[uint32]bool{}}
		p.groups[w.Group] = g
	}
	n := dst[0].Generation
	if n < g.newest || n <= g.through || n > g.newest+2 { // an attempt whose answer was lost may have begun one, too
		t.Fatalf("generation %d after %d, erased through %d", n, g.newest, g.through)
	}
	g.newest = n
	id := fmt.Sprint(p.krid, w.Group, n, w.Bucket)
	if known, ok := m.keys[id]; ok && known.prk != dst[0].PRK {
		t.Fatalf("%s has two keys", id)
	}
	if other, ok := m.prks[dst[0].PRK]; ok && other != id {
		t.Fatalf("%s has the key of %s", id, other)
	}
	m.keys[id], m.prks[dst[0].PRK] = modelKey{p, w.Group, n, w.Bucket, dst[0].PRK}, id
}

// check opens every key that was ever handed out.
func (m *model) check(t *rapid.T) {
	var wants []keyring.OpenWant
	var keys []modelKey
	for _, key := range m.keys {
		w := want(key.person.krid, key.group)
		w.Bucket = key.bucket
		wants, keys = append(wants, keyring.OpenWant{Want: w, Generation: key.generation}), append(keys, key)
	}
	for _, k := range m.keepers {
		opened := make([]keyring.Opened, len(wants))
		if err := k.ForOpening(t.Context(), wants, opened); err != nil {
			t.Fatal(err)
		}
		for i, o := range opened {
			state, receipt := m.state(keys[i])
			if o.State != state || o.Receipt != receipt || state == keyring.Live && o.PRK != keys[i].prk {
				t.Fatalf("%v: state %d, receipt %q, want %d, %q", wants[i], o.State, o.Receipt, state, receipt)
			}
		}
	}
}

func (m *model) state(key modelKey) (keyring.State, string) {
	g := key.person.groups[key.group]
	switch {
	case key.person.receipt != "":
		return keyring.Erased, key.person.receipt
	case key.generation <= g.through:
		return keyring.Erased, g.receipt
	case g.superseded[key.generation]:
		return keyring.Superseded, ""
	case m.periods[key.bucket] != "":
		return keyring.Expired, m.periods[key.bucket]
	}
	return keyring.Live, ""
}

func (m *model) amend(t *rapid.T, p *modelPerson) {
	k := m.keeper(t)
	m.receipt++
	id := event.ID{byte(m.receipt >> 8), byte(m.receipt), 1}
	err := m.try(t, func() error {
		return k.Amend(t.Context(), p.krid, func(s *policy.Standing) (bool, error) {
			for _, r := range s.Restrictions {
				if r.ID == id {
					return false, nil
				}
			}
			s.Restrictions = append(s.Restrictions, policy.Restriction{ID: id})
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	p.restrictions++
	m.fence(p.krid)
}

func (m *model) show(t *rapid.T, p *modelPerson) {
	got, err := m.keeper(t).Person(t.Context(), p.krid)
	restrictions := 0
	if got.Standing != nil {
		restrictions = len(got.Standing.Restrictions)
	}
	if err != nil || len(got.References) != 1 || got.References[0] != p.ref || restrictions != p.restrictions {
		t.Fatalf("got %+v, want %+v: %v", got, p, err)
	}
}

func (m *model) destroy(t *rapid.T, p *modelPerson) {
	k, e := m.keeper(t), m.nextReceipt()
	if err := m.try(t, func() error { return k.Destroy(t.Context(), p.krid, e) }); err != nil {
		t.Fatal(err)
	}
	p.receipt, m.gone[p.ref] = e.Receipt, true
	m.fence(p.krid)
}

func (m *model) destroyGroup(t *rapid.T, p *modelPerson) {
	k, e := m.keeper(t), m.nextReceipt()
	g := p.groups["contact"]
	if err := m.try(t, func() error { return k.DestroyGroup(t.Context(), p.krid, "contact", e) }); err != nil {
		t.Fatal(err)
	}
	m.fence(p.krid)
	if g == nil {
		return
	}
	got, err := k.Person(t.Context(), p.krid)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range got.Groups {
		if shown.Group == "contact" && shown.ErasedThrough > g.through {
			g.through, g.receipt, g.newest = shown.ErasedThrough, e.Receipt, shown.ErasedThrough
		}
	}
}

func (m *model) supersede(t *rapid.T, p *modelPerson) {
	k := m.keeper(t)
	g := p.groups["contact"]
	if g == nil || g.newest <= g.through+1 {
		return
	}
	n := rapid.Uint32Range(g.through+1, g.newest-1).Draw(t, "generation")
	if err := m.try(t, func() error { return k.Supersede(t.Context(), p.krid, "contact", n) }); err != nil {
		t.Fatal(err)
	}
	g.superseded[n] = true
	m.fence(p.krid)
}

func (m *model) destroyPeriod(t *rapid.T) {
	k, e, bucket := m.keeper(t), m.nextReceipt(), rapid.Int64Range(1, 3).Draw(t, "bucket")
	if rapid.IntRange(0, 4).Draw(t, "really") > 0 || m.periods[bucket] != "" {
		return
	}
	if err := m.try(t, func() error { return k.DestroyPeriod(t.Context(), "contract", bucket, e) }); err != nil {
		t.Fatal(err)
	}
	m.periods[bucket] = e.Receipt
	for _, k := range m.keepers {
		k.Forget(nil)
	}
}

func (m *model) roll(t *rapid.T) {
	k := m.keeper(t)
	var done keyring.Rolled
	err := m.try(t, func() (err error) {
		done, err = k.Roll(t.Context(), nil)
		return err
	})
	if err != nil || done.Epoch < m.epoch || done.Epoch > m.epoch+2 {
		t.Fatalf("epoch %d after %d: %v", done.Epoch, m.epoch, err)
	}
	m.epoch = done.Epoch
}

func (m *model) destroyEpoch(t *rapid.T) {
	k := m.keeper(t)
	if m.epoch == 1 {
		return
	}
	n := rapid.Uint32Range(1, m.epoch).Draw(t, "epoch")
	err := m.try(t, func() error {
		_, err := k.DestroyEpoch(t.Context(), n)
		return err
	})
	if err != nil && event.Code(err) != "epoch_in_use" {
		t.Fatal(err)
	}
}

func (m *model) pass(t *rapid.T) {
	steps := []time.Duration{time.Second, time.Minute, 10 * time.Minute, time.Hour}
	m.r.clock.Move(rapid.SampledFrom(steps).Draw(t, "time"))
}

func TestTwoKeepersAgreeWithAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t)
		defer m.keepers[0].Close()
		defer m.keepers[1].Close()
		rt.Repeat(map[string]func(*rapid.T){
			"resolve": m.resolve, "mint": m.resolve, "seal": m.alive(m.seal), "seal again": m.alive(m.seal),
			"amend": m.alive(m.amend), "show": m.alive(m.show), "destroy": m.alive(m.destroy),
			"destroy group": m.alive(m.destroyGroup), "supersede": m.alive(m.supersede),
			"destroy period": m.destroyPeriod, "roll": m.roll, "destroy epoch": m.destroyEpoch, "time": m.pass,
			"forget": func(t *rapid.T) { m.keeper(t).Forget(nil) },
			"":       m.check,
		})
	})
}
