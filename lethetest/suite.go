package lethetest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// Indexed are the metadata keys that the suite's stores declare.
func Indexed() []string { return []string{"branch", "channel"} }

// RunStore holds a store to everything package lethe promises. open gives a new empty store whose log tells the time by
// clock and whose engine indexes Indexed(), and closes it when the test ends. Its sessions may do everything.
func RunStore(t *testing.T, open func(t *testing.T, clock event.Clock) *lethe.Store) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			clock := NewClock()
			store := open(t, clock)
			c.run(t, &rig{Store: store, session: store.As(clerk()), clock: clock})
		})
	}
}

// rig is a store under test and who uses it.
type rig struct {
	*lethe.Store
	session *lethe.Session
	clock   *Clock
}

type storeCase struct {
	name string
	run  func(t *testing.T, r *rig)
}

func cases() []storeCase {
	return []storeCase{
		{"AppendPlaces", appendPlaces},
		{"AppendExpects", appendExpects},
		{"AppendRepeated", appendRepeated},
		{"AppendCondition", appendCondition},
		{"AppendAtomic", appendAtomic},
		{"AppendInvalid", appendInvalid},
		{"AppendLarge", appendLarge},
		{"AppendKeepsDrafts", appendKeepsDrafts},
		{"AppendConcurrent", appendConcurrent},
		{"AppendRace", appendRace},
		{"EachOutcome", eachOutcome},
		{"EachLarge", eachLarge},
		{"SessionFills", sessionFills},
		{"DataExact", dataExact},
		{"EnvelopeExact", envelopeExact},
		{"NamesLegal", namesLegal},
		{"ReadRanges", readRanges},
		{"ReadLong", readLong},
		{"ReadLarge", readLarge},
		{"ReadOwnWrites", readOwnWrites},
		{"PageWalk", pageWalk},
		{"PageRefused", pageRefused},
		{"QueryExact", queryExact},
		{"QueryTimes", queryTimes},
		{"QueryLong", queryLong},
		{"QueryRefused", queryRefused},
		{"EventFound", eventFound},
		{"SubscribeLive", subscribeLive},
		{"SubscribeResumes", subscribeResumes},
		{"SubscribeBatches", subscribeBatches},
		{"SubscribeRefused", subscribeRefused},
		{"StreamClosed", streamClosed},
		{"StreamTruncated", streamTruncated},
		{"MaxAge", maxAge},
		{"StreamsListed", streamsListed},
		{"CursorsKept", cursorsKept},
		{"HeadMoves", headMoves},
		{"Verified", verified},
		{"SizesTold", sizesTold},
		{"ImportKeyKept", importKeyKept},
		{"ContextEnded", contextEnded},
		{"CloseEnds", closeEnds},
	}
}

func clerk() event.Actor { return event.Actor{Kind: "employee", ID: "7"} }

func stream(id string) event.StreamID { return event.Stream("application", id) }

func draft(typ string) event.Draft { return event.Draft{Type: typ} }

// drafts are n events of one type.
func drafts(typ string, n int) []event.Draft {
	list := make([]event.Draft, n)
	for i := range list {
		list[i] = draft(typ)
	}
	return list
}

func write(s event.StreamID, x event.Expected, list ...event.Draft) log.Write {
	return log.Write{Stream: s, Expected: x, Events: list}
}

func request(writes ...log.Write) log.Request { return log.Request{Writes: writes} }

func (r *rig) append(t *testing.T, s event.StreamID, list ...event.Draft) log.Result {
	t.Helper()
	res, err := r.session.Append(t.Context(), s, event.Any, list...)
	if err != nil {
		t.Fatalf("append to %s: %v", s, err)
	}
	return res
}

// all is the whole log, Lethe's own events and what is left of truncated ones included.
func (r *rig) all(t *testing.T) []event.Event {
	t.Helper()
	return collect(t, r.session.Query(t.Context(), lethe.Query{Pruned: true}))
}

func collect(t *testing.T, events iter.Seq2[event.Event, error]) (all []event.Event) {
	t.Helper()
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// failure is the error a loop over events ends with.
func failure(events iter.Seq2[event.Event, error]) (last error) {
	for _, err := range events {
		last = err
	}
	return last
}

func versions(events []event.Event) []event.Version {
	list := []event.Version{}
	for _, e := range events {
		list = append(list, e.Version)
	}
	return list
}

func positions(events []event.Event) []event.Position {
	list := []event.Position{}
	for _, e := range events {
		list = append(list, e.Position)
	}
	return list
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sentinels are the classes of errors, of which every error has one.
func sentinels() []error {
	return []error{
		event.ErrInvalid, event.ErrNotFound, event.ErrConflict, event.ErrDuplicate, event.ErrClosed, event.ErrForked,
		event.ErrUnknown, event.ErrFailed, event.ErrFull, event.ErrHeld, event.ErrUnavailable, event.ErrDenied,
		event.ErrUnsupported, event.ErrFormat, event.ErrCorrupt,
	}
}

// fails holds that an error is of one class and no other, and has a code.
func fails(t *testing.T, what string, err, class error, code string) {
	t.Helper()
	if got := event.Code(err); got != code {
		t.Errorf("%s: code %q, want %q (%v)", what, got, code, err)
	}
	for _, s := range sentinels() {
		if is := errors.Is(err, s); is != (s == class) {
			t.Errorf("%s: errors.Is(err, %v) is %t (%v)", what, s, is, err)
		}
	}
}

// unchanged holds that nothing was appended while do ran.
func (r *rig) unchanged(t *testing.T, what string, do func()) {
	t.Helper()
	before := r.head(t)
	do()
	if after := r.head(t); after.Position != before.Position {
		t.Errorf("%s: the log went from %d to %d", what, before.Position, after.Position)
	}
}

func (r *rig) head(t *testing.T) storage.Head {
	t.Helper()
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return head
}

// ended is a context that has ended.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
