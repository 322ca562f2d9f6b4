package wire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// same compares what came back with what was sent.
func same(t *rapid.T, want, got any, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v: %v", want, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// sent puts a message into bytes and back, as a network does.
func sent[M proto.Message](t *rapid.T, m M) M {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(body, got); err != nil {
		t.Fatal(err)
	}
	return got.(M)
}

func name() *rapid.Generator[string] { return rapid.StringMatching(`[a-z][a-z0-9_]{0,8}`) }

func stream() *rapid.Generator[event.StreamID] {
	return rapid.Custom(func(t *rapid.T) event.StreamID {
		ids := rapid.OneOf(rapid.StringMatching(`[a-z0-9/=.-]{1,9}`), rapid.StringMatching(`[a-z]{1,5}@[a-z]{1,5}\.org`))
		return event.Stream(name().Draw(t, "kind"), ids.Draw(t, "id"))
	})
}

// maybe is a value or its zero.
func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[T] {
	return rapid.OneOf(rapid.Just(*new(T)), g)
}

func id() *rapid.Generator[event.ID] {
	return rapid.Custom(func(t *rapid.T) event.ID {
		id := event.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		id[0] |= 1 // the nil UUID names no event
		return id
	})
}

func hash() *rapid.Generator[[32]byte] {
	return rapid.Custom(func(t *rapid.T) [32]byte {
		return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	})
}

func at() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return event.FromMicros(rapid.Int64Range(1, 4e15).Draw(t, "micros"))
	})
}

func relations() *rapid.Generator[[]event.Relation] {
	return maybe(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Relation {
		return event.Relation{Role: name().Draw(t, "role"), Kind: name().Draw(t, "kind"), ID: rapid.String().Draw(t, "id")}
	}), 1, 3))
}

func metadata() *rapid.Generator[map[string]string] {
	return maybe(rapid.MapOfN(name(), rapid.String(), 1, 3))
}

func draft() *rapid.Generator[event.Draft] {
	return rapid.Custom(func(t *rapid.T) event.Draft {
		d := event.Draft{
			ID: maybe(id()).Draw(t, "id"), Type: rapid.String().Draw(t, "type"),
			Schema: event.SchemaID(maybe(hash()).Draw(t, "schema")), OccurredAt: maybe(at()).Draw(t, "occurred"),
			Relations: relations().Draw(t, "relations"), Correlation: rapid.String().Draw(t, "correlation"),
			Causation: maybe(id()).Draw(t, "causation"), Traceparent: rapid.String().Draw(t, "traceparent"),
			Metadata: metadata().Draw(t, "metadata"), Collection: maybe(name()).Draw(t, "collection"),
			Producer: event.Producer{Name: rapid.String().Draw(t, "name"), Version: maybe(name()).Draw(t, "version")},
		}
		if text := maybe(rapid.StringMatching(`\{"n": ?[0-9]{1,20}\}`)).Draw(t, "data"); text != "" {
			d.Data = json.RawMessage(text)
		}
		if d.Data == nil && rapid.Bool().Draw(t, "binary") {
			d.Format, d.Data = event.Protobuf, maybe(rapid.SliceOfN(rapid.Byte(), 1, 9)).Draw(t, "message")
		}
		return d
	})
}

func filter() *rapid.Generator[event.Filter] {
	return maybe(rapid.Map(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Match {
		names := maybe(rapid.SliceOfN(name(), 1, 3))
		return event.Match{
			Types: names.Draw(t, "types"), Kinds: names.Draw(t, "kinds"), Stream: maybe(stream()).Draw(t, "stream"),
			Relations: relations().Draw(t, "relations"), Metadata: metadata().Draw(t, "metadata"),
			Correlation: rapid.String().Draw(t, "correlation"), Causation: maybe(id()).Draw(t, "causation"),
		}
	}), 1, 3), func(list []event.Match) event.Filter { return list }))
}

func position() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Uint64(), rapid.Just(uint64(0)), rapid.Just(uint64(math.MaxUint64)))
}

func TestRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := log.Request{Writes: make([]log.Write, rapid.IntRange(0, 3).Draw(t, "writes"))}
		for i := range req.Writes {
			req.Writes[i] = log.Write{
				Stream:   stream().Draw(t, "stream"),
				Expected: event.Expected(rapid.Int64Range(-1, math.MaxInt64).Draw(t, "expected")),
				Events:   rapid.SliceOfN(draft(), 0, 3).Draw(t, "events"),
			}
		}
		if rapid.Bool().Draw(t, "conditional") {
			after := event.Position(position().Draw(t, "after"))
			req.Condition = &event.Condition{Filter: filter().Draw(t, "filter"), After: after}
		}
		got, err := wire.ParseRequest(sent(t, wire.Request(&req)))
		same(t, req, got, err)
	})
}

func TestEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := event.Event{
			Position: event.Position(position().Draw(t, "position")), Stream: stream().Draw(t, "stream"),
			Version: event.Version(position().Draw(t, "version")), RecordedAt: at().Draw(t, "recorded"),
			Draft: draft().Draw(t, "draft"), Leaf: hash().Draw(t, "leaf"), Pruned: rapid.Bool().Draw(t, "pruned"),
		}
		e.Collection = "" // it is in the boxes
		if e.ID.IsZero() {
			e.ID = id().Draw(t, "id")
		}
		got, err := wire.ParseEvent(sent(t, wire.Event(&e)))
		same(t, e, got, err)
	})
}

// krid is some alias.
func krid() *rapid.Generator[event.KRID] {
	return rapid.Custom(func(t *rapid.T) event.KRID { return event.KRID(id().Draw(t, "krid")) })
}

// TestOpenedEvent has what a reader gets to see, and what is kept from him.
func TestOpenedEvent(t *testing.T) {
	reasons := rapid.SampledFrom([]event.Withholding{event.WithheldSealed, event.WithheldDenied, event.WithheldRestricted,
		event.WithheldErased, event.WithheldSuperseded})
	rapid.Check(t, func(t *rapid.T) {
		e := event.Event{Position: 1, Stream: stream().Draw(t, "stream"), RecordedAt: at().Draw(t, "recorded"),
			Draft: event.Draft{ID: id().Draw(t, "id")}, Boxes: maybe(rapid.SliceOfN(rapid.Byte(), 1, 9)).Draw(t, "boxes")}
		e.Withheld = maybe(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Withheld {
			return event.Withheld{Path: rapid.String().Draw(t, "path"), Group: name().Draw(t, "group"),
				Reason: reasons.Draw(t, "reason"), Receipt: maybe(name()).Draw(t, "receipt")}
		}), 1, 3)).Draw(t, "withheld")
		e.Names = maybe(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Name {
			return event.Name{KRID: krid().Draw(t, "krid"), Kind: name().Draw(t, "kind"), Ref: rapid.String().Draw(t, "ref")}
		}), 1, 3)).Draw(t, "names")
		got, err := wire.ParseEvent(sent(t, wire.Event(&e)))
		same(t, e, got, err)
	})
}

func TestOpening(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := event.Opening{Purpose: name().Draw(t, "purpose"), Reason: rapid.String().Draw(t, "reason"),
			Code: rapid.String().Draw(t, "code")}
		if rapid.Bool().Draw(t, "somebody") {
			s := stream().Draw(t, "actor")
			o.Actor = event.Actor{Kind: s.Kind, ID: event.ActorID(s.ID)}
		}
		got, err := wire.ParseOpening(sent(t, wire.Opening(o)))
		same(t, o, got, err)
	})
	if m := wire.Opening(event.Opening{Reason: "why"}); m != nil {
		t.Errorf("an opening without a purpose is sent as %v", m)
	}
	for _, m := range []*lethev1.Opening{nil, {}, {Actor: "nonsense", Reason: "why"}} {
		if o, err := wire.ParseOpening(m); err != nil || !o.IsZero() {
			t.Errorf("%v opens: %v, %v", m, o, err)
		}
	}
}

func TestResultAndOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := log.Result{Repeated: rapid.Bool().Draw(t, "repeated"), Events: rapid.SliceOfN(rapid.Custom(
			func(t *rapid.T) log.Placed {
				return log.Placed{ID: id().Draw(t, "id"), Stream: stream().Draw(t, "stream"),
					Position: event.Position(position().Draw(t, "position")), Version: event.Version(position().Draw(t, "version"))}
			}), 0, 3).Draw(t, "events")}
		got, err := wire.ParseResult(sent(t, wire.Result(r)))
		same(t, r, got, err)
		outcome := wire.ParseOutcome(sent(t, wire.Outcome(log.Outcome{Result: r}, wire.Error)))
		same(t, r, outcome.Result, outcome.Err)
		failed := wire.ParseOutcome(sent(t, wire.Outcome(log.Outcome{Err: event.ErrFull}, wire.Error)))
		if !errors.Is(failed.Err, event.ErrFull) {
			t.Fatal(failed.Err)
		}
	})
	if o := wire.ParseOutcome(&lethev1.Outcome{}); !errors.Is(o.Err, event.ErrUnknown) {
		t.Errorf("an outcome of nothing is %v", o)
	}
}

func TestFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := filter().Draw(t, "filter")
		got, err := wire.ParseFilter(sent(t, &lethev1.QueryRequest{Filter: wire.Filter(f)}).GetFilter())
		same(t, f, got, err)
	})
}

func TestHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := storage.Head{
			Identity: storage.Identity{
				Store: event.StoreID(id().Draw(t, "store")), Incarnation: event.Incarnation(position().Draw(t, "incarnation")),
				Indexed: maybe(rapid.SliceOfN(name(), 1, 3)).Draw(t, "indexed"), Secret: hash().Draw(t, "secret"),
			},
			Position: event.Position(position().Draw(t, "position")), System: event.Position(position().Draw(t, "system")),
			Fence: position().Draw(t, "fence"), Frontier: maybe(rapid.SliceOfN(rapid.Byte(), 1, 70)).Draw(t, "frontier"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "lives") {
			h.Lineage = append(h.Lineage, storage.Fork{Incarnation: event.Incarnation(position().Draw(t, "incarnation")),
				First: event.Position(position().Draw(t, "first"))})
		}
		m := sent(t, wire.Head(&h))
		got, err := wire.ParseHead(m)
		h.Secret = [32]byte{} // it has no place in a message
		same(t, h, got, err)
		cursor, err := event.ParseCursor(m.GetCursor())
		same(t, event.Cursor{Store: h.Store, Incarnation: h.Incarnation, Position: h.Position}, cursor, err)
	})
}

func TestCheckpointStreamStateAndReport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := storage.Checkpoint{
			Revision: position().Draw(t, "revision"), Note: maybe(rapid.SliceOfN(rapid.Byte(), 1, 9)).Draw(t, "note"),
			Cursor: event.Cursor{
				Store: event.StoreID(id().Draw(t, "store")), Position: event.Position(position().Draw(t, "at")),
			},
		}
		checkpoint, err := wire.ParseCheckpoint(sent(t, wire.Checkpoint(c)))
		same(t, c, checkpoint, err)

		s := storage.StreamState{
			Stream: stream().Draw(t, "stream"), Version: event.Version(position().Draw(t, "version")),
			Closed: rapid.Bool().Draw(t, "closed"), Truncated: event.Version(position().Draw(t, "truncated")),
			Pruned: event.Version(position().Draw(t, "pruned")),
		}
		state, err := wire.ParseStreamState(sent(t, wire.StreamState(s)))
		same(t, s, state, err)

		r := log.Report{
			Events: position().Draw(t, "events"), Pruned: position().Draw(t, "pruned"), Tiles: position().Draw(t, "tiles"),
			Root: ledger.Hash(hash().Draw(t, "root")), More: position().Draw(t, "more"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "findings") {
			r.Findings = append(r.Findings, log.Finding{Position: event.Position(position().Draw(t, "at")),
				Cause: rapid.String().Draw(t, "cause")})
		}
		report, err := wire.ParseReport(sent(t, wire.Report(&r)))
		same(t, r, report, err)
	})
}

