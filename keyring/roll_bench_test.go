package keyring_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

var people = flag.Int("people", 50_000, "keyrings of BenchmarkRoll")

// sortedKeys scans by an index, as engines with a disk do, and notes how long it takes itself.
type sortedKeys struct {
	*memory.Keystore
	krids []event.KRID
	spent time.Duration
}

func (s *sortedKeys) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) ([]storage.Keyring, error) {
	defer s.watch(time.Now())
	var found []storage.Keyring
	at, _ := slices.BinarySearchFunc(s.krids, q.After, func(a, b event.KRID) int { return bytes.Compare(a[:], b[:]) })
	for at < len(s.krids) && len(found) < q.Limit {
		end := min(at+q.Limit, len(s.krids))
		page, err := s.Keyrings(ctx, s.krids[at:end])
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if len(found) < q.Limit && r.KRID != q.After && (q.Before == 0 || r.Epoch < q.Before) &&
				(!q.Live || r.State == storage.KeyLive) {
				found = append(found, r)
			}
		}
		at = end
	}
	return found, nil
}

func (s *sortedKeys) ChangeKeys(ctx context.Context, c []storage.KeyChange) ([]storage.KeyOutcome, error) {
	defer s.watch(time.Now())
	return s.Keystore.ChangeKeys(ctx, c)
}

func (s *sortedKeys) watch(began time.Time) { s.spent += time.Since(began) }

// BenchmarkRoll moves keyrings with three groups each. Of the time per keyring it tells how much is the keystore's.
func BenchmarkRoll(b *testing.B) {
	keys := &sortedKeys{Keystore: memory.NewKeys()}
	o := keyring.Options{Store: event.StoreID{1}, Clock: event.SystemClock{}, Rand: rand.Reader, Cached: 1}
	k, err := keyring.Open(b.Context(), keys, kmstest.New(b), o)
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
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
		keys.krids = append(keys.krids, krids...)
	}
	slices.SortFunc(keys.krids, func(a, b event.KRID) int { return bytes.Compare(a[:], b[:]) })
	record, err := keys.Keyrings(b.Context(), keys.krids[:1])
	if err != nil {
		b.Fatal(err)
	}
	keys.spent = 0
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
	b.ReportMetric(float64(keys.spent.Nanoseconds())/all, "keystore-ns/keyring")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/all, "ns/keyring")
	b.ReportMetric(float64(len(record[0].Record)), "B/record")
}
