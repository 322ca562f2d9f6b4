package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
)

// known makes a person with a key, in memory and in the keystore.
func known(t *testing.T, r *rig) (*keyring.Keeper, event.KRID) {
	t.Helper()
	k := r.open()
	krid := mint(t, k, customer(1))[0]
	sealKey(t, k, want(krid, "contact"))
	return k, krid
}

// try makes a person, a key and an opening.
func try(ctx context.Context, k *keyring.Keeper, krid event.KRID, fresh keyring.Reference) map[string]error {
	var key [1]keyring.Key
	var opened [1]keyring.Opened
	errs := map[string]error{}
	_, errs["resolve"] = k.Resolve(ctx, []keyring.Reference{fresh}, true)
	errs["seal"] = k.ForSealing(ctx, []keyring.Want{want(krid, "contact")}, key[:])
	errs["open"] = k.ForOpening(ctx, []keyring.OpenWant{{Want: want(krid, "contact"), Generation: 1}}, opened[:])
	_, errs["digest"] = k.RequestDigests(ctx, nil, nil)
	return errs
}

func TestServiceDown(t *testing.T) {
	r := newRig(t)
	k, krid := known(t, r)
	r.service.Set(kmstest.Down)
	for i, step := range []time.Duration{0, 8 * time.Minute, 6*time.Minute + 59*time.Second} {
		r.clock.Move(step)
		for what, err := range try(t.Context(), k, krid, customer(10+i)) {
			if err != nil {
				t.Errorf("%v: within the lease %s fails: %v", step, what, err)
			}
		}
		keyring.RenewedForTest(k)
	}
	secrets := keyring.SecretsForTest(k)
	r.clock.Move(time.Second)
	calls := r.keys.calls()
	for what, err := range try(t.Context(), k, krid, customer(20)) {
		if err == nil {
			t.Errorf("after the lease %s goes on", what)
			continue
		}
		wantError(t, err, event.ErrUnavailable, "kms_unavailable")
	}
	if r.keys.calls() != calls {
		t.Error("something was written after the lease")
	}
	wantZero(t, secrets)
	r.service.Set(kmstest.Well)
	for what, err := range try(t.Context(), k, krid, customer(20)) {
		if err != nil {
			t.Errorf("the service is back, and %s fails: %v", what, err)
		}
	}
}

func wantZero(t *testing.T, secrets [][]byte) {
	t.Helper()
	if len(secrets) < 3 {
		t.Fatalf("%d secrets were in memory, want an epoch's, a person's and a period's", len(secrets))
	}
	for i, s := range secrets {
		for _, b := range s {
			if b != 0 {
				t.Fatalf("secret %d of %d, of %d bytes, is still in memory", i, len(secrets), len(s))
			}
		}
	}
}

// TestLeaseIsRenewed in the background, once at a time, and without slowing anybody down.
func TestLeaseIsRenewed(t *testing.T) {
	r := newRig(t)
	k, krid := known(t, r)
	unwraps := func() int { return r.service.Calls("Unwrap") }
	before := unwraps()
	r.clock.Move(7 * time.Minute)
	openKey(t, k, want(krid, "contact"), 1)
	if unwraps() != before {
		t.Error("a young lease is renewed")
	}
	r.service.Set(kmstest.Held)
	r.clock.Move(time.Minute)
	for range 5 {
		openKey(t, k, want(krid, "contact"), 1) // returns, though the service does not
	}
	<-r.service.Arrived()
	r.clock.Move(time.Minute)
	openKey(t, k, want(krid, "contact"), 1)
	if unwraps() != before+1 {
		t.Errorf("%d renewals at once", unwraps()-before)
	}
	r.service.Set(kmstest.Well)
	keyring.RenewedForTest(k)
	r.service.Set(kmstest.Down)
	r.clock.Move(13 * time.Minute) // 22 after the first, 14 after the renewal began
	openKey(t, k, want(krid, "contact"), 1)
	keyring.RenewedForTest(k)
	failed := unwraps()
	openKey(t, k, want(krid, "contact"), 1)
	keyring.RenewedForTest(k)
	if unwraps() != failed {
		t.Error("a service that failed is asked again at once")
	}
	r.clock.Move(31 * time.Second)
	openKey(t, k, want(krid, "contact"), 1)
	keyring.RenewedForTest(k)
	if unwraps() != failed+1 {
		t.Error("a service that failed is not asked again")
	}
}

