package storagetest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// IndexExact holds that any query gives exactly what a scan with event.Filter.Matches gives, at every length of the
// log, with pruned records in it, and after the store was opened again.
func IndexExact(t *testing.T, open Open) {
	e := open(t)
	forest(t, e, func(m *model) {
		rapid.Check(t, func(r *rapid.T) { m.walk(r, e.Store, queries(len(m.records)).Draw(r, "query")) })
	})
}

// ConditionExact holds that conditions are hit exactly if a scan with event.Filter.Matches finds an event, however far
// After is behind the head, and that the event of the commit before is among them.
func ConditionExact(t *testing.T, open Open) {
	e := open(t)
	forest(t, e, func(m *model) {
		rapid.Check(t, func(r *rapid.T) {
			checkConditions(r, e.Store, m, rapid.SliceOfN(conditions(len(m.records)), 1, 4).Draw(r, "conditions"))
		})
	})
	for i := range 50 {
		it := item("application", "a")
		it.Draft.Relations = []event.Relation{{Role: "owner", Kind: "account", ID: fmt.Sprint("new", i)}}
		position := Append(t, e.Store, it)[0].Position
		filter := event.Filter{{Relations: it.Draft.Relations}}
		found := ask(t, e.Store, storage.Probe{Conditions: []event.Condition{
			{Filter: filter}, {Filter: filter, After: position - 1}, {Filter: filter, After: position},
			{After: position - 1}, {After: position},
		}})
		same(t, "hits of the event before", []event.Position{position, position, 0, position, 0}, found.Hits)
	}
}

func checkConditions(t fataler, s storage.Store, m *model, conditions []event.Condition) {
	t.Helper()
	var found storage.Found
	if _, err := s.Commit(t.Context(), storage.Probe{Conditions: conditions}, nothing(&found)); err != nil {
		t.Fatalf("commit nothing: %v", err)
	}
	if len(found.Hits) != len(conditions) {
		t.Fatalf("%d conditions have %d answers", len(conditions), len(found.Hits))
	}
	for i, c := range conditions {
		hit := found.Hits[i]
		exists := slices.ContainsFunc(m.events, func(e event.Event) bool {
			return e.Position > c.After && c.Filter.Matches(&e)
		})
		switch {
		case exists != (hit != 0):
			t.Fatalf("condition %+v has hit %d, but a scan says %t", c, hit, exists)
		case hit != 0 && (hit <= c.After || hit > event.Position(len(m.events)) || !c.Filter.Matches(&m.events[hit-1])):
			t.Fatalf("condition %+v has hit %d, which does not match", c, hit)
		}
	}
}

// forest grows a log of random events in three steps and calls check at each: before and after some were pruned, and
// after the store was opened again.
func forest(t *testing.T, e *Engine, check func(m *model)) {
	t.Helper()
	random := new(dice)
	m := newModel(t, nil)
	check(m)
	for range 3 {
		for end := len(m.records) + e.events()/3; len(m.records) < end; {
			list := make([]Item, 1+random.roll(100))
			for i := range list {
				list[i] = randomItem(random)
			}
			m.add(t, Append(t, e.Store, list...))
		}
		check(m)
		var edits []storage.Edit
		for range len(m.records) / 50 {
			r := m.records[random.roll(len(m.records))]
			edits = append(edits, edit(r))
			m.put(t, pruned(r))
		}
		if err := e.Store.Rewrite(t.Context(), 0, edits); err != nil {
			t.Fatalf("rewrite: %v", err)
		}
		e.Reopen(t)
		check(m)
	}
}

// The names random events and random filters are made of; events use some seldom and the last ones never.
func few(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(prefix, i)
	}
	return names
}

func words() (types, kinds, streams, roles, entities, values []string) {
	return few("Type", 7), []string{"application", "customer", event.SystemKind, "none"}, few("s", 9),
		[]string{"issuer", "affected", "owner", "nobody"}, few("e", 13), few("v", 4)
}

func cause(i int) event.ID {
	sum := sha256.Sum256(fmt.Append(nil, "cause", i))
	return event.ID(sum[:16])
}

// dice rolls the same every time, so that a log that fails is there again.
type dice struct{ rolled uint64 }

func (d *dice) roll(n int) int {
	d.rolled++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, d.rolled))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(n))
}

