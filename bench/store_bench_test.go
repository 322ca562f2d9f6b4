package bench_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// The benchmarks here show allocations, and take profiles, of the whole road on SQLite; what a store reaches is
// measured by lethe bench.

// draft has about 400 bytes on disk and four relations.
func draft(n int64) event.Draft {
	return event.Draft{
		Type: "LoanStepTaken",
		Relations: []event.Relation{
			{Role: "affected", Kind: "application", ID: strconv.FormatInt(n%20000, 10)},
			{Role: "issuer", Kind: "employee", ID: strconv.FormatInt(n%500, 10)},
			{Role: "owner", Kind: "branch", ID: strconv.FormatInt(n%40, 10)},
			{Role: "product", Kind: "product", ID: strconv.FormatInt(n%9, 10)},
		},
		Data: fmt.Appendf(nil, `{"amount":%d,"currency":"EUR","note":"%0100d","score":0.25,"step":"checked"}`, n, n),
	}
}

func drafts(n int64, count int) []event.Draft {
	list := make([]event.Draft, count)
	for i := range list {
		list[i] = draft(n*int64(count) + int64(i))
	}
	return list
}

func openSession(b *testing.B) *lethe.Session {
	engine, err := sqlite.Open(b.Context(), b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	store, err := lethe.Open(b.Context(), engine, kms.None, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return store.As(event.Actor{})
}

// BenchmarkAppend appends durably under exact versions: single events by callers, and batches.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, batch int }{{1, 1}, {64, 1}, {1, 1000}, {4, 1000}} {
		b.Run(fmt.Sprintf("callers=%d/batch=%d", c.callers, c.batch), func(b *testing.B) {
			session := openSession(b)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for caller := range c.callers {
				wg.Go(func() { appendUntil(b, session, caller, c.batch, &next) })
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// appendUntil is one caller; it ends when all callers together have appended b.N times.
func appendUntil(b *testing.B, session *lethe.Session, caller, batch int, next *atomic.Int64) {
	versions := make(map[event.StreamID]event.Version)
	for n := next.Add(1); int(n) <= b.N; n = next.Add(1) {
		s := event.Stream("application", fmt.Sprintf("%d-%d", caller, n%20))
		if _, err := session.Append(b.Context(), s, event.At(versions[s]), drafts(n, batch)...); err != nil {
			b.Error(err)
			return
		}
		versions[s] += event.Version(batch)
	}
}

// BenchmarkScan reads the whole log.
func BenchmarkScan(b *testing.B) {
	session := openSession(b)
	const events = 100_000
	for n := range int64(events / 1000) {
		s := event.Stream("application", strconv.FormatInt(n, 10))
		if _, err := session.Append(b.Context(), s, event.None, drafts(n, 1000)...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range session.Query(b.Context(), lethe.Query{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != events {
			b.Fatalf("%d events, want %d", n, events)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReadStream loads a stream of 100 events that lie 200 positions apart.
func BenchmarkReadStream(b *testing.B) {
	session := openSession(b)
	for n := range int64(100) {
		for i := range int64(200) {
			s := event.Stream("application", strconv.FormatInt(i, 10))
			if _, err := session.Append(b.Context(), s, event.At(event.Version(n)), draft(n*200+i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range session.Read(b.Context(), event.Stream("application", "42"), lethe.Range{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100 {
			b.Fatalf("%d events, want 100", n)
		}
	}
}