// TestClockTurnedBack: what was loaded "later" is not taken for fresh.
func TestClockTurnedBack(t *testing.T) {
	r := newRig(t)
	k, krid := known(t, r)
	r.service.Set(kmstest.Down)
	r.clock.Move(-time.Hour)
	for what, err := range try(t.Context(), k, krid, customer(20)) {
		if event.Code(err) != "kms_unavailable" {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestEverythingIsOverwritten(t *testing.T) {
	end := map[string]func(r *rig, k *keyring.Keeper){
		"close": func(_ *rig, k *keyring.Keeper) { k.Close() },
		"lease": func(r *rig, k *keyring.Keeper) {
			r.service.Set(kmstest.Down)
			r.clock.Move(15 * time.Minute)
			_, _ = k.Status(t.Context())
		},
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			k, _ := known(t, r)
			secrets := keyring.SecretsForTest(k)
			end(r, k)
			wantZero(t, secrets)
		})
	}
	t.Run("forget", func(t *testing.T) {
		r := newRig(t)
		k, krid := known(t, r)
		secrets := keyring.SecretsForTest(k)
		k.Forget([]event.KRID{krid})
		if _, references := keyring.CachedForTest(k); references > 1 {
			t.Errorf("%d references are still in memory, want at most the store's own", references)
		}
		k.Forget(nil)
		wantZero(t, append(secrets[1:], make([]byte, 32))) // the epoch's stay
	})
}

// TestCacheIsBounded evicts keyrings, their keys and their references.
func TestCacheIsBounded(t *testing.T) {
	r := newRig(t)
	r.options.Cached = 8
	k := r.open()
	first := mint(t, k, customer(1))[0]
	key := sealKey(t, k, want(first, "contact"))
	secrets := keyring.SecretsForTest(k)
	for i := range 100 {
		krid := mint(t, k, customer(1000+i))[0]
		sealKey(t, k, want(krid, "contact"))
	}
	if rings, references := keyring.CachedForTest(k); rings > 8 || references > 8 {
		t.Errorf("%d keyrings and %d references are in memory, want at most 8", rings, references)
	}
	zero := 0
	for _, s := range secrets {
		if [32]byte(s[:32]) == ([32]byte{}) {
			zero++
		}
	}
	if zero != 1 {
		t.Errorf("%d of %d secrets are overwritten, want the evicted person's", zero, len(secrets))
	}
	if again := sealKey(t, k, want(first, "contact")); again != key {
		t.Error("after the eviction the key is another")
	}
}

// TestTTL: what another Keeper changed is seen when the TTL is over, or after Forget.
func TestTTL(t *testing.T) {
	r := newRig(t)
	k, krid := known(t, r)
	other := r.open()
	if err := other.DestroyGroup(t.Context(), krid, "contact", keyring.Ending{Receipt: "1/1"}); err != nil {
		t.Fatal(err)
	}
	state := func() keyring.State { return openKey(t, k, want(krid, "contact"), 1).State }
	r.clock.Move(59 * time.Second)
	if state() != keyring.Live {
		t.Error("memory is not used")
	}
	r.clock.Move(time.Second)
	if state() != keyring.Erased {
		t.Error("memory is used beyond the TTL")
	}
}

func TestWrongService(t *testing.T) {
	for fault, want := range map[kmstest.Fault]struct {
		class error
		code  string
	}{
		kmstest.Elsewhere: {event.ErrUnavailable, "kms_key_missing"},
		kmstest.NoMount:   {event.ErrUnavailable, "kms_mount_missing"},
		kmstest.Denying:   {event.ErrUnavailable, "kms_denied"},
		kmstest.Down:      {event.ErrUnavailable, "kms_unavailable"},
	} {
		r := newRig(t)
		_, krid := known(t, r)
		k := r.open()
		r.service.Set(fault)
		calls := r.keys.calls()
		for what, err := range try(t.Context(), k, krid, customer(1)) {
			if err == nil {
				t.Fatalf("fault %d: %s goes on", fault, what)
			}
			wantError(t, err, want.class, want.code)
		}
		wantError(t, k.Check(t.Context(), []event.KRID{krid}), want.class, want.code)
		if r.keys.calls() != calls {
			t.Errorf("fault %d: something was written", fault)
		}
	}
}

// troubled is a key service that unwraps nothing.
type troubled struct {
	kms.KMS
	err error
}

func (s *troubled) Unwrap(context.Context, string, []kms.Item) ([][]byte, error) { return nil, s.err }

// TestServiceTrouble: whatever else an error of the key service is, callers do not read it as one about persons,
// accesses or their own input, and its code and next step arrive.
func TestServiceTrouble(t *testing.T) {
	late := context.DeadlineExceeded
	exposed := event.Invalid("kms_folder_exposed", "open key folder: it has mode 755").Hint("chmod 700 it")
	const ours = "check that this is the store's key service"
	for name, c := range map[string]struct {
		err   error
		class error
		code  string
		next  string
	}{
		"denied":           {kms.Denied("unwrap", "no"), event.ErrUnavailable, "kms_denied", ours},
		"denied late":      {errors.Join(late, kms.Denied("unwrap", "no")), event.ErrUnavailable, "kms_denied", ours},
		"missing late":     {errors.Join(late, kms.Missing("r")), event.ErrUnavailable, "kms_key_missing", "look whether"},
		"destroyed late":   {errors.Join(late, kms.Gone("r")), event.ErrCorrupt, "kms_key_destroyed", ours},
		"not opened, late": {errors.Join(late, kms.NotOpened("r", 0)), event.ErrCorrupt, "kms_not_opened", "it was wrapped"},
		"exposed":          {exposed, event.ErrUnavailable, "kms_folder_exposed", "chmod 700 it"},
		"exposed late":     {fmt.Errorf("%w: %w", late, exposed), event.ErrUnavailable, "kms_folder_exposed", "chmod 700 it"},
		"down":             {kms.Unavailable("unwrap", "no"), event.ErrUnavailable, "kms_unavailable", ""},
		"anything":         {errors.New("no"), event.ErrUnavailable, "kms_unavailable", ""},
	} {
		r := newRig(t)
		_, krid := known(t, r)
		r.service = kmstest.NewFaulty(&troubled{r.service, c.err})
		err := r.open().Check(t.Context(), []event.KRID{krid})
		wantError(t, err, c.class, c.code)
		for _, other := range []error{event.ErrNotFound, event.ErrDenied, event.ErrInvalid, event.ErrConflict} {
			if errors.Is(err, other) {
				t.Errorf("%s: it is also %q: %v", name, other, err)
			}
		}
		said, ok := errors.AsType[*event.Error](err)
		if !ok || !strings.HasPrefix(said.Next, c.next) || c.next != "" && strings.Count(err.Error(), said.Next) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if cause, _, _ := strings.Cut(c.err.Error(), ";"); !strings.Contains(err.Error(), "open epoch 1: "+cause) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
}

// TestRootKeyDestroyed: that the key service destroyed a root key does not make anybody erased.
func TestRootKeyDestroyed(t *testing.T) {
	r := newRig(t)
	k, krid := known(t, r)
	s, err := k.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.service.Destroy(t.Context(), s.Epochs[0].Name); err != nil {
		t.Fatal(err)
	}
	for _, err := range try(t.Context(), r.open(), krid, customer(2)) {
		wantError(t, err, event.ErrCorrupt, "kms_key_destroyed")
	}
}

// TestFirstEpochIsCutOff at every call; the next attempt completes it.
func TestFirstEpochIsCutOff(t *testing.T) {
	for _, fault := range []kmstest.Fault{kmstest.Down, kmstest.AnswerLost} {
		r := newRig(t)
		k := r.open()
		r.service.Set(fault)
		_, err := k.Resolve(t.Context(), []keyring.Reference{customer(1)}, true)
		wantError(t, err, event.ErrUnavailable, "kms_unavailable")
		r.service.Set(kmstest.Well)
		mint(t, k, customer(1))
	}
	for call := 1; call <= 3; call++ {
		for _, fault := range []keyFault{keysRefuse, keysUnknown} {
			r := newRig(t)
			k := r.open()
			r.keys.set(func(n int) keyFault {
				if n == call {
					return fault
				}
				return keysWell
			})
			_, err := k.Resolve(t.Context(), []keyring.Reference{customer(1)}, true)
			wantError(t, err, event.ErrUnknown, "unknown_outcome")
			krid := mint(t, k, customer(1))[0]
			if got := mint(t, r.open(), customer(1))[0]; got != krid {
				t.Errorf("call %d, fault %d: there are two of one person", call, fault)
			}
			s, err := k.Status(t.Context())
			if len(s.Epochs) != 1 || err != nil {
				t.Errorf("call %d: there are %d epochs: %v", call, len(s.Epochs), err)
			}
		}
	}
}
