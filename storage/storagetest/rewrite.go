package storagetest

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// RewriteExact holds that edits apply together or not at all.
func RewriteExact(t *testing.T, open Open) {
	s := open(t).Store
	records := Append(t, s, items(6)...)
	before := read(t, s)
	for name, spoil := range map[string]func(e *storage.Edit){
		"another id":            func(e *storage.Edit) { e.ID = records[3].ID },
		"unknown id":            func(e *storage.Edit) { e.ID = event.ID{1} },
		"another leaf":          func(e *storage.Edit) { e.Leaf = records[3].Leaf },
		"last bit of leaf":      func(e *storage.Edit) { e.Leaf[31] ^= 1 },
		"another position":      func(e *storage.Edit) { e.Position++ },
		"position zero":         func(e *storage.Edit) { e.Position = 0 },
		"position beyond head":  func(e *storage.Edit) { e.Position = 7 },
		"position beyond int64": func(e *storage.Edit) { e.Position = math.MaxInt64 + 1 + e.Position },
		"position huge":         func(e *storage.Edit) { e.Position = math.MaxUint64 },
	} {
		for place := range 3 {
			edits := []storage.Edit{edit(records[0]), edit(records[2]), edit(records[4])}
			spoil(&edits[place])
			if err := s.Rewrite(t.Context(), 0, edits); !errors.Is(err, event.ErrConflict) {
				t.Errorf("rewrite with %s: %v", name, err)
			}
			unchanged(t, s, before)
		}
	}
	for _, fence := range []uint64{1, math.MaxUint64} {
		if err := s.Rewrite(t.Context(), fence, []storage.Edit{edit(records[0])}); !errors.Is(err, event.ErrConflict) {
			t.Errorf("rewrite under fence %d of a log under fence 0: %v", fence, err)
		}
		unchanged(t, s, before)
	}
	if err := s.Rewrite(t.Context(), 0, nil); err != nil {
		t.Errorf("rewrite nothing: %v", err)
	}
	unchanged(t, s, before)
	if err := s.Rewrite(t.Context(), 0, []storage.Edit{edit(records[4]), edit(records[0])}); err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	before.Records[0], before.Records[4] = pruned(records[0]), pruned(records[4])
	unchanged(t, s, before)
}

// RewriteRepeats holds that a rewrite may be repeated, also in part, and with an edit twice.
func RewriteRepeats(t *testing.T, open Open) {
	e := open(t)
	records := Append(t, e.Store, items(4)...)
	before := read(t, e.Store)
	edits := []storage.Edit{edit(records[0]), edit(records[1]), edit(records[1])}
	for range 3 {
		if err := e.Store.Rewrite(t.Context(), 0, edits); err != nil {
			t.Fatalf("rewrite: %v", err)
		}
		for _, x := range edits {
			before.Records[x.Position-1] = pruned(records[x.Position-1])
		}
		unchanged(t, e.Store, before)
		e.Reopen(t)
		edits = append(edits, edit(records[2]))
	}
	edits[0].Leaf[0] ^= 1
	if err := e.Store.Rewrite(t.Context(), 0, edits); !errors.Is(err, event.ErrConflict) {
		t.Errorf("rewrite of a pruned record with another leaf: %v", err)
	}
}

// RewriteKeepsHeader holds that a pruned record is found by what is left of it, and by nothing else.
func RewriteKeepsHeader(t *testing.T, open Open) {
	e := open(t)
	it := item("application", "a")
	it.Draft.Relations = []event.Relation{{Role: "owner", Kind: "account", ID: "1"}}
	it.Draft.Metadata, it.Draft.Correlation, it.Draft.Causation = map[string]string{"branch": "v"}, "c", event.ID{9}
	records := Append(t, e.Store, item("application", "a"), it, item("application", "a"))
	if err := e.Store.Rewrite(t.Context(), 0, []storage.Edit{edit(records[1])}); err != nil {
		t.Fatalf("rewrite: %v", err)
	}
	left := event.Filter{{Types: []string{"Noted"}, Kinds: []string{"application"}, Stream: it.Stream}}
	gone := []event.Filter{
		{{Relations: it.Draft.Relations}}, {{Metadata: it.Draft.Metadata}}, {{Correlation: "c"}},
		{{Causation: event.ID{9}}},
	}
	for range 2 {
		m := newModel(t, append(slices.Clone(records[:1]), pruned(records[1]), records[2]))
		for _, filter := range append(gone, left, nil) {
			m.walk(t, e.Store, storage.Query{Filter: filter, Limit: 2})
			m.walk(t, e.Store, storage.Query{Filter: filter, Limit: 2, Stream: it.Stream})
			checkConditions(t, e.Store, m, []event.Condition{{Filter: filter}, {Filter: filter, After: 1}})
		}
		found := ask(t, e.Store, storage.Probe{IDs: []event.ID{records[1].ID}, Streams: []event.StreamID{it.Stream}})
		same(t, "pruned record by id", storage.Existing{
			Position: 2, Stream: it.Stream, Version: 2, Request: records[1].Request,
		}, found.IDs[0])
		same(t, "stream with a pruned record", event.Version(3), found.Streams[0].Version)
		e.Reopen(t)
	}
	Append(t, e.Store, it)
}
