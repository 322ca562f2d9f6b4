package client_test

import (
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// BenchmarkAppend has 64 goroutines append single events, each over the loopback, to a server in this process.
func BenchmarkAppend(b *testing.B) {
	engines := map[string]func() storage.Store{
		"memory": func() storage.Store { return memory.Open(memory.Options{}) },
		"sqlite": func() storage.Store {
			engine, err := sqlite.Open(b.Context(), b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			return engine
		},
	}
	for name, engine := range engines {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, engine(), nil)
			b.Run("embedded", func(b *testing.B) { appendMany(b, w.store) })
			for name, transport := range map[string]http.RoundTripper{"HTTP1.1": nil, "h2c": h2c()} {
				c := open(b, "http://"+w.address, &client.Options{Transport: transport})
				b.Run(name, func(b *testing.B) { appendMany(b, c.Store) })
			}
		})
	}
}

func appendMany(b *testing.B, s *lethe.Store) {
	var n atomic.Int64
	session := s.As(clerk())
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			d := event.Draft{
				Type: "LoanStepTaken", Relations: []event.Relation{{Role: "owner", Kind: "branch", ID: fmt.Sprint(i % 40)}},
				Data: fmt.Appendf(nil, `{"amount":%d,"currency":"EUR","note":"%0100d"}`, i, i),
			}
			if _, err := session.Append(b.Context(), stream(fmt.Sprint(i%20_000)), event.Any, d); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRead reads a log of 20,000 events over the loopback.
func BenchmarkRead(b *testing.B) {
	const events = 20_000
	w := newWorld(b, nil, nil)
	for range events / 1000 {
		list := make([]event.Draft, 1000)
		for i := range list {
			list[i] = event.Draft{Type: "LoanStepTaken", Data: fmt.Appendf(nil, `{"amount":%d,"note":"%0100d"}`, i, i)}
		}
		if _, err := w.store.As(clerk()).Append(b.Context(), stream("1"), event.Any, list...); err != nil {
			b.Fatal(err)
		}
	}
	c := open(b, "http://"+w.address, nil)
	for name, s := range map[string]*lethe.Store{"embedded": w.store, "HTTP1.1": c.Store} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if n := count(b, s); n != events {
					b.Fatalf("%d events", n)
				}
			}
			b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func count(b *testing.B, s *lethe.Store) (n int) {
	for _, err := range s.As(clerk()).Query(b.Context(), lethe.Query{}) {
		if n++; err != nil {
			b.Fatal(err)
		}
	}
	return n
}
