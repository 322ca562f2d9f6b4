package storagetest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Bench measures what a store is asked for most. Events are of about 400 bytes with four relations; "ns/op" is per
// batch or page, "ns/event" per event.
func Bench(b *testing.B, open Open) {
	for _, n := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("commit/%d", n), func(b *testing.B) { benchCommit(b, open(b).Store, n) })
	}
	b.Run("page/1000", func(b *testing.B) {
		s := open(b).Store
		for range 10 {
			Append(b, s, benchItems(1000)...)
		}
		benchPage(b, s, storage.Query{Limit: 1000}, 1000)
	})
	b.Run("stream/100", func(b *testing.B) {
		s := open(b).Store
		for range 10 {
			Append(b, s, benchItems(1000)...)
		}
		benchPage(b, s, storage.Query{Limit: 1000, Stream: benchItems(1)[0].Stream}, 100)
	})
}

// benchItems are n events over as many streams of 100 events as ten calls with a thousand need.
func benchItems(n int) []Item {
	list := make([]Item, n)
	for i := range list {
		list[i] = item("application", fmt.Sprint(i%100))
		d := &list[i].Draft
		for k, role := range []string{"affected", "issuer", "owner", "subject"} {
			r := event.Relation{Role: role, Kind: "account", ID: fmt.Sprint(i % (100 * (k + 1)))}
			d.Relations = append(d.Relations, r)
		}
		d.Data = fmt.Appendf(nil, `{"amount":%d,"text":"%0200d"}`, i, i)
	}
	return list
}

// benchCommit commits prepared records under a probe such as a conditional append has: ids, streams, one condition.
func benchCommit(b *testing.B, s storage.Store, n int) {
	list := benchItems(n)
	p := probe(list)
	var ready []storage.Record
	_, err := s.Commit(b.Context(), p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		first := batch(h, f, list)
		ready = first.Records
		return first, nil
	})
	if err != nil {
		b.Fatalf("commit: %v", err)
	}
	p.IDs = make([]event.ID, n)
	position := event.Position(n)
	p.Conditions = []event.Condition{{Filter: event.Filter{{Relations: list[0].Draft.Relations[:1]}}}}
	decide := func(h storage.Head, f storage.Found) (storage.Batch, error) {
		versions := make(map[event.StreamID]event.Version, len(f.Streams))
		for _, state := range f.Streams {
			versions[state.Stream] = state.Version
		}
		for i := range ready {
			r := &ready[i]
			versions[r.Stream]++
			r.ID, r.Position, r.Version = p.IDs[i], h.Position+event.Position(i)+1, versions[r.Stream]
		}
		return storage.Batch{Records: ready, Frontier: h.Frontier}, nil
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range p.IDs {
			binary.BigEndian.PutUint64(p.IDs[i][:], uint64(position)+uint64(i)+1) // ids ascend, as minted ones do
		}
		p.Conditions[0].After = position
		if _, err := s.Commit(b.Context(), p, decide); err != nil {
			b.Fatalf("commit: %v", err)
		}
		position += event.Position(n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
}

func benchPage(b *testing.B, s storage.Store, q storage.Query, want int) {
	b.ReportAllocs()
	for b.Loop() {
		page, err := s.Page(b.Context(), q)
		if err != nil || len(page.Records) != want {
			b.Fatalf("page: %d records, want %d: %v", len(page.Records), want, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*want), "ns/event")
}
