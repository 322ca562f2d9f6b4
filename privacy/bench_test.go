package privacy_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

func twoFields(n int) event.Draft {
	return event.Draft{Type: "Registered", Data: fmt.Appendf(nil,
		`{"customer":"c%d","name":"Ada Lovelace","email":null,"amount":20000,"income":%d}`, n, n)}
}

func oneWrite(n int) []log.Request {
	return []log.Request{{Writes: []log.Write{{Stream: event.Stream("case", "c1"), Expected: event.Any,
		Events: []event.Draft{twoFields(n)}}}}}
}

// BenchmarkSeal seals an event with values in three groups of a person who is known.
func BenchmarkSeal(b *testing.B) {
	r := newRig(b)
	r.declare()
	ctx := context.Background()
	r.Seal(ctx, oneWrite(7))
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := r.Seal(ctx, oneWrite(7)); errs[0] != nil {
			b.Fatal(errs[0])
		}
	}
}

func stored(b *testing.B, r *rig, n int) []storage.Record {
	for i := range n {
		r.mustAppend(event.Stream("case", "c1"), twoFields(i%100))
	}
	page, err := r.log.Page(context.Background(), storage.Query{Stream: event.Stream("case", "c1"), Limit: n})
	if err != nil || len(page.Records) != n {
		b.Fatal(err)
	}
	return page.Records
}

// BenchmarkOpen opens a page of 1,024 events with values in three groups.
func BenchmarkOpen(b *testing.B) {
	r := newRig(b)
	r.declare()
	records := stored(b, r, 1024)
	o := event.Opening{Actor: contract.Actor, Purpose: "support", Reason: "ticket 7"}
	for name, o := range map[string]event.Opening{"sealed": {}, "one group": o, "all": contract} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Open(context.Background(), o, records); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/event")
		})
	}
}
