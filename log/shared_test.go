package log_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// doubting is an engine that has every batch decided twice, as one does that found out of date what it had told.
type doubting struct{ storage.Store }

func (d doubting) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	return d.Store.Commit(ctx, p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		first := f
		first.Streams = slices.Clone(f.Streams) // each call has answers of its own
		if b, err := decide(h, first); err != nil {
			return b, err
		}
		return decide(h, f)
	})
}

// TestSequencersShareALog lets three sequencers, as of three processes, append to one log in turn, two of them to an
// engine that decides twice: each follows the leaves of the others, and the tree is that of all.
func TestSequencersShareALog(t *testing.T) {
	engine := memory.Open(memory.Options{})
	var logs []*log.Log
	for _, e := range []storage.Store{engine, doubting{engine}, doubting{engine}} {
		l, err := log.Open(t.Context(), e, log.Options{})
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	const each = 300
	for n := range each {
		for i, l := range logs {
			if (n+i)%7 == 0 {
				continue // it falls behind
			}
			drafts := make([]event.Draft, 1+(n+i)%3)
			for d := range drafts {
				drafts[d].Type = "Noted"
			}
			_, err := l.Append(t.Context(), &log.Request{Writes: []log.Write{{
				Stream: event.Stream("note", fmt.Sprint(n%5)), Expected: event.Any, Events: drafts,
			}}})
			if err != nil {
				t.Fatalf("append %d at sequencer %d: %v", n, i, err)
			}
		}
	}
	report, err := log.Verify(t.Context(), engine, nil)
	if err != nil || !report.OK() || report.Events < 2*each {
		t.Errorf("%d events, %v: %v", report.Events, report.Findings, err)
	}
}
