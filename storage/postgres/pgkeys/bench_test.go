package pgkeys_test

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// BenchmarkMint makes keyrings of new people, 32 callers at once for each processor.
func BenchmarkMint(b *testing.B) {
	address := pgtest.Place(b)
	k := ready(b, address, pgkeys.Options{})
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			krid := person()
			change := minting(krid, storage.LookupToken(person()))
			change.Keyring.Record = make([]byte, 150)
			rand.Read(change.Keyring.Record) // never fails
			if outcomes, err := k.ChangeKeys(b.Context(), []storage.KeyChange{change}); err != nil || !outcomes[0].Stored {
				b.Error(outcomes, err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "people/s")
	b.ReportMetric(float64(total(b, address))/float64(b.N), "bytes/person")
}

// use1000 is the i-th use, of 1,000 people.
func use1000(i int, people []event.KRID) storage.Use {
	u := use(i)
	for j := range 1000 {
		krid := people[(i*7919+j*997)%len(people)]
		u.Entries = append(u.Entries, storage.UseEntry{KRID: krid, Group: "contact", Count: 1, First: 1, Last: 2})
	}
	return u
}

// BenchmarkRecord records uses of 1,000 people of a million each, one after the other and 16 at once, while their index
// is written beside.
func BenchmarkRecord(b *testing.B) {
	people := make([]event.KRID, 1_000_000)
	for i := range people {
		people[i] = person()
	}
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { recordAll(b, callers, people) })
	}
}

func recordAll(b *testing.B, callers int, people []event.KRID) {
	address := pgtest.Place(b)
	k := ready(b, address, pgkeys.Options{})
	var n atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if err := k.RecordUses(b.Context(), []storage.Use{use1000(int(i), people)}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "uses/s")
	if err := pgkeys.TendForTest(b.Context(), k); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(total(b, address))/float64(b.N)/1000, "bytes/entry")
}

// BenchmarkPage looks for the uses of one person among 2,000 of 1,000 people each.
func BenchmarkPage(b *testing.B) {
	k := ready(b, pgtest.Place(b), pgkeys.Options{})
	people := make([]event.KRID, 100_000)
	for i := range people {
		people[i] = person()
	}
	for i := range 2000 {
		if err := k.RecordUses(b.Context(), []storage.Use{use1000(i, people)}); err != nil {
			b.Fatal(err)
		}
	}
	if err := pgkeys.TendForTest(b.Context(), k); err != nil {
		b.Fatal(err)
	}
	found := 0
	b.ResetTimer()
	for i := range b.N {
		found += len(uses(b, k, storage.UseQuery{KRID: people[i*31%len(people)]}))
	}
	b.ReportMetric(float64(found)/float64(b.N), "uses/person")
}
