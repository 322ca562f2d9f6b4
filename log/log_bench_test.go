package log_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage/memory"
)

// benchDraft is a typical event: four relations and 160 bytes of data.
func benchDraft(n int) event.Draft {
	return event.Draft{
		Type: "LoanStepTaken",
		Relations: []event.Relation{
			{Role: "affected", Kind: "application", ID: strconv.Itoa(n % 20000)},
			{Role: "issuer", Kind: "employee", ID: strconv.Itoa(n % 500)},
			{Role: "owner", Kind: "branch", ID: strconv.Itoa(n % 40)},
			{Role: "product", Kind: "product", ID: strconv.Itoa(n % 9)},
		},
		Data: fmt.Appendf(nil, `{"amount":%d,"currency":"EUR","note":"%090d","score":0.25,"step":"checked"}`, n, n),
	}
}

func benchDrafts(n int) []event.Draft {
	list := make([]event.Draft, n)
	for i := range list {
		list[i] = benchDraft(i)
	}
	return list
}

func benchLog(b *testing.B) *log.Log {
	l, err := log.Open(b.Context(), memory.Open(memory.Options{}), log.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func perEvent(b *testing.B, events int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

// BenchmarkPrepare is what a caller does by itself: checks, ids, encoding, terms, commitments and the digest. The
// decision then refuses the request, so that nothing is stored.
func BenchmarkPrepare(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			l := benchLog(b)
			req := &log.Request{Writes: []log.Write{{
				Stream: event.Stream("application", "1"), Expected: event.At(7), Events: benchDrafts(n),
			}}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Append(b.Context(), req); event.Code(err) != "version_conflict" {
					b.Fatalf("append: %v, want a version conflict", err)
				}
			}
			perEvent(b, n)
		})
	}
}

// BenchmarkAppend adds to that the decision, the leaves and the tree, on an engine in memory.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			l := benchLog(b)
			req := &log.Request{Writes: []log.Write{{Stream: event.Stream("application", "1"), Events: benchDrafts(n)}}}
			b.ReportAllocs()
			for b.Loop() {
				result, err := l.Append(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				req.Writes[0].Expected += event.Expected(len(result.Events))
			}
			perEvent(b, n)
		})
	}
}

// BenchmarkAppendCondition decides single events under a condition of one relation.
func BenchmarkAppendCondition(b *testing.B) {
	l := benchLog(b)
	one := benchDrafts(1)
	condition := &event.Condition{Filter: event.Filter{{Relations: one[0].Relations[:1]}}}
	req := &log.Request{
		Writes:    []log.Write{{Stream: event.Stream("application", "1"), Expected: event.Any, Events: one}},
		Condition: condition,
	}
	b.ReportAllocs()
	for b.Loop() {
		result, err := l.Append(b.Context(), req)
		if err != nil {
			b.Fatal(err)
		}
		condition.After = result.Last()
	}
}

// BenchmarkAppendEach decides a thousand requests of their own, as an import hands them in.
func BenchmarkAppendEach(b *testing.B) {
	const n = 1000
	l := benchLog(b)
	requests := make([]log.Request, n)
	for i := range requests {
		requests[i].Writes = []log.Write{{
			Stream: event.Stream("application", strconv.Itoa(i)), Expected: event.Any, Events: []event.Draft{benchDraft(i)},
		}}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, outcome := range l.AppendEach(b.Context(), requests) {
			if outcome.Err != nil {
				b.Fatal(outcome.Err)
			}
		}
	}
	perEvent(b, n)
}
