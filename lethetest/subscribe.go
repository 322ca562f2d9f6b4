package lethetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
)

// subscribeLive: four subscribers that begin at different times see every match once and in order, while many append.
func subscribeLive(t *testing.T, r *rig) {
	const appenders, each = 4, 60
	filter := event.Filter{{Types: []string{"T0", "T2"}}}
	const matches = appenders * each * 2 / 3
	var wg sync.WaitGroup
	follow := func() {
		var seen []event.Position
		for e, err := range r.session.Subscribe(t.Context(), filter, event.Cursor{}) {
			if err != nil {
				t.Error(err)
				return
			}
			if len(seen) > 0 && e.Position <= seen[len(seen)-1] || e.Type == "T1" {
				t.Errorf("saw %s after %d", e, seen)
				return
			}
			if seen = append(seen, e.Position); len(seen) == matches {
				return
			}
		}
	}
	wg.Go(follow)
	wg.Go(follow)
	for a := range appenders {
		wg.Go(func() {
			for n := range each {
				_, err := r.session.Append(t.Context(), stream(fmt.Sprint(a)), event.Any, draft(fmt.Sprint("T", n%3)))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(follow)
	wg.Wait()
	follow()
}

// subscribeResumes leaves and comes back, by the cursor of the last event.
func subscribeResumes(t *testing.T, r *rig) {
	const total = 300
	var appending sync.WaitGroup
	defer appending.Wait()
	appending.Go(func() {
		for n := range total {
			_, err := r.session.Append(t.Context(), stream(fmt.Sprint(n%7)), event.Any, draft(fmt.Sprint("T", n%3)))
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	var seen []event.Position
	var cursor event.Cursor
	for len(seen) < total*2/3 {
		for e, err := range r.session.Subscribe(t.Context(), event.Filter{{Types: []string{"T0", "T2"}}}, cursor) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, e.Position)
			cursor = r.Cursor(e.Position)
			if len(seen)%20 == 0 {
				break
			}
		}
	}
	want := event.Position(1)
	for _, p := range seen {
		if p != want {
			t.Fatalf("saw %d, want %d", p, want)
		}
		if want++; want%3 == 2 {
			want++
		}
	}
}

// subscribeBatches: batches tell how far was looked and when the past is done.
func subscribeBatches(t *testing.T, r *rig) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const past = 3000
	r.append(t, stream("1"), drafts("A", past)...)
	r.append(t, stream("1"), draft("B"))
	var events int
	var last event.Cursor
	live := false
	for batch, err := range r.session.Batches(ctx, event.Filter{{Types: []string{"A"}}}, event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if batch.Cursor.Position < last.Position || batch.Cursor.Store != r.head(t).Store {
			t.Fatalf("cursor %v after %v", batch.Cursor, last)
		}
		last = batch.Cursor
		for _, e := range batch.Events {
			if events++; e.Type != "A" || e.Position > last.Position {
				t.Fatalf("%s in a batch up to %d", e, last.Position)
			}
		}
		if batch.Live && !live {
			live = true
			if events != past || last.Position != past+1 {
				t.Fatalf("live after %d events at %d", events, last.Position)
			}
			r.append(t, stream("1"), draft("B"), draft("A"))
		}
		if events == past+1 {
			break
		}
	}
	if last != r.Cursor(last.Position) {
		t.Error("the cursor of a batch is that of its position")
	}
	for batch, err := range r.session.Batches(ctx, nil, r.Cursor(past+3)) {
		if err != nil || len(batch.Events) != 0 || !batch.Live || batch.Cursor.Position != past+3 {
			t.Errorf("at the end: %+v, %v", batch, err)
		}
		break
	}
}

func subscribeRefused(t *testing.T, r *rig) {
	r.append(t, stream("1"), draft("A"), draft("A"))
	beyond, other, foreign := r.Cursor(3), r.Cursor(1), r.Cursor(1)
	other.Incarnation++
	foreign.Store[0]++
	for common, c := range map[event.Position]event.Cursor{2: beyond, 0: other} {
		err := failure(r.session.Subscribe(t.Context(), nil, c))
		fails(t, "cursor", err, event.ErrForked, "forked")
		var forked *event.Forked
		if !errors.As(err, &forked) || forked.Common != common {
			t.Errorf("common with %v: %v, want %d", c, err, common)
		}
	}
	fails(t, "foreign", failure(r.session.Subscribe(t.Context(), nil, foreign)), event.ErrInvalid, "foreign_cursor")
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	for _, err := range r.session.Subscribe(ctx, nil, event.Cursor{}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			break
		}
		if seen++; seen == 2 {
			cancel()
		}
	}
	cancel()
	if seen != 2 {
		t.Errorf("saw %d events", seen)
	}
	for _, err := range r.session.Batches(ended(t), nil, event.Cursor{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	}
}
