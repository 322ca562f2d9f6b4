package log

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// System streams and event types of this package. Their data is docs/format/system.md.
var (
	streamsStream = event.Stream(event.SystemKind, "streams")
	kindsStream   = event.Stream(event.SystemKind, "kinds")
)

const (
	typeStreamClosed    = event.SystemKind + ".StreamClosed"
	typeStreamTruncated = event.SystemKind + ".StreamTruncated"
	typeKindMaxAge      = event.SystemKind + ".KindMaxAgeSet"
)

// Close ends a stream for good: no later append to it is accepted. Closing a closed stream is event.ErrClosed.
func (l *Log) Close(ctx context.Context, by event.Actor, s event.StreamID) error {
	_, err := l.change(ctx, by, &lifecycle{stream: s, close: true}, typeStreamClosed, nil)
	return err
}

// Truncate prunes the events of a stream below version before: their bodies go, header and leaf stay, so positions,
// versions and proofs hold. It is recorded first; an interrupted truncation is finished when the log is next opened.
func (l *Log) Truncate(ctx context.Context, by event.Actor, s event.StreamID, before event.Version) error {
	if before < 2 {
		return event.Invalid("malformed_version", "truncate %s: want a version above 1, got %d", s, before)
	}
	extra := map[string]any{"before": before}
	_, err := l.change(ctx, by, &lifecycle{stream: s, truncate: before}, typeStreamTruncated, extra)
	var earlier *unfinished
	switch {
	case errors.As(err, &earlier):
		return l.prune(ctx, s, earlier.before)
	case err != nil:
		return err
	}
	return l.prune(ctx, s, before)
}

// change records a lifecycle change of a stream and makes it in the same commit.
func (l *Log) change(ctx context.Context, by event.Actor, c *lifecycle, typ string, extra map[string]any,
) (Result, error) {
	if err := c.stream.Validate(); err != nil {
		return Result{}, err
	}
	if c.stream.Kind == event.SystemKind {
		return Result{}, event.Invalid("reserved", "change stream: streams of kind %s are reserved", event.SystemKind)
	}
	affected := event.Relation{Role: "affected", Kind: c.stream.Kind, ID: c.stream.ID}
	p, err := l.prepareSystem(by, streamsStream, typ, []event.Relation{affected}, extra)
	if err != nil {
		return Result{}, err
	}
	p.lifecycle = c
	return l.submit(ctx, p)
}

func (l *Log) prepareSystem(by event.Actor, s event.StreamID, typ string, about []event.Relation, data map[string]any,
) (*prepared, error) {
	d := event.Draft{Type: typ, Relations: about}
	if !by.IsZero() {
		d.Relations = append(d.Relations, by.Issuer())
	}
	if data != nil {
		text, err := json.Marshal(data)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", typ, err)
		}
		d.Data = text
	}
	return l.preparer.prepare(&Request{Writes: []Write{{Stream: s, Expected: event.Any, Events: []event.Draft{d}}}}, true)
}

// pruneBatch is how many events one step of a truncation rewrites; appends go on between steps.
const pruneBatch = 512

// prune rewrites the events below version before, then marks the stream's truncation as finished.
func (l *Log) prune(ctx context.Context, s event.StreamID, before event.Version) error {
	for from, stale := uint64(1), 0; ; {
		head, err := l.store.Head(ctx)
		if err != nil {
			return fmt.Errorf("truncate %s: %w", s, err)
		}
		page, err := l.store.Page(ctx, storage.Query{Stream: s, From: from, To: uint64(before - 1), Limit: pruneBatch})
		if err != nil {
			return fmt.Errorf("truncate %s: %w", s, err)
		}
		var edits []storage.Edit
		for i := range page.Records {
			if r := &page.Records[i]; r.Body != nil {
				edits = append(edits, storage.Edit{Position: r.Position, ID: r.ID, Leaf: r.Leaf})
			}
		}
		err = l.store.Rewrite(ctx, head.Fence, edits)
		if errors.Is(err, event.ErrConflict) && stale < 10 { // a fence came between: look again
			stale++
			continue
		}
		if err != nil {
			return fmt.Errorf("truncate %s: %w", s, err)
		}
		if page.Done {
			break
		}
		from = page.Scanned + 1
	}
	return l.markPruned(ctx, s, before)
}

func (l *Log) markPruned(ctx context.Context, s event.StreamID, before event.Version) error {
	_, err := l.store.Commit(ctx, storage.Probe{Streams: []event.StreamID{s}},
		func(head storage.Head, found storage.Found) (storage.Batch, error) {
			state := found.Streams[0]
			if state.Pruned >= before {
				return storage.Batch{}, errNothing
			}
			state.Pruned = before
			return storage.Batch{Streams: []storage.StreamState{state}, Frontier: head.Frontier, System: head.System}, nil
		})
	if err != nil && !errors.Is(err, errNothing) {
		return fmt.Errorf("truncate %s: %w", s, err)
	}
	return nil
}

