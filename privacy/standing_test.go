package privacy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// refusing is a keystore that refuses changes, as a database does whose login was taken away.
type refusing struct {
	storage.Keystore
	changes int // that are refused
}

func (k *refusing) ChangeKeys(ctx context.Context, changes []storage.KeyChange) ([]storage.KeyOutcome, error) {
	if k.changes > 0 {
		k.changes--
		return nil, event.Errorf(event.ErrDenied, "use keystore: it refused the login")
	}
	return k.Keystore.ChangeKeys(ctx, changes)
}

// beside is another process on the same log and keystore.
func (r *rig) beside() *rig {
	r.t.Helper()
	other := &rig{t: r.t, clock: r.clock, engine: r.engine, keys: r.keys, service: r.service}
	other.open(other.keys)
	return other
}

// alias is whose stream the first event of a result is in.
func (r *rig) alias(result log.Result) event.KRID {
	r.t.Helper()
	krid, err := event.ParseKRID(result.Events[0].Stream.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return krid
}

// restrict is what another process leaves that dies once the restriction is in the log.
func (r *rig) restrict(krid event.KRID) {
	r.t.Helper()
	draft, err := policy.SubjectRestricted{Principal: krid, Ground: policy.Unlawful}.Draft()
	if err != nil {
		r.t.Fatal(err)
	}
	request := &log.Request{Writes: []log.Write{{Stream: policy.Stream(krid), Expected: event.Any,
		Events: []event.Draft{draft}}}}
	if _, err := r.log.AppendSystem(context.Background(), request, []storage.Fence{{KRID: krid}}); err != nil {
		r.t.Fatal(err)
	}
}

// TestRestrictionOutlastsKeystore: a restriction that the keystore refused is in the log. Who recorded it is told, and
// it holds as soon as the keystore takes it, for everybody.
func TestRestrictionOutlastsKeystore(t *testing.T) {
	r := newRig(t)
	keys := &refusing{Keystore: r.keys}
	r.keys = keys
	r.open(keys)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	keys.changes = 2
	restricted := policy.SubjectRestricted{Principal: r.alias(result), Ground: policy.Unlawful}
	if _, err := r.Record(t.Context(), event.Actor{}, event.ID{}, restricted); err == nil {
		t.Error("it is acknowledged, and the keyring does not have it")
	}
	for _, reader := range []*rig{r, r.beside()} {
		if e := reader.read(contract, result)[0]; len(e.Withheld) == 0 {
			t.Errorf("the restriction is lost: %s", e.Data)
		}
	}
}

// leaving is the context of a caller who has left once it was asked so many times.
type leaving struct {
	context.Context
	after int
}

func (c *leaving) Err() error {
	if c.after--; c.after < 0 {
		return context.Canceled
	}
	return nil
}

// TestCallerLeaves at every step of taking in what others recorded: it hinders nobody.
func TestCallerLeaves(t *testing.T) {
	r := newRig(t)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	steps := 0
	for ; steps < 100; steps++ {
		r.restrict(r.alias(result))
		_, err := r.Refresh(&leaving{t.Context(), steps})
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("who leaves at step %d is told %v", steps, err)
		}
		if _, err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if steps < 3 || steps == 100 {
		t.Errorf("it took %d steps", steps)
	}
	if e := r.read(contract, result)[0]; len(e.Withheld) == 0 {
		t.Errorf("it opens: %s", e.Data)
	}
}

// TestRestrictionOutlastsKeyService: while the key service is away nobody can put a restriction into its keyring.
// Nothing opens before somebody did, and what is not personal goes on, also in a process that starts meanwhile.
func TestRestrictionOutlastsKeyService(t *testing.T) {
	r := newRig(t)
	service := r.faulty()
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	r.restrict(r.alias(result))
	r.clock.now = r.clock.now.Add(16 * time.Minute) // the lease is over
	service.Set(kmstest.Down)
	for name, r := range map[string]*rig{"a process": r, "one that starts": r.beside()} {
		if events, err := r.Open(t.Context(), contract, r.records(result)); err == nil {
			t.Errorf("%s opens %s", name, events[0].Data)
		}
		if _, err := r.append(event.Stream("case", "1"), event.Draft{Type: "Plain"}); errors.Is(err, log.ErrFenced) {
			if _, err = r.Refresh(t.Context()); err == nil {
				_, err = r.append(event.Stream("case", "1"), event.Draft{Type: "Plain"})
			}
			if err != nil {
				t.Errorf("%s cannot go on with what is not personal: %v", name, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if e := r.read(event.Opening{}, result)[0]; len(e.Withheld) == 0 {
			t.Errorf("%s, sealed: nothing is withheld", name)
		}
		if _, err := r.append(event.Stream("customer", applicant), registration()); err == nil {
			t.Errorf("%s seals without keys", name)
		}
	}
	service.Set(kmstest.Well)
	r.clock.now = r.clock.now.Add(time.Minute)
	for _, reader := range []*rig{r, r.beside()} {
		e := reader.read(contract, result)[0]
		if len(e.Withheld) == 0 || e.Withheld[0].Reason != event.WithheldRestricted {
			t.Errorf("the restriction is lost: %s", e.Data)
		}
	}
}

// TestKeystoreLeftBehind: a log whose keystore is not there says so to who opens, and reads sealed.
func TestKeystoreLeftBehind(t *testing.T) {
	r := newRig(t)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	r.restrict(r.alias(result))
	r.keys = memory.NewKeys()
	r.open(r.keys)
	if e := r.read(event.Opening{}, result)[0]; len(e.Withheld) == 0 {
		t.Error("sealed: nothing is withheld")
	}
	if _, err := r.Open(t.Context(), contract, r.records(result)); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("opened without a keystore: %v", err)
	}
}

// TestFenceForAllForgets: when a retention period ended elsewhere, nothing of it opens from memory.
func TestFenceForAllForgets(t *testing.T) {
	r := newRig(t)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	other := r.beside()
	other.read(contract, result)
	if err := r.keeper.DestroyPeriod(t.Context(), "", 0, keyring.Ending{Receipt: "1/9"}); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(document, `"case": {}`, `"case": {}, "file": {}`, 1)
	if _, err := r.SetPolicy(t.Context(), event.Actor{}, []byte(changed), false); err != nil {
		t.Fatal(err)
	}
	if e := other.read(contract, result)[0]; len(e.Withheld) == 0 {
		t.Errorf("it opens from memory: %s", e.Data)
	}
}

// TestMetadataUsesItsGroup: a group that only metadata is of stays, also once the key is no longer personal.
func TestMetadataUsesItsGroup(t *testing.T) {
	r := newRig(t)
	set := func(text string) error {
		_, err := r.SetPolicy(t.Context(), event.Actor{}, []byte(text), false)
		return err
	}
	const with = `{"version": 1, "kinds": {"employee": {"person": true}}, "groups": {"work": {}},
		"purposes": {"audit": {"basis": "contract", "groups": ["work"]}},
		"metadata": {"x-user": {"group": "work", "subject": "issuer"}}}`
	const keyless = `{"version": 1, "kinds": {"employee": {"person": true}}, "groups": {"work": {}},
		"purposes": {"audit": {"basis": "contract", "groups": ["work"]}}}`
	const without = `{"version": 1, "kinds": {"employee": {"person": true}}}`
	if err := set(with); err != nil {
		t.Fatal(err)
	}
	if err := set(without); event.Code(err) != "policy_refused" {
		t.Errorf("key and group at once: %v", err)
	}
	if err := set(keyless); err != nil && event.Code(err) != "policy_refused" {
		t.Fatal(err)
	}
	r.open(r.keys)
	if err := set(without); event.Code(err) != "policy_refused" {
		t.Errorf("the group after the key: %v", err)
	}
}
