package lethetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
)

// plant fills a log with n events that differ in everything a filter asks for.
func plant(t *testing.T, r *rig, n int) {
	t.Helper()
	for i := range n {
		d := event.Draft{
			ID: id(byte(100 + i)), Type: fmt.Sprint("T", i%3), Metadata: map[string]string{"channel": fmt.Sprint("c", i%5)},
			Relations: []event.Relation{
				{Role: "affected", Kind: "branch", ID: fmt.Sprint(i % 4)}, {Role: "owner", Kind: "branch", ID: fmt.Sprint(i % 2)},
			},
		}
		if i%6 == 0 {
			d.Correlation, d.Causation = fmt.Sprint("op", i%12), id(byte(i%12))
		}
		if i%12 == 0 {
			d.Causation = id(12)
		}
		r.append(t, event.Stream([]string{"application", "loan"}[i%2], fmt.Sprint(i%7)), d)
	}
}

func filters() []event.Filter {
	branch := func(role, id string) event.Relation { return event.Relation{Role: role, Kind: "branch", ID: id} }
	return []event.Filter{
		nil,
		{{}},
		{{Types: []string{"T1"}}},
		{{Types: []string{"T1", "T2", "none"}}},
		{{Kinds: []string{"loan"}}},
		{{Kinds: []string{"application", "none"}, Types: []string{"T0"}}},
		{{Stream: event.Stream("loan", "3")}},
		{{Relations: []event.Relation{branch("affected", "1")}}},
		{{Relations: []event.Relation{branch("", "1")}}},
		{{Relations: []event.Relation{branch("affected", "3"), branch("owner", "1")}}},
		{{Relations: []event.Relation{branch("owner", "3")}}},
		{{Relations: []event.Relation{{Kind: "employee", ID: "7"}}, Types: []string{"T2"}}},
		{{Metadata: map[string]string{"channel": "c4"}}},
		{{Metadata: map[string]string{"channel": "c4", "branch": "1"}}},
		{{Correlation: "op6"}},
		{{Causation: id(6)}},
		{{Causation: id(12), Types: []string{"T0"}}},
		{{Types: []string{"T1"}, Kinds: []string{"loan"}}, {Correlation: "op0"}, {Stream: event.Stream("loan", "3")}},
	}
}

// queryExact compares queries with what the filter itself says of every event.
func queryExact(t *testing.T, r *rig) {
	plant(t, r, 60)
	all := r.all(t)
	for i, f := range filters() {
		for _, q := range []lethe.Query{
			{}, {Backward: true}, {From: 20}, {To: 20}, {From: 13, To: 40}, {From: 40, To: 13, Backward: true},
			{Limit: 1}, {Limit: 7}, {Limit: 7, Backward: true}, {From: 61},
		} {
			q.Filter = f
			want := []event.Position{}
			for _, e := range all {
				low, high := q.From, q.To
				if q.Backward {
					low, high = high, low
				}
				if e.Position >= low && (high == 0 || e.Position <= high) && f.Matches(&e) {
					want = append(want, e.Position)
				}
			}
			if q.Backward {
				slices.Reverse(want)
			}
			if q.Limit > 0 {
				want = want[:min(q.Limit, len(want))]
			}
			got := positions(collect(t, r.session.Query(t.Context(), q)))
			if !slices.Equal(want, got) {
				t.Errorf("filter %d, from %d to %d, limit %d, backward %t: %v, want %v",
					i, q.From, q.To, q.Limit, q.Backward, got, want)
			}
		}
	}
}

func queryTimes(t *testing.T, r *rig) {
	start := r.clock.Now()
	for range 10 {
		r.append(t, stream("1"), draft("A"))
		r.clock.Advance(time.Second)
	}
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for _, test := range []struct {
		q    lethe.Query
		want []event.Position
	}{
		{lethe.Query{Since: at(8)}, []event.Position{9, 10}},
		{lethe.Query{Until: at(2)}, []event.Position{1, 2}},
		{lethe.Query{Since: at(3), Until: at(5).In(time.FixedZone("west", -3600))}, []event.Position{4, 5}},
		{lethe.Query{Since: at(3), Until: at(6), Backward: true, Limit: 2}, []event.Position{6, 5}},
		{lethe.Query{Since: at(3).Add(time.Microsecond), To: 5}, []event.Position{5}},
		{lethe.Query{Since: at(20)}, []event.Position{}},
	} {
		same(t, fmt.Sprintf("%+v", test.q), test.want, positions(collect(t, r.session.Query(t.Context(), test.q))))
	}
}

// queryLong asks over many pages, for all and for few.
func queryLong(t *testing.T, r *rig) {
	const n = 6000
	list := drafts("A", n)
	for i := 500; i < n; i += 1000 {
		list[i].Type = "rare"
	}
	r.append(t, stream("1"), list...)
	if got := r.all(t); len(got) != n || got[n-1].Position != n {
		t.Errorf("%d events", len(got))
	}
	rare := event.Filter{{Types: []string{"rare"}}}
	want := []event.Position{501, 1501, 2501, 3501, 4501, 5501}
	same(t, "rare ones", want, positions(collect(t, r.session.Query(t.Context(), lethe.Query{Filter: rare}))))
	slices.Reverse(want)
	q := lethe.Query{Filter: rare, Backward: true, Limit: 4}
	same(t, "backward", want[:4], positions(collect(t, r.session.Query(t.Context(), q))))
	same(t, "none", []event.Position{}, positions(collect(t, r.session.Query(t.Context(),
		lethe.Query{Filter: event.Filter{{Correlation: "none"}}}))))
}

func queryRefused(t *testing.T, r *rig) {
	r.append(t, stream("1"), draft("A"))
	for code, m := range map[string]event.Match{
		"not_indexed":         {Metadata: map[string]string{"color": "red"}},
		"malformed_name":      {Kinds: []string{"a b"}},
		"malformed_type":      {Types: []string{strings.Repeat("x", 201)}},
		"malformed_reference": {Relations: []event.Relation{{Kind: "branch", ID: "a b"}}},
		"oversized":           {Types: slices.Repeat([]string{"A"}, 257)},
	} {
		err := failure(r.session.Query(t.Context(), lethe.Query{Filter: event.Filter{m}}))
		fails(t, "query "+code, err, event.ErrInvalid, code)
		err = failure(r.session.Subscribe(t.Context(), event.Filter{m}, event.Cursor{}))
		fails(t, "subscribe "+code, err, event.ErrInvalid, code)
	}
	err := failure(r.session.Query(t.Context(), lethe.Query{Filter: make(event.Filter, 65)}))
	fails(t, "65 alternatives", err, event.ErrInvalid, "oversized")
}