// finishTruncations goes on with what a crash interrupted.
func (l *Log) finishTruncations(ctx context.Context) error {
	for {
		pending, err := l.store.Streams(ctx, storage.StreamQuery{Pending: true, Limit: 100})
		if err != nil {
			return err
		}
		for _, s := range pending {
			if err := l.prune(ctx, s.Stream, s.Truncated); err != nil {
				return err
			}
		}
		if len(pending) < 100 {
			return nil
		}
	}
}

// maxAge is the data of a KindMaxAgeSet event.
type maxAge struct {
	Kind    string `json:"kind"`
	Seconds int64  `json:"max_age_seconds"` // 0: no limit
}

// SetMaxAge limits how long the bodies of events in streams of a kind are kept, counted from when they were
// recorded; 0 lifts the limit. Expire enforces it.
func (l *Log) SetMaxAge(ctx context.Context, by event.Actor, kind string, age time.Duration) error {
	if err := event.Stream(kind, "any").Validate(); err != nil {
		return err
	}
	if kind == event.SystemKind || age < 0 || age%time.Second != 0 {
		return event.Invalid("malformed_age", "set max age of kind %s: want whole seconds, of a kind that is not %s",
			kind, event.SystemKind)
	}
	data := map[string]any{"kind": kind, "max_age_seconds": int64(age / time.Second)}
	p, err := l.prepareSystem(by, kindsStream, typeKindMaxAge, nil, data)
	if err != nil {
		return err
	}
	_, err = l.submit(ctx, p)
	return err
}

// MaxAges are the limits in force, by kind.
func (l *Log) MaxAges(ctx context.Context) (map[string]time.Duration, error) {
	ages := make(map[string]time.Duration)
	for page, err := range l.pages(ctx, storage.Query{Stream: kindsStream}) {
		if err != nil {
			return nil, fmt.Errorf("read max ages: %w", err)
		}
		for i := range page.Records {
			e, err := page.Records[i].Event()
			if err != nil {
				return nil, fmt.Errorf("read max ages: %w", err)
			}
			var set maxAge
			if err := json.Unmarshal(e.Data, &set); err != nil || e.Type != typeKindMaxAge {
				return nil, event.Errorf(event.ErrFormat, "read max ages: event %s is not known", e.ID)
			}
			ages[set.Kind] = time.Duration(set.Seconds) * time.Second
			if set.Seconds == 0 {
				delete(ages, set.Kind)
			}
		}
	}
	return ages, nil
}

// Expire truncates every stream of a kind with a max age up to its first event that is young enough. It returns how
// many streams it truncated.
func (l *Log) Expire(ctx context.Context, by event.Actor) (int, error) {
	ages, err := l.MaxAges(ctx)
	if err != nil {
		return 0, err
	}
	truncated := 0
	for _, kind := range slices.Sorted(maps.Keys(ages)) {
		cutoff := event.Micros(l.clock.Now().Add(-ages[kind]))
		for after := (event.StreamID{}); ; {
			streams, err := l.store.Streams(ctx, storage.StreamQuery{Kind: kind, After: after, Limit: 256})
			if err != nil || len(streams) == 0 {
				if err != nil {
					return truncated, fmt.Errorf("expire kind %s: %w", kind, err)
				}
				break
			}
			for _, s := range streams {
				done, err := l.expireStream(ctx, by, s, cutoff)
				if err != nil {
					return truncated, err
				}
				truncated += done
				after = s.Stream
			}
		}
	}
	return truncated, nil
}

func (l *Log) expireStream(ctx context.Context, by event.Actor, s storage.StreamState, cutoff int64) (int, error) {
	before := max(s.Truncated, 1)
	for page, err := range l.pages(ctx, storage.Query{Stream: s.Stream, From: uint64(before)}) {
		if err != nil {
			return 0, fmt.Errorf("expire %s: %w", s.Stream, err)
		}
		for i := range page.Records {
			if page.Records[i].Recorded >= cutoff {
				return l.truncateIfFurther(ctx, by, s, before)
			}
			before = page.Records[i].Version + 1
		}
	}
	return l.truncateIfFurther(ctx, by, s, before)
}

func (l *Log) truncateIfFurther(ctx context.Context, by event.Actor, s storage.StreamState, before event.Version,
) (int, error) {
	if before <= max(s.Truncated, 1) {
		return 0, nil
	}
	return 1, l.Truncate(ctx, by, s.Stream, before)
}
