package lethetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

func cursorsKept(t *testing.T, r *rig) {
	ctx, cursors := t.Context(), r.Cursors()
	zero, err := cursors.Checkpoint(ctx, "totals")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "never stored", storage.Checkpoint{}, zero)
	first, err := cursors.Advance(ctx, "totals", zero, storage.Checkpoint{Cursor: r.Cursor(3), Note: []byte{0, 255}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "stored", storage.Checkpoint{Revision: 1, Cursor: r.Cursor(3), Note: []byte{0, 255}}, first)
	second, err := cursors.Advance(ctx, "totals", first, storage.Checkpoint{Cursor: r.Cursor(9)})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []storage.Checkpoint{zero, first, {Revision: 7}} {
		_, err := cursors.Advance(ctx, "totals", from, storage.Checkpoint{Cursor: r.Cursor(4)})
		fails(t, fmt.Sprint("from revision ", from.Revision), err, event.ErrConflict, "conflict")
	}
	if _, err := cursors.Advance(ctx, "relay", zero, storage.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	all, err := cursors.Checkpoints(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []storage.NamedCheckpoint{{Follower: "relay", Checkpoint: storage.Checkpoint{Revision: 1}},
		{Follower: "totals", Checkpoint: second}}
	same(t, "by name", want, all)
}

func headMoves(t *testing.T, r *rig) {
	before := r.head(t)
	if before.Position != 0 || before.Store == (event.StoreID{}) || before.Incarnation == 0 || len(before.Lineage) != 1 {
		t.Errorf("an empty log: %+v", before)
	}
	same(t, "indexed keys", Indexed(), before.Indexed)
	r.append(t, stream("1"), drafts("A", 3)...)
	if err := r.session.CloseStream(t.Context(), stream("1")); err != nil {
		t.Fatal(err)
	}
	after := r.head(t)
	if after.Position != 4 || after.System != 4 || len(after.Frontier) == 0 || after.Secret != [32]byte{} {
		t.Errorf("after 4 events: at %d, system at %d, frontier of %d bytes; the secret is never told",
			after.Position, after.System, len(after.Frontier))
	}
	same(t, "identity", before.Identity, after.Identity)
	want := event.Cursor{Store: before.Store, Incarnation: before.Incarnation, Position: 4}
	same(t, "cursor", want, r.Cursor(4))
}

func verified(t *testing.T, r *rig) {
	r.append(t, stream("1"), drafts("A", 2000)...)
	if err := r.session.TruncateStream(t.Context(), stream("1"), 11); err != nil {
		t.Fatal(err)
	}
	var last event.Position
	report, err := r.Verify(t.Context(), func(done, head event.Position) {
		if done < last || head != 2001 {
			t.Errorf("progress went from %d to %d of %d", last, done, head)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() || report.Events != 2001 || report.Pruned != 10 || report.Tiles != 7 || last != 2001 {
		t.Errorf("the report says %+v, progress ended at %d", report, last)
	}
	again, err := r.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "verified again", report, again)
}

func sizesTold(t *testing.T, r *rig) {
	r.append(t, stream("1"), large("A", 100_000))
	sizes, err := r.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]int64{}
	var sum int64
	for _, s := range sizes {
		parts[s.Part] = s.Bytes
		sum += s.Bytes
	}
	for _, part := range []string{"events", "ids", "streams", "postings", "tiles", "free", "wal", "other"} {
		if n, ok := parts[part]; !ok || n < 0 {
			t.Errorf("part %s is told: %t, %d bytes", part, ok, n)
		}
	}
	if sum < 100_000 {
		t.Errorf("all parts take %d bytes, less than what was appended", sum)
	}
}

func importKeyKept(t *testing.T, r *rig) {
	key, err := r.ImportKey(t.Context())
	if err != nil || key == [32]byte{} {
		t.Fatalf("got no key: %v", err)
	}
	if again, err := r.ImportKey(t.Context()); err != nil || again != key {
		t.Errorf("the key changed: %v", err)
	}
}

// calls are all calls of a store, each of which would do something if it could.
func calls(r *rig) map[string]func(ctx context.Context) error {
	s := r.session
	return map[string]func(ctx context.Context) error{
		"Append": func(ctx context.Context) error {
			_, err := s.Append(ctx, stream("1"), event.Any, draft("A"))
			return err
		},
		"AppendEach": func(ctx context.Context) error {
			return s.AppendEach(ctx, []log.Request{request(write(stream("1"), event.Any, draft("A")))})[0].Err
		},
		"Read":  func(ctx context.Context) error { return failure(s.Read(ctx, stream("1"), lethe.Range{})) },
		"Query": func(ctx context.Context) error { return failure(s.Query(ctx, lethe.Query{})) },
		"Event": func(ctx context.Context) error {
			_, err := s.Event(ctx, id(1))
			return err
		},
		"Subscribe": func(ctx context.Context) error { return failure(s.Subscribe(ctx, nil, event.Cursor{})) },
		"Head": func(ctx context.Context) error {
			_, err := r.Head(ctx)
			return err
		},
		"Streams": func(ctx context.Context) error {
			_, err := r.Streams(ctx, storage.StreamQuery{Limit: 1})
			return err
		},
		"MaxAges": func(ctx context.Context) error {
			_, err := r.MaxAges(ctx)
			return err
		},
		"CloseStream":    func(ctx context.Context) error { return s.CloseStream(ctx, stream("1")) },
		"TruncateStream": func(ctx context.Context) error { return s.TruncateStream(ctx, stream("1"), 2) },
		"SetMaxAge":      func(ctx context.Context) error { return s.SetMaxAge(ctx, "application", 0) },
		"Expire": func(ctx context.Context) error {
			_, err := s.Expire(ctx)
			return err
		},
		"Checkpoint": func(ctx context.Context) error {
			_, err := r.Cursors().Checkpoint(ctx, "totals")
			return err
		},
		"Advance": func(ctx context.Context) error {
			_, err := r.Cursors().Advance(ctx, "totals", storage.Checkpoint{}, storage.Checkpoint{})
			return err
		},
		"Checkpoints": func(ctx context.Context) error {
			_, err := r.Cursors().Checkpoints(ctx)
			return err
		},
		"Sizes": func(ctx context.Context) error {
			_, err := r.Sizes(ctx)
			return err
		},
		"Verify": func(ctx context.Context) error {
			_, err := r.Verify(ctx, nil)
			return err
		},
	}
}

// contextEnded: a call whose context has ended does nothing and says so.
func contextEnded(t *testing.T, r *rig) {
	r.append(t, stream("1"), withID(1, "A"), draft("A"))
	r.unchanged(t, "calls without a context", func() {
		for name, call := range calls(r) {
			if err := call(ended(t)); !errors.Is(err, context.Canceled) || errors.Is(err, event.ErrUnknown) {
				t.Errorf("%s with an ended context: %v", name, err)
			}
		}
	})
}

// closeEnds: nothing works after Close, which may be repeated.
func closeEnds(t *testing.T, r *rig) {
	r.append(t, stream("1"), withID(1, "A"), draft("A"))
	following := make(chan error)
	go func() {
		for batch, err := range r.session.Batches(t.Context(), nil, event.Cursor{}) {
			if err != nil || batch.Live {
				following <- err
			}
		}
	}()
	if err := <-following; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if err := <-following; !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a subscription when the store closed: %v", err)
	}
	for name, call := range calls(r) {
		if err := call(t.Context()); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}
