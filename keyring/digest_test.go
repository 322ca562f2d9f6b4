package keyring_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
)

// digests are those of a request, by epoch, newest first.
func digests(t testing.TB, k *keyring.Keeper, data string) []keyring.Digest {
	t.Helper()
	d, err := k.RequestDigests(t.Context(), nil, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRequestDigests(t *testing.T) {
	r := newRig(t)
	k := r.open()
	first := digests(t, k, "a")
	if len(first) != 1 || first[0].Epoch != 1 || first[0].Sum == digests(t, k, "b")[0].Sum {
		t.Fatalf("got %v, which do not tell requests apart", first)
	}
	if diff := cmp.Diff(first, digests(t, r.open(), "a")); diff != "" {
		t.Errorf("another Keeper makes another digest:\n%s", diff)
	}
	roll(t, k)
	for range 2 { // cold, and warm
		both := digests(t, k, "a")
		if len(both) != 2 || both[0].Epoch != 2 || both[1] != first[0] || both[0].Sum == first[0].Sum {
			t.Errorf("got %v after %v", both, first)
		}
	}
	kept := []keyring.Digest{{Epoch: 9}}
	if d, err := k.RequestDigests(t.Context(), kept, nil); err != nil || len(d) != 3 || d[0] != kept[0] {
		t.Errorf("appended to something it is %v: %v", d, err)
	}
}

// TestNoDigestOfEpochThatEnded: neither where it was destroyed, nor where that is learned.
func TestNoDigestOfEpochThatEnded(t *testing.T) {
	r := newRig(t)
	k, other := r.open(), r.open()
	mint(t, k, customer(1))
	roll(t, k)
	r.clock.Move(17 * time.Minute)
	for _, k := range []*keyring.Keeper{k, other} {
		if d := digests(t, k, "a"); len(d) != 2 {
			t.Fatalf("before, there are %v", d)
		}
	}
	if _, err := k.DestroyEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	r.clock.Move(time.Minute) // by then the other one reads the head again
	for _, k := range []*keyring.Keeper{k, other} {
		for range 2 {
			if d := digests(t, k, "a"); len(d) != 1 || d[0].Epoch != 2 {
				t.Errorf("after the end of epoch 1 there are %v", d)
			}
		}
	}
}

// TestNoDigestAfterLease also where nothing but digests is asked for.
func TestNoDigestAfterLease(t *testing.T) {
	r := newRig(t)
	k, _ := known(t, r)
	digests(t, k, "a")
	secrets := keyring.SecretsForTest(k)
	r.service.Set(kmstest.Down)
	r.clock.Move(15*time.Minute - time.Second)
	digests(t, k, "a")
	keyring.RenewedForTest(k)
	r.clock.Move(time.Second)
	d, err := k.RequestDigests(t.Context(), nil, []byte("a"))
	wantError(t, err, event.ErrUnavailable, "kms_unavailable")
	if len(d) != 0 {
		t.Errorf("after the lease there are %v", d)
	}
	wantZero(t, secrets)
	r.service.Set(kmstest.Well)
	digests(t, k, "a")
	k.Close()
	_, err = k.RequestDigests(t.Context(), nil, []byte("a"))
	wantError(t, err, event.ErrUnavailable, "keeper_closed")
}

// summing makes digests until it is stopped, and notes what each epoch gives.
type summing struct {
	mu   sync.Mutex
	sums map[uint32][32]byte
	stop atomic.Bool
}

func (s *summing) run(t *testing.T, k *keyring.Keeper) {
	var room [4]keyring.Digest
	for !s.stop.Load() {
		made, err := k.RequestDigests(t.Context(), room[:0], []byte("a"))
		if err != nil {
			t.Error(err)
			return
		}
		s.note(t, made)
	}
}

func (s *summing) note(t *testing.T, made []keyring.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range made {
		if was, ok := s.sums[d.Epoch]; ok && was != d.Sum {
			t.Errorf("epoch %d has another digest now", d.Epoch)
		}
		s.sums[d.Epoch] = d.Sum
	}
}

// TestDigestsWhileEpochsEnd: no digest is made under keys that are being overwritten.
func TestDigestsWhileEpochsEnd(t *testing.T) {
	r := newRig(t)
	k := r.open()
	mint(t, k, customer(1))
	s := &summing{sums: map[uint32][32]byte{}}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { s.run(t, k) })
	}
	for number := range uint32(8) {
		roll(t, k)
		r.clock.Move(17 * time.Minute) // the lease ends, too
		if _, err := k.DestroyEpoch(t.Context(), number+1); err != nil {
			t.Error(err)
		}
	}
	s.stop.Store(true)
	group.Wait()
	wiped := hmac.New(sha256.New, make([]byte, 32))
	wiped.Write([]byte("a"))
	for number, sum := range s.sums {
		if sum == [32]byte(wiped.Sum(nil)) {
			t.Errorf("epoch %d made a digest after it was overwritten", number)
		}
	}
}
