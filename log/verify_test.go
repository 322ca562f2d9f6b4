package log_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// tampered is a log that somebody changed behind its back.
type tampered struct {
	storage.Log
	record func(*storage.Record)
	head   func(*storage.Head)
	tile   func([]byte) ([]byte, error)
	drop   event.Position // this row is gone
}

func (s tampered) Head(ctx context.Context) (storage.Head, error) {
	h, err := s.Log.Head(ctx)
	if s.head != nil {
		s.head(&h)
	}
	return h, err
}

func (s tampered) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	page, err := s.Log.Page(ctx, q)
	kept := page.Records[:0]
	for _, r := range page.Records {
		if s.record != nil {
			s.record(&r)
		}
		if r.Position != s.drop {
			kept = append(kept, r)
		}
	}
	page.Records = kept
	return page, err
}

func (s tampered) Tiles(ctx context.Context, ids []storage.TileID) ([][]byte, error) {
	tiles, err := s.Log.Tiles(ctx, ids)
	if err == nil && s.tile != nil {
		tiles[0], err = s.tile(tiles[0])
	}
	return tiles, err
}

// manyEvents fills two tiles and some, with everything an event can have, and truncates a stream.
func manyEvents(t *testing.T, store storage.Store) {
	t.Helper()
	l, err := log.Open(t.Context(), store, log.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var drafts []event.Draft
	for i := range 600 {
		drafts = append(drafts, event.Draft{
			Type: "T", Data: fmt.Appendf(nil, `{"n": %d, "none": null, "deep down": {"a": [1]}}`, i),
			Relations: []event.Relation{{Role: "issuer", Kind: "e", ID: "1"}, {Role: "issuer", Kind: "e", ID: "2"}},
			Metadata:  map[string]string{"k": "v"}, Correlation: "c", Causation: event.ID{1},
			OccurredAt: event.FromMicros(int64(i)), Producer: event.Producer{Name: "p"},
		})
	}
	_, err = l.Append(t.Context(), &log.Request{Writes: []log.Write{
		{Stream: event.Stream("a", "1"), Expected: event.Any, Events: drafts[:300]},
		{Stream: event.Stream("a", "2"), Expected: event.Any, Events: drafts[300:]},
	}})
	if err == nil {
		err = l.Truncate(t.Context(), event.Actor{}, event.Stream("a", "2"), 11)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifySoundLog(t *testing.T) {
	store := memory.Open(memory.Options{})
	empty, err := log.Verify(t.Context(), store, nil)
	if err != nil || !empty.OK() || empty.Events != 0 {
		t.Errorf("empty log: %+v, %v", empty, err)
	}
	manyEvents(t, store)
	var reached, total event.Position
	report, err := log.Verify(t.Context(), store, func(done, head event.Position) { reached, total = done, head })
	if err != nil || !report.OK() || report.Events != 601 || report.Pruned != 10 || report.Tiles != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	if reached != 601 || total != 601 {
		t.Errorf("progress ended at %d of %d", reached, total)
	}
}

func TestVerifyFindsEveryChange(t *testing.T) {
	store := memory.Open(memory.Options{})
	manyEvents(t, store)
	at := func(p event.Position, change func(*storage.Record)) func(*storage.Record) {
		return func(r *storage.Record) {
			if r.Position == p {
				change(r)
			}
		}
	}
	flip := func(b []byte, i int) []byte {
		b = append([]byte(nil), b...)
		b[i] ^= 1
		return b
	}
	for name, test := range map[string]struct {
		log  tampered
		want event.Position
	}{
		"body":       {tampered{record: at(7, func(r *storage.Record) { r.Body = flip(r.Body, len(r.Body)-2) })}, 7},
		"json":       {tampered{record: at(7, func(r *storage.Record) { r.Body = flip(r.Body, len(r.Body)-1) })}, 7},
		"envelope":   {tampered{record: at(7, func(r *storage.Record) { r.Body = flip(r.Body, 0) })}, 7},
		"seed":       {tampered{record: at(8, func(r *storage.Record) { r.Commitments = flip(r.Commitments, 0) })}, 8},
		"no seed":    {tampered{record: at(8, func(r *storage.Record) { r.Commitments = nil })}, 8},
		"type":       {tampered{record: at(9, func(r *storage.Record) { r.Type = "U" })}, 9},
		"id":         {tampered{record: at(9, func(r *storage.Record) { r.ID[0] ^= 1 })}, 9},
		"stream":     {tampered{record: at(9, func(r *storage.Record) { r.Stream.ID = "3" })}, 9},
		"version":    {tampered{record: at(9, func(r *storage.Record) { r.Version++ })}, 9},
		"time":       {tampered{record: at(9, func(r *storage.Record) { r.Recorded++ })}, 9},
		"leaf":       {tampered{record: at(9, func(r *storage.Record) { r.Leaf[0] ^= 1 })}, 9},
		"boxes":      {tampered{record: at(9, func(r *storage.Record) { r.Boxes = []byte{1} })}, 9},
		"stub":       {tampered{record: at(301, func(r *storage.Record) { r.Leaf[0] ^= 1 })}, 257},
		"tile":       {tampered{tile: func(b []byte) ([]byte, error) { return flip(b, 9), nil }}, 1},
		"no tile":    {tampered{tile: func([]byte) ([]byte, error) { return nil, event.ErrNotFound }}, 1},
		"right edge": {tampered{head: func(h *storage.Head) { h.Frontier = flip(h.Frontier, 40) }}, 0},
	} {
		test.log.Log = store
		report, err := log.Verify(t.Context(), test.log, nil)
		if err != nil || report.OK() || report.Findings[0].Position != test.want {
			t.Errorf("%s: %+v, %v; want a finding at %d", name, report, err, test.want)
		}
		for _, f := range report.Findings {
			if f.Cause == "" || strings.Contains(f.Cause, "deep down") {
				t.Errorf("%s: cause %q", name, f.Cause)
			}
		}
	}
}

func TestVerifyStopsWhereRowsEnd(t *testing.T) {
	store := memory.Open(memory.Options{})
	manyEvents(t, store)
	_, err := log.Verify(t.Context(), tampered{Log: store, drop: 5}, nil)
	if event.Code(err) != "corrupt" || !strings.Contains(err.Error(), "position 5 is missing") {
		t.Errorf("a missing row: %v", err)
	}
}

func TestVerifyBoundsItsReport(t *testing.T) {
	store := memory.Open(memory.Options{})
	manyEvents(t, store)
	report, err := log.Verify(t.Context(), tampered{Log: store, record: func(r *storage.Record) { r.Recorded++ }}, nil)
	if err != nil || len(report.Findings) != 20 || report.More != 571 {
		t.Errorf("%d findings and %d more, %v", len(report.Findings), report.More, err)
	}
}

// TestVerifyAcrossLives: leaves keep the incarnation they were appended under.
func TestVerifyAcrossLives(t *testing.T) {
	first := memory.Open(memory.Options{})
	manyEvents(t, first)
	head, err := first.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := memory.Restore(first, head.Position, head.Frontier, strings.NewReader("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := log.Open(t.Context(), second, log.Options{})
	if err == nil {
		_, err = l.Append(t.Context(), &log.Request{Writes: []log.Write{
			{Stream: event.Stream("a", "3"), Expected: event.None, Events: []event.Draft{{Type: "T"}}}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	report, err := log.Verify(t.Context(), second, nil)
	if err != nil || !report.OK() || report.Events != 602 {
		t.Errorf("%+v, %v", report, err)
	}
}
