package keyring_test

import (
	"context"
	"crypto/rand"
	"flag"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

var people = flag.Int("people", 50_000, "keyrings of BenchmarkRoll")

// timedKeys notes how long the keystore takes itself.
type timedKeys struct {
	*memory.Keystore
	spent atomic.Int64 // ns
}

func (s *timedKeys) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	defer s.watch(time.Now())
	return s.Keystore.ScanKeyrings(ctx, q)
}

func (s *timedKeys) ChangeKeys(ctx context.Context, c []storage.KeyChange) ([]storage.KeyOutcome, error) {
	defer s.watch(time.Now())
	return s.Keystore.ChangeKeys(ctx, c)
}

func (s *timedKeys) watch(began time.Time) { s.spent.Add(int64(time.Since(began))) }

// BenchmarkRoll moves keyrings with three groups each. Of the time per keyring it tells how much is the keystore's.
func BenchmarkRoll(b *testing.B) {
	keys := &timedKeys{Keystore: memory.NewKeys()}
	o := keyring.Options{Store: event.StoreID{1}, Clock: event.SystemClock{}, Rand: rand.Reader, Cached: 1}
	k, err := keyring.Open(b.Context(), keys, kmstest.New(b), o)
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	var last []event.KRID
	for first := 0; first < *people; first += 10_000 {
		var refs []keyring.Reference
		for i := first; i < min(first+10_000, *people); i++ {
			refs = append(refs, customer(i))
		}
		krids := mint(b, k, refs...)
		var wants []keyring.Want
		for _, krid := range krids {
			for _, group := range []string{"identity", "contact", "finance"} {
				wants = append(wants, want(krid, group))
			}
		}
		if err := k.ForSealing(b.Context(), wants, make([]keyring.Key, len(wants))); err != nil {
			b.Fatal(err)
		}
		last = krids[len(krids)-1:]
	}
	record, err := keys.Keyrings(b.Context(), last)
	if err != nil {
		b.Fatal(err)
	}
	keys.spent.Store(0)
	rolls := 0
	for b.Loop() {
		done, err := k.Roll(b.Context(), nil)
		if err != nil || done.Keyrings != *people {
			b.Fatal(done, err)
		}
		rolls++
	}
	all := float64(rolls * *people)
	b.ReportMetric(all/b.Elapsed().Seconds(), "keyrings/s")
	b.ReportMetric(float64(keys.spent.Load())/all, "keystore-ns/keyring")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/all, "ns/keyring")
	b.ReportMetric(float64(len(record[0].Record)), "B/record")
}
