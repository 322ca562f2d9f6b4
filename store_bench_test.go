package lethe_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// draft has about 400 bytes on disk and four relations, as the figures of docs/benchmarks.md.
func draft(n int64) event.Draft {
	return event.Draft{
		Type: "ApplicationChecked",
		Relations: []event.Relation{
			{Role: "issuer", Kind: "employee", ID: fmt.Sprint(n % 500)}, {Role: "affected", Kind: "application", ID: fmt.Sprint(n % 20000)},
			{Role: "owner", Kind: "branch", ID: fmt.Sprint(n % 40)}, {Role: "product", Kind: "product", ID: fmt.Sprint(n % 9)},
		},
		Data: fmt.Appendf(nil, `{"amount":%d,"currency":"EUR","step":"checked","note":"%0100d","score":0.25}`, n, n),
	}
}

func openStore(b testing.TB) *lethe.Store {
	engine, err := sqlite.Open(b.Context(), b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	store, err := lethe.Open(b.Context(), engine, kms.None, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	return store
}

// BenchmarkAppend appends durably on SQLite: conditional single events by callers, and batches.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, batch int }{{1, 1}, {64, 1}, {1, 1000}, {4, 1000}} {
		b.Run(fmt.Sprintf("callers=%d/batch=%d", c.callers, c.batch), func(b *testing.B) {
			session := openStore(b).As(event.Actor{Kind: "employee", ID: "7"})
			var next atomic.Int64
			b.ReportAllocs()
			var wg sync.WaitGroup
			for w := range c.callers {
				wg.Go(func() {
					versions := make(map[event.StreamID]event.Version)
					for n := next.Add(1); int(n) <= b.N; n = next.Add(1) {
						drafts := make([]event.Draft, c.batch)
						for i := range drafts {
							drafts[i] = draft(n*int64(c.batch) + int64(i))
						}
						s := event.Stream("application", fmt.Sprintf("%d-%d", w, n%20))
						if _, err := session.Append(b.Context(), s, event.At(versions[s]), drafts...); err != nil {
							b.Error(err)
							return
						}
						versions[s] += event.Version(c.batch)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkScan reads the whole log sealed.
func BenchmarkScan(b *testing.B) {
	session := openStore(b).As(event.Actor{})
	const events = 100_000
	for n := range int64(events / 1000) {
		drafts := make([]event.Draft, 1000)
		for i := range drafts {
			drafts[i] = draft(n*1000 + int64(i))
		}
		if _, err := session.Append(b.Context(), event.Stream("application", fmt.Sprint(n)), event.Any, drafts...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		n := 0
		for _, err := range session.Query(b.Context(), lethe.Query{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != events {
			b.Fatalf("%d events", n)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadStream loads one stream of 100 events.
func BenchmarkReadStream(b *testing.B) {
	session := openStore(b).As(event.Actor{})
	for n := range int64(20_000) {
		s := event.Stream("application", fmt.Sprint(n%200))
		if n%200 == 0 {
			requests := make([]event.Draft, 0)
			_ = requests
		}
		if _, err := session.Append(b.Context(), s, event.Any, draft(n)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		n := 0
		for _, err := range session.Read(b.Context(), event.Stream("application", "42"), lethe.Range{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100 {
			b.Fatalf("%d events", n)
		}
	}
}
