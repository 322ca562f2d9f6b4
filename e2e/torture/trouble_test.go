package torture_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// troubled is a store on memory whose disk fails with err, as often as left says, at one step.
func troubled(t *testing.T, step string, err error, left *atomic.Int64) *lethe.Store {
	t.Helper()
	engine := memory.Open(memory.Options{Fail: func(op string) error {
		if op == step && left.Add(-1) >= 0 {
			return err
		}
		return nil
	}})
	store, openErr := lethe.Open(t.Context(), engine, kms.None, &lethe.Options{Clock: newStepClock(), Batch: 2})
	if openErr != nil {
		t.Fatal(openErr)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestAppendEachStops: after an error that is not a refusal, nothing behind it is appended, so that the events of a
// stream keep their order when the caller tries again (ingest.Sink).
func TestAppendEachStops(t *testing.T) {
	for _, failure := range []error{event.ErrFull, event.ErrUnavailable} {
		var left atomic.Int64
		left.Store(1)
		store := troubled(t, memory.OpCommit, failure, &left)
		var requests []log.Request
		for n := range uint32(6) {
			requests = append(requests, log.Request{Writes: []log.Write{{
				Stream: event.Stream("a", "1"), Expected: event.Any, Events: []event.Draft{ticket{run: 1, sequence: n}.draft(0)},
			}}})
		}
		outcomes := store.As(event.Actor{}).AppendEach(t.Context(), requests)
		for i, o := range outcomes {
			if o.Err == nil {
				t.Errorf("request %d was appended behind one that failed with %s", i, event.Code(failure))
			}
		}
		head, err := store.Head(t.Context())
		if err != nil || head.Position != 0 {
			t.Errorf("the head is at %d, %v; want 0", head.Position, err)
		}
	}
}

// TestTruncateAgain: a truncation that the disk interrupted can be repeated, and then is done.
func TestTruncateAgain(t *testing.T) {
	var left atomic.Int64
	store := troubled(t, memory.OpRewrite, event.ErrFull, &left)
	session, s := store.As(event.Actor{}), event.Stream("a", "1")
	for n := range uint32(3) {
		if _, err := session.Append(t.Context(), s, event.Any, ticket{run: 1, sequence: n}.draft(0)); err != nil {
			t.Fatal(err)
		}
	}
	left.Store(1)
	if err := session.TruncateStream(t.Context(), s, 3); !errors.Is(err, event.ErrFull) {
		t.Fatalf("truncate on a full disk: %v", err)
	}
	if err := session.TruncateStream(t.Context(), s, 3); err != nil {
		t.Errorf("truncate again: %v", err)
	}
	pending, err := store.Streams(t.Context(), storage.StreamQuery{Pending: true, Limit: 10})
	if err != nil || len(pending) > 0 {
		t.Errorf("truncations that are not finished: %v, %v", pending, err)
	}
}

// TestFailedStays: after a sync of unknown outcome failed the store, every later append is refused as by a failed
// store, and not of unknown outcome: nothing of it was tried, and to retry it is of no use.
func TestFailedStays(t *testing.T) {
	var left atomic.Int64
	left.Store(1 << 40)
	store := troubled(t, memory.OpCommit, errors.Join(event.ErrUnknown, event.ErrFailed), &left)
	appendOne := func() error {
		_, err := store.As(event.Actor{}).Append(t.Context(), event.Stream("a", "1"), event.Any, event.Draft{Type: "T"})
		return err
	}
	if err := appendOne(); !errors.Is(err, event.ErrUnknown) {
		t.Errorf("the append whose sync failed: %v; want ErrUnknown", err)
	}
	if err := appendOne(); !errors.Is(err, event.ErrFailed) || errors.Is(err, event.ErrUnknown) {
		t.Errorf("the next append: %v (%s); want ErrFailed and nothing else", err, event.Code(err))
	}
}

// TestExpireOrder: the same log and clock give the same log, also where several kinds expire at once.
func TestExpireOrder(t *testing.T) {
	var logs [2]string
	for i := range logs {
		w := memoryWorld(7, 0)
		if err := w.reopen(t.Context()); err != nil {
			t.Fatal(err)
		}
		session := w.store.As(event.Actor{})
		for n := range uint32(8) {
			s := event.Stream("kind"+string('a'+rune(n)), "1")
			_, err := session.Append(t.Context(), s, event.None, ticket{run: 1, sequence: n}.draft(0))
			if err = errors.Join(err, session.SetMaxAge(t.Context(), s.Kind, time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.step(time.Minute)
		if n, err := session.Expire(t.Context()); n != 8 || err != nil {
			t.Fatalf("expire: %d, %v; want 8", n, err)
		}
		logs[i] = w.everything(t.Context())
	}
	if diff := cmp.Diff(logs[0], logs[1]); diff != "" {
		t.Error(diff)
	}
}
