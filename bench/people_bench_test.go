package bench_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/lethe-es/lethe/bench"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// sealing is a bench on SQLite with keys.
func sealing(b *testing.B) *bench.Bench {
	dir, service := b.TempDir(), kmstest.New(b)
	return &bench.Bench{
		Clock: event.SystemClock{},
		Open:  func(ctx context.Context) (storage.Store, error) { return sqlite.Open(ctx, dir, nil) },
		OpenKeys: func(ctx context.Context) (*bench.Keys, error) {
			keys, err := sqlitekeys.Open(ctx, dir, nil)
			return &bench.Keys{Service: service, Keystore: keys, Notations: []schema.Notation{jsonschema.New()}}, err
		},
	}
}

// BenchmarkAppendSealed appends events by 64 callers: about nobody, and about people who are known with two values,
// which are in clear or sealed.
func BenchmarkAppendSealed(b *testing.B) {
	for _, about := range []bench.Options{{}, {Personal: 2, Clear: true}, {Personal: 2}} {
		b.Run(fmt.Sprintf("personal=%d,clear=%t", about.Personal, about.Clear), func(b *testing.B) {
			o := bench.Options{Clients: 64, Personal: about.Personal, Clear: about.Clear, Events: b.N, Duration: time.Hour,
				Payload: bench.DefaultPayload, Relations: bench.DefaultRelations}
			b.ReportAllocs()
			r, err := sealing(b).Append(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(r.EventsPer, "events/s")
			b.ReportMetric(1e6*r.CPU/float64(r.Events), "cpu-µs/event")
		})
	}
}

// BenchmarkScanOpened reads a log of events with two sealed values, and opens them.
func BenchmarkScanOpened(b *testing.B) {
	o := bench.Options{Purpose: "bench", Events: 50_000, Duration: time.Duration(b.N) * time.Second,
		Payload: bench.DefaultPayload, Relations: bench.DefaultRelations}
	b.ReportAllocs()
	r, err := sealing(b).Read(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(r.EventsPer, "events/s")
	b.ReportMetric(1e6*r.CPU/float64(r.Events), "cpu-µs/event")
}