func randomItem(random *dice) Item {
	types, kinds, streams, roles, entities, values := words()
	seldom := func(list []string) string { // the first are frequent, the last is never taken
		n := len(list) - 1
		return list[min(random.roll(n), random.roll(n))]
	}
	it := Item{
		Stream:   event.Stream(seldom(kinds), seldom(streams)),
		Draft:    event.Draft{Type: seldom(types), Data: []byte(`{}`)},
		Recorded: epoch + int64(random.roll(1000)),
	}
	for range random.roll(4) {
		r := event.Relation{Role: seldom(roles), Kind: seldom(kinds), ID: seldom(entities)}
		it.Draft.Relations = append(it.Draft.Relations, r)
	}
	for _, key := range []string{"branch", "channel", "note"} {
		if random.roll(2) == 0 {
			if it.Draft.Metadata == nil {
				it.Draft.Metadata = map[string]string{}
			}
			it.Draft.Metadata[key] = seldom(values)
		}
	}
	if random.roll(2) == 0 {
		it.Draft.Correlation = seldom(entities)
	}
	if random.roll(2) == 0 {
		it.Draft.Causation = cause(random.roll(20))
	}
	return it
}

func conditions(length int) *rapid.Generator[event.Condition] {
	return rapid.Custom(func(r *rapid.T) event.Condition {
		after := places(length).Draw(r, "after")
		return event.Condition{Filter: filters().Draw(r, "filter"), After: event.Position(after)}
	})
}

func queries(length int) *rapid.Generator[storage.Query] {
	return rapid.Custom(func(r *rapid.T) storage.Query {
		q := storage.Query{
			Filter: filters().Draw(r, "filter"), Backward: rapid.Bool().Draw(r, "backward"),
			From: places(length).Draw(r, "from"), To: places(length).Draw(r, "to"),
			Limit: rapid.SampledFrom([]int{1, 2, 3, 10, 100, 1000, math.MaxInt}).Draw(r, "limit"),
		}
		if rapid.Bool().Draw(r, "whole") {
			q.From, q.To = 0, 0
		}
		if rapid.IntRange(0, 3).Draw(r, "in stream") == 0 {
			_, kinds, streams, _, _, _ := words()
			q.Stream.Kind = rapid.SampledFrom(kinds).Draw(r, "kind")
			q.Stream.ID = rapid.SampledFrom(streams).Draw(r, "stream")
		}
		if rapid.IntRange(0, 3).Draw(r, "since set") == 0 {
			q.Since = epoch + rapid.Int64Range(-1, 1001).Draw(r, "since")
		}
		if rapid.IntRange(0, 3).Draw(r, "until set") == 0 {
			q.Until = epoch + rapid.Int64Range(-1, 1001).Draw(r, "until")
		}
		return q
	})
}

func places(length int) *rapid.Generator[uint64] {
	n := uint64(length)
	return rapid.OneOf(rapid.Uint64Range(0, n), rapid.SampledFrom([]uint64{0, 1, n, n + 1, n / 2, math.MaxUint64}))
}

func filters() *rapid.Generator[event.Filter] {
	return rapid.Custom(func(r *rapid.T) event.Filter {
		return rapid.SliceOfN(rapid.Custom(drawMatch), 0, 3).Draw(r, "alternatives")
	})
}

func drawMatch(r *rapid.T) (m event.Match) {
	types, kinds, streams, roles, entities, values := words()
	has := func(what string) bool { return rapid.IntRange(0, 2).Draw(r, what) == 0 }
	if has("types") {
		m.Types = rapid.SliceOfN(rapid.SampledFrom(types), 1, 3).Draw(r, "type list")
	}
	if has("kinds") {
		m.Kinds = rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 3).Draw(r, "kind list")
	}
	if has("stream") {
		m.Stream.Kind = rapid.SampledFrom(kinds).Draw(r, "kind")
		m.Stream.ID = rapid.SampledFrom(streams).Draw(r, "stream id")
	}
	if has("relations") {
		m.Relations = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) event.Relation {
			return event.Relation{
				Role: rapid.SampledFrom(append(roles, "", "")).Draw(r, "role"),
				Kind: rapid.SampledFrom(kinds).Draw(r, "entity kind"),
				ID:   rapid.SampledFrom(entities).Draw(r, "entity"),
			}
		}), 1, 2).Draw(r, "relation list")
	}
	if has("metadata") {
		m.Metadata = rapid.MapOfN(rapid.SampledFrom(Indexed()), rapid.SampledFrom(values), 1, 2).Draw(r, "pairs")
	}
	if has("correlation") {
		m.Correlation = rapid.SampledFrom(entities).Draw(r, "operation")
	}
	if has("causation") {
		m.Causation = cause(rapid.IntRange(0, 20).Draw(r, "cause"))
	}
	return m
}