// TestNoWords are messages that stand for no word.
func TestNoWords(t *testing.T) {
	short, long := make([]byte, 31), make([]byte, 33)
	leaf := make([]byte, 32)
	for i, parse := range []func() error{
		func() error { _, err := wire.ParseDraft(&lethev1.Draft{Id: "x"}); return err },
		func() error { _, err := wire.ParseDraft(&lethev1.Draft{Causation: "x"}); return err },
		func() error { _, err := wire.ParseDraft(&lethev1.Draft{Schema: short}); return err },
		func() error {
			_, err := wire.ParseDraft(&lethev1.Draft{Data: "{}", DataBytes: []byte{}})
			return err
		},
		func() error {
			_, err := wire.ParseEvent(&lethev1.Event{Leaf: leaf, Data: "{}", DataBytes: []byte{}})
			return err
		},
		func() error {
			_, err := wire.ParseEvent(&lethev1.Event{Leaf: leaf, Names: []*lethev1.Name{{Krid: "krid_x"}}})
			return err
		},
		func() error { _, err := wire.ParseOpening(&lethev1.Opening{Purpose: "p", Actor: "x"}); return err },
		func() error { _, err := wire.ParseEvent(&lethev1.Event{Leaf: short}); return err },
		func() error { _, err := wire.ParseEvent(&lethev1.Event{Leaf: long}); return err },
		func() error { _, err := wire.ParseEvent(&lethev1.Event{Leaf: leaf, Stream: "x"}); return err },
		func() error { _, err := wire.ParseEvents([]*lethev1.Event{{}}); return err },
		func() error { _, err := wire.ParseFilter([]*lethev1.Match{{Stream: "x"}}); return err },
		func() error { _, err := wire.ParseFilter([]*lethev1.Match{{Causation: "x"}}); return err },
		func() error { _, err := wire.ParseHead(&lethev1.HeadResponse{Store: "abc"}); return err },
		func() error { _, err := wire.ParseHead(&lethev1.HeadResponse{}); return err },
		func() error { _, err := wire.ParseCheckpoint(&lethev1.Checkpoint{Cursor: "x"}); return err },
		func() error { _, err := wire.ParseReport(&lethev1.VerifyReport{Root: short}); return err },
		func() error {
			_, err := wire.ParseResult(&lethev1.AppendResponse{Events: []*lethev1.Placed{{}}})
			return err
		},
		func() error {
			_, err := wire.ParseRequest(&lethev1.AppendRequest{Writes: []*lethev1.Write{{Stream: "a/1",
				ExpectedVersion: proto.Uint64(math.MaxUint64)}}})
			return err
		},
		func() error {
			_, err := wire.ParseRequest(&lethev1.AppendRequest{Writes: []*lethev1.Write{{Stream: ""}}})
			return err
		},
	} {
		if err := parse(); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

// TestErrors wraps errors of every class, sends them and asks of both the same questions.
func TestErrors(t *testing.T) {
	sentinels := []error{
		event.ErrInvalid, event.ErrNotFound, event.ErrConflict, event.ErrDuplicate, event.ErrClosed, event.ErrForked,
		event.ErrUnknown, event.ErrFailed, event.ErrFull, event.ErrHeld, event.ErrUnavailable, event.ErrDenied,
		event.ErrUnsupported, event.ErrFormat, event.ErrCorrupt, context.Canceled, context.DeadlineExceeded,
	}
	rapid.Check(t, func(t *rapid.T) {
		err := rapid.SampledFrom(sentinels).Draw(t, "class")
		switch rapid.IntRange(0, 5).Draw(t, "form") {
		case 0:
			err = &event.VersionConflict{Stream: stream().Draw(t, "stream"),
				Expected: event.Expected(rapid.Int64().Draw(t, "expected")), Actual: event.Version(position().Draw(t, "actual"))}
		case 1:
			err = &event.ConditionFailed{After: event.Position(position().Draw(t, "after")),
				Hit: event.Position(position().Draw(t, "hit"))}
		case 2:
			err = &event.Forked{Common: event.Position(position().Draw(t, "common"))}
		case 3:
			err = &event.Error{Sentinel: err, Code: name().Draw(t, "code"), Message: rapid.StringN(1, 9, -1).Draw(t, "message"),
				Next: rapid.String().Draw(t, "next")}
		case 4:
			err = fmt.Errorf("do that: %w", err)
		}
		got := wire.ParseError(sent(t, wire.Error(err)))
		for _, s := range sentinels {
			if errors.Is(err, s) != errors.Is(got, s) {
				t.Fatalf("%v: errors.Is(%v) is %v", err, s, errors.Is(got, s))
			}
		}
		if got.Error() != err.Error() || wire.Kind(got) != wire.Kind(err) {
			t.Fatalf("%q of %s came as %q of %s", err, wire.Kind(err), got, wire.Kind(got))
		}
		if code := event.Code(err); code != wire.KindInternal && event.Code(got) != code {
			t.Fatalf("code %s came as %s", code, event.Code(got))
		}
		sameAs[*event.VersionConflict](t, err, got)
		sameAs[*event.ConditionFailed](t, err, got)
		sameAs[*event.Forked](t, err, got)
	})
}

func sameAs[E error](t *rapid.T, want, got error) {
	t.Helper()
	var a, b E
	if errors.As(want, &a) != errors.As(got, &b) || !reflect.DeepEqual(a, b) {
		t.Fatalf("%v came as %v", a, b)
	}
}

func TestStrangeErrors(t *testing.T) {
	m := wire.Error(errors.New("secret"))
	if m.GetKind() != wire.KindInternal || m.GetCode() != wire.KindInternal || m.GetMessage() != "" {
		t.Errorf("of an unknown error is told %v", m)
	}
	newer := wire.ParseError(&lethev1.Error{Kind: "of_tomorrow", Code: "finer", Message: "it says so"})
	if event.Code(newer) != "finer" || newer.Error() != "it says so" || wire.Kind(newer) != wire.KindInternal {
		t.Errorf("a newer server's error is %v", newer)
	}
	if err := wire.ParseError(nil); err == nil || err.Error() == "" {
		t.Errorf("no error at all is %v", err)
	}
}
