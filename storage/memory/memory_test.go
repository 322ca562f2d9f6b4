package memory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/storagetest"
)

func engine(t testing.TB) *storagetest.Engine {
	s := memory.Open(memory.Options{Indexed: storagetest.Indexed()})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &storagetest.Engine{
		Store:  s,
		Reopen: func(testing.TB) {},
		Dump:   func(testing.TB) [][]byte { return s.Dump() },
		Bytes: func(testing.TB) (sum int64) {
			for _, b := range s.Dump() {
				sum += int64(len(b))
			}
			return sum
		},
	}
}

func TestConformance(t *testing.T) { storagetest.Run(t, engine) }

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, engine) }

func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func item(id string) storagetest.Item {
	return storagetest.Item{Stream: event.Stream("application", id), Draft: event.Draft{Type: "Noted"}}
}

func head(t *testing.T, s storage.Store) storage.Head {
	t.Helper()
	h, err := s.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return h
}

func page(t *testing.T, s storage.Store, q storage.Query) storage.Page {
	t.Helper()
	q.Limit = 10_000
	p, err := s.Page(t.Context(), q)
	if err != nil {
		t.Fatalf("page: %v", err)
	}
	return p
}

func TestOpenMintsIdentityFromRand(t *testing.T) {
	indexed := []string{"b", "a", "b"}
	one := head(t, memory.Open(memory.Options{Rand: seeded(1), Indexed: indexed}))
	same := head(t, memory.Open(memory.Options{Rand: seeded(1), Indexed: indexed}))
	other := head(t, memory.Open(memory.Options{Rand: seeded(2)}))
	if diff := cmp.Diff(one, same); diff != "" {
		t.Errorf("two stores of one seed differ (-first +second):\n%s", diff)
	}
	if one.Store == other.Store || one.Incarnation == other.Incarnation || one.Secret == other.Secret {
		t.Error("stores of two seeds share id, incarnation or secret")
	}
	if diff := cmp.Diff([]string{"a", "b"}, one.Indexed); diff != "" {
		t.Errorf("indexed keys (-want +got):\n%s", diff)
	}
}

func TestOpenPanicsWhenRandRunsDry(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a store was opened without randomness")
		}
	}()
	memory.Open(memory.Options{Rand: bytes.NewReader(make([]byte, 47))})
}

// faulty is a store that fails with err at one step while armed.
type faulty struct {
	*memory.Store
	step string
	err  error
}

func openFaulty() *faulty {
	f := &faulty{}
	f.Store = memory.Open(memory.Options{Fail: func(op string) error {
		if op == f.step {
			return f.err
		}
		return nil
	}})
	return f
}

func TestFailBeforeAnythingChanged(t *testing.T) {
	f := openFaulty()
	r := storagetest.Append(t, f, item("a"), item("b"))[0]
	before := page(t, f, storage.Query{})
	f.err = event.Errorf(event.ErrFull, "write page: no room")
	for step, call := range map[string]func() error{
		memory.OpCommit: func() error { return appendTo(t.Context(), f, item("a")) },
		memory.OpPage: func() error {
			_, err := f.Page(t.Context(), storage.Query{Limit: 1})
			return err
		},
		memory.OpRewrite: func() error {
			return f.Rewrite(t.Context(), 0, []storage.Edit{{Position: r.Position, ID: r.ID, Leaf: r.Leaf}})
		},
		memory.OpAdvance: func() error {
			_, err := f.Advance(t.Context(), "relay", storage.Checkpoint{}, storage.Checkpoint{})
			return err
		},
	} {
		f.step = step
		if err := call(); err != f.err { //nolint:errorlint // the hook's own value
			t.Errorf("%s with a fault returned %v", step, err)
		}
		f.step = ""
		if diff := cmp.Diff(before, page(t, f, storage.Query{})); diff != "" {
			t.Errorf("%s with a fault changed the log (-before +after):\n%s", step, diff)
		}
	}
	if all, err := f.Checkpoints(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("checkpoints after a fault: %v, %v", all, err)
	}
	for range 2 { // the store goes on
		storagetest.Append(t, f, item("a"))
	}
}

func TestFailAfterCommitIsUnknownAndIn(t *testing.T) {
	f := openFaulty()
	storagetest.Append(t, f, item("a"))
	f.step, f.err = memory.OpCommitAck, errors.New("connection reset")
	err := appendTo(t.Context(), f, item("a"))
	if !errors.Is(err, event.ErrUnknown) || !errors.Is(err, f.err) || event.Code(err) != "unknown_outcome" {
		t.Errorf("commit that was not acknowledged: %v", err)
	}
	f.step = ""
	if got := page(t, f, storage.Query{}); len(got.Records) != 2 || head(t, f).Position != 2 {
		t.Errorf("the log holds %d events after a commit that was not acknowledged", len(got.Records))
	}
	if err := f.Wait(t.Context(), 1); err != nil {
		t.Errorf("wait for a commit that was not acknowledged: %v", err)
	}
}

func TestFailIsNotAskedForNothing(t *testing.T) {
	f := openFaulty()
	f.step, f.err = memory.OpCommit, errors.New("asked")
	_, err := f.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		return storage.Batch{}, nil
	})
	if err != nil {
		t.Errorf("commit of nothing: %v", err)
	}
}

// appendTo commits one event at version 2 of its stream, or whatever comes next.
func appendTo(ctx context.Context, s storage.Store, it storagetest.Item) error {
	p := storage.Probe{Streams: []event.StreamID{it.Stream}}
	_, err := s.Commit(ctx, p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		id := event.ID{0: 0xaa, 15: byte(h.Position + 1)}
		return storage.Batch{Records: []storage.Record{{
			Position: h.Position + 1, ID: id, Stream: it.Stream, Version: f.Streams[0].Version + 1,
			Type: it.Draft.Type, Body: event.AppendBody(nil, &it.Draft),
		}}}, nil
	})
	return err
}

func TestCommitRefusesBodyThatDoesNotDecode(t *testing.T) {
	s := memory.Open(memory.Options{})
	_, err := s.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		return storage.Batch{Records: []storage.Record{{
			Position: 1, ID: event.ID{1}, Stream: event.Stream("a", "1"), Version: 1, Type: "T", Body: []byte{1, 0},
		}}}, nil
	})
	if !errors.Is(err, storage.ErrRefused) || !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("commit of a body that does not decode: %v", err)
	}
}

func TestPageLooksAtBoundedPart(t *testing.T) {
	s := memory.Open(memory.Options{})
	list := make([]storagetest.Item, 5000)
	for i := range list {
		list[i] = item(fmt.Sprint(i % 3))
	}
	storagetest.Append(t, s, list...)
	for _, backward := range []bool{false, true} {
		q := storage.Query{Filter: event.Filter{{Types: []string{"none"}}}, Backward: backward}
		if p := page(t, s, q); p.Done || p.Scanned == 0 || len(p.Records) > 0 {
			t.Errorf("a page of 5000 places without a match is done %t at %d", p.Done, p.Scanned)
		}
	}
}

func TestReadersGoOnWhileCommitDecides(t *testing.T) {
	s := memory.Open(memory.Options{})
	storagetest.Append(t, s, item("a"))
	_, err := s.Commit(t.Context(), storage.Probe{}, func(h storage.Head, _ storage.Found) (storage.Batch, error) {
		if got := page(t, s, storage.Query{}); got.Head != h.Position {
			t.Errorf("a page within decide answers as of %d, not %d", got.Head, h.Position)
		}
		return storage.Batch{}, nil
	})
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
}
