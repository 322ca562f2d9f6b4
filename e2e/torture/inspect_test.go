package torture_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// pause is between two looks at something that is bound to happen.
const pause = 2 * time.Millisecond

// inspect opens the log an engine keeps, which checks the frontier, and holds it against itself: the tree against the
// rows, positions and versions against gaps, every index against a scan. It returns what a scan gives.
func inspect(ctx context.Context, engine storage.Store) ([]event.Event, error) {
	store, err := lethe.Open(ctx, engine, kms.None, nil)
	if err != nil {
		return nil, err
	}
	report, err := log.Verify(ctx, engine, nil)
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, fmt.Errorf("the log does not verify: %v", report.Findings)
	}
	head, err := store.Head(ctx)
	if err != nil {
		return nil, err
	}
	session := store.As(event.Actor{})
	events, err := gather(session, ctx, lethe.Query{Pruned: true})
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	if report.Events != uint64(head.Position) || len(events) != int(head.Position) {
		return nil, fmt.Errorf("the head is at %d, verified are %d, a scan gives %d",
			head.Position, report.Events, len(events))
	}
	if err := checkGaps(events); err != nil {
		return nil, err
	}
	return events, checkIndex(ctx, store, events)
}

func gather(s *lethe.Session, ctx context.Context, q lethe.Query) ([]event.Event, error) {
	var all []event.Event
	for e, err := range s.Query(ctx, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func checkGaps(events []event.Event) error {
	versions := make(map[event.StreamID]event.Version)
	ids := make(map[event.ID]event.Position, len(events))
	for i := range events {
		e := &events[i]
		if want := event.Position(i + 1); e.Position != want {
			return fmt.Errorf("at place %d of the scan is position %d", want, e.Position)
		}
		if versions[e.Stream]++; e.Version != versions[e.Stream] {
			return fmt.Errorf("%s: its version should be %d", e, versions[e.Stream])
		}
		if first, ok := ids[e.ID]; ok {
			return fmt.Errorf("%s is also at %d", e, first)
		}
		ids[e.ID] = e.Position
	}
	return nil
}

// checkIndex asks for every type, kind, stream, and entity there is, and compares with a scan.
func checkIndex(ctx context.Context, store *lethe.Store, events []event.Event) error {
	session := store.As(event.Actor{})
	streams := make(map[event.StreamID]event.Version)
	filters := make(map[string]event.Filter)
	for i := range events {
		e := &events[i]
		streams[e.Stream] = e.Version
		filters["type "+e.Type] = event.Filter{{Types: []string{e.Type}}}
		filters["kind "+e.Stream.Kind] = event.Filter{{Kinds: []string{e.Stream.Kind}}}
		filters["stream "+e.Stream.String()] = event.Filter{{Stream: e.Stream}}
		for _, r := range e.Relations {
			filters[r.String()] = event.Filter{{Relations: []event.Relation{r}}}
			filters["type and "+r.String()] = event.Filter{{Types: []string{e.Type}, Relations: []event.Relation{r}}}
		}
	}
	for name, f := range filters {
		got, err := gather(session, ctx, lethe.Query{Filter: f, Pruned: true})
		if err != nil {
			return fmt.Errorf("query by %s: %w", name, err)
		}
		if err := sameMatches(f, got, events); err != nil {
			return fmt.Errorf("query by %s: %w", name, err)
		}
	}
	return errors.Join(checkStreams(ctx, store, streams), checkByID(ctx, session, events))
}

func sameMatches(f event.Filter, got, events []event.Event) error {
	for i := range events {
		if !f.Matches(&events[i]) {
			continue
		}
		if len(got) == 0 || got[0].Position != events[i].Position || got[0].ID != events[i].ID {
			return fmt.Errorf("%s should be next, %d are left", &events[i], len(got))
		}
		got = got[1:]
	}
	if len(got) > 0 {
		return fmt.Errorf("%s is too many", &got[0])
	}
	return nil
}

func checkStreams(ctx context.Context, store *lethe.Store, want map[event.StreamID]event.Version) error {
	listed, err := store.Streams(ctx, storage.StreamQuery{Limit: len(want) + 100})
	if err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	found := 0
	for _, s := range listed {
		if s.Version > 0 {
			found++
		}
		if s.Version != want[s.Stream] {
			return fmt.Errorf("stream %s is listed at version %d, not %d", s.Stream, s.Version, want[s.Stream])
		}
		if s.Pruned < s.Truncated {
			return fmt.Errorf("stream %s has a truncation that was not finished", s.Stream)
		}
	}
	if found != len(want) || !slices.IsSortedFunc(listed, byStreamName) {
		return fmt.Errorf("listed are %d streams of %d, or out of order", found, len(want))
	}
	return nil
}

func byStreamName(a, b storage.StreamState) int {
	if c := strings.Compare(a.Stream.Kind, b.Stream.Kind); c != 0 {
		return c
	}
	return strings.Compare(a.Stream.ID, b.Stream.ID)
}

func checkByID(ctx context.Context, session *lethe.Session, events []event.Event) error {
	for i := range events {
		e := &events[i]
		got, err := session.Event(ctx, e.ID)
		if err != nil || got.Position != e.Position {
			return fmt.Errorf("find %s by its id: it is at %d: %w", e, got.Position, err)
		}
	}
	return nil
}
