package keyring_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/storage/memory"
)

// warmKeeper has people in memory, with a key each, on the machine's clock.
func warmKeeper(t testing.TB, people int) (*keyring.Keeper, []keyring.Reference, []keyring.Want) {
	t.Helper()
	o := keyring.Options{Store: event.StoreID{1}, Clock: event.SystemClock{}, Rand: rand.Reader, Cached: 2*people + 1024}
	k, err := keyring.Open(t.Context(), memory.NewKeys(), kmstest.New(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	keyring.CalmForTest(k)
	refs := make([]keyring.Reference, people)
	for i := range refs {
		refs[i] = customer(i)
	}
	wants := make([]keyring.Want, people)
	for i, krid := range mint(t, k, refs...) {
		wants[i] = want(krid, "contact")
	}
	if err := k.ForSealing(t.Context(), wants, make([]keyring.Key, people)); err != nil {
		t.Fatal(err)
	}
	return k, refs, wants
}

func opens(wants []keyring.Want) []keyring.OpenWant {
	o := make([]keyring.OpenWant, len(wants))
	for i, w := range wants {
		o[i] = keyring.OpenWant{Want: w, Generation: 1}
	}
	return o
}

// request is as long as one with two values of 16 characters.
var request = make([]byte, 150)

// TestWarmAllocates nothing.
func TestWarmAllocates(t *testing.T) {
	k, _, wants := warmKeeper(t, 64)
	open := opens(wants)
	var keys [64]keyring.Key
	var opened [64]keyring.Opened
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _ = k.ForSealing(ctx, wants, keys[:]) }); n != 0 {
		t.Errorf("sealing allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = k.ForOpening(ctx, open, opened[:]) }); n != 0 {
		t.Errorf("opening allocates %v times", n)
	}
	digest := func() {
		var room [2]keyring.Digest
		_, _ = k.RequestDigests(ctx, room[:0], request)
	}
	digest() // reads the head, if nothing did
	if n := testing.AllocsPerRun(100, digest); n != 0 {
		t.Errorf("a digest allocates %v times", n)
	}
}

func BenchmarkWarm(b *testing.B) {
	k, refs, wants := warmKeeper(b, 10_000)
	open := opens(wants)
	ctx := b.Context()
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		var dst [1]keyring.Key
		for i := 0; b.Loop(); i++ {
			n := i % len(wants)
			if err := k.ForSealing(ctx, wants[n:n+1], dst[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		var dst [1]keyring.Opened
		for i := 0; b.Loop(); i++ {
			n := i % len(wants)
			if err := k.ForOpening(ctx, open[n:n+1], dst[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("resolve", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n := i % len(refs)
			if _, err := k.Resolve(ctx, refs[n:n+1], true); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("digest", func(b *testing.B) {
		b.ReportAllocs()
		var room [1]keyring.Digest
		for b.Loop() {
			if _, err := k.RequestDigests(ctx, room[:0], request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		var krid [1]event.KRID
		for i := 0; b.Loop(); i++ {
			krid[0] = wants[i%len(wants)].KRID
			if err := k.Check(ctx, krid[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCold forgets before every batch of a hundred, and so reads, opens and keeps keyrings.
func BenchmarkCold(b *testing.B) {
	k, _, wants := warmKeeper(b, 100)
	open := opens(wants)
	var dst [100]keyring.Opened
	b.ReportAllocs()
	for b.Loop() {
		k.Forget(nil)
		if err := k.ForOpening(b.Context(), open, dst[:]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(open)), "ns/keyring")
}

// BenchmarkMint makes persons, a hundred at a time, with a key each.
func BenchmarkMint(b *testing.B) {
	k, _, _ := warmKeeper(b, 1)
	ctx := context.Background()
	refs := make([]keyring.Reference, 100)
	wants := make([]keyring.Want, len(refs))
	dst := make([]keyring.Key, len(refs))
	next := 1000
	b.ReportAllocs()
	for b.Loop() {
		for i := range refs {
			refs[i] = customer(next)
			next++
		}
		krids, err := k.Resolve(ctx, refs, true)
		if err != nil {
			b.Fatal(err)
		}
		for i := range krids {
			wants[i] = want(krids[i], "contact")
		}
		if err := k.ForSealing(ctx, wants, dst); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(refs)), "ns/person")
}