// NotIndexed holds that a metadata key that is not declared is refused, not scanned for.
func NotIndexed(t *testing.T, open Open) {
	s := open(t).Store
	it := item("application", "a")
	it.Draft.Metadata = map[string]string{"note": "v", "branch": "v"}
	Append(t, s, it)
	before := read(t, s)
	filter := event.Filter{{Metadata: map[string]string{"branch": "v"}}, {Metadata: map[string]string{"note": "v"}}}
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, event.ErrInvalid) || event.Code(err) != "not_indexed" {
			t.Errorf("filter on a metadata key that is not indexed: %v", err)
		}
	}
	for _, q := range []storage.Query{{}, {Backward: true}, {Stream: it.Stream}, {From: 9}} {
		q.Filter, q.Limit = filter, 10
		_, err := s.Page(t.Context(), q)
		refused(err)
	}
	p := storage.Probe{Conditions: []event.Condition{{}, {Filter: filter, After: 1}}}
	_, err := s.Commit(t.Context(), p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		t.Error("decide was called for a probe that cannot be answered")
		return storage.Batch{}, nil
	})
	refused(err)
	unchanged(t, s, before)
}

// ProbeAnswered holds that a probe is answered index by index, also about what is not known and what is asked twice.
func ProbeAnswered(t *testing.T, open Open) {
	s := open(t).Store
	a, b := event.Stream("application", "a"), event.Stream("application", "b")
	records := Append(t, s, Item{Stream: a, Draft: event.Draft{Type: "A"}},
		Item{Stream: b, Draft: event.Draft{Type: "B"}}, Item{Stream: a, Draft: event.Draft{Type: "C"}})
	unknown := event.Stream("application", "none")
	found := ask(t, s, storage.Probe{
		IDs:     []event.ID{records[2].ID, {1: 1}, records[0].ID, records[2].ID},
		Streams: []event.StreamID{unknown, b, a, b},
		Conditions: []event.Condition{
			{Filter: event.Filter{{Types: []string{"none"}}}}, {Filter: event.Filter{{Types: []string{"B"}}}},
			{Filter: event.Filter{{Types: []string{"A"}}}, After: 1}, {After: 2}, {After: math.MaxUint64},
		},
	})
	existing := func(r storage.Record) storage.Existing {
		return storage.Existing{Position: r.Position, Stream: r.Stream, Version: r.Version, Request: r.Request}
	}
	atB := storage.StreamState{Stream: b, Version: 1}
	same(t, "what was found", storage.Found{
		IDs:     []storage.Existing{existing(records[2]), {}, existing(records[0]), existing(records[2])},
		Streams: []storage.StreamState{{Stream: unknown}, atB, {Stream: a, Version: 2}, atB},
		Hits:    []event.Position{0, 2, 0, 3, 0},
	}, found)
}

// ProbeLeaves holds that the leaves from a position to the head are given in order, and none where none are wanted.
func ProbeLeaves(t *testing.T, open Open) {
	s := open(t).Store
	var want [][32]byte
	for _, r := range Append(t, s, items(300)...) {
		want = append(want, r.Leaf)
	}
	for _, r := range Append(t, s, items(5)...) {
		want = append(want, r.Leaf)
	}
	for _, from := range []event.Position{1, 2, 256, 300, 301, 305} {
		same(t, fmt.Sprintf("leaves from %d", from), want[from-1:], ask(t, s, storage.Probe{Leaves: from}).Leaves)
	}
	for _, from := range []event.Position{0, 306, 307, math.MaxInt64, math.MaxUint64} {
		if got := ask(t, s, storage.Probe{Leaves: from}).Leaves; len(got) > 0 {
			t.Errorf("%d leaves from %d of 305", len(got), from)
		}
	}
}
