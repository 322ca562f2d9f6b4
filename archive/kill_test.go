package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/archive"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

func contains(err error, sentence string) bool {
	return err != nil && strings.Contains(err.Error(), sentence)
}

func equalLives(t testing.TB, name string, want, got content) {
	t.Helper()
	if diff := cmp.Diff(want.Head.Life, got.Head.Life); diff != "" {
		t.Errorf("%s: life (-before +after):\n%s", name, diff)
	}
	equal(t, want, got)
}

func set(t testing.TB, s storage.Store, l storage.Life) {
	t.Helper()
	_, err := s.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		return storage.Batch{Life: &l}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// altered gives one record other than it is.
type altered struct {
	storage.Store
	at    event.Position
	alter func(*storage.Record)
}

func (a *altered) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	p, err := a.Store.Page(ctx, q)
	for i := range p.Records {
		if p.Records[i].Position == a.at {
			a.alter(&p.Records[i])
		}
	}
	return p, err
}

var errKilled = errors.New("killed")

// victim is the stores of a copy whose process is killed at a call: that one, and all after it, fail, before they do
// anything or, late, after the one did it.
type victim struct {
	calls atomic.Int64 // still to be made
	late  bool
}

// call makes a call, if the process is still there.
func call[T any](v *victim, do func() (T, error)) (T, error) {
	var none T
	left := v.calls.Add(-1)
	if left < 0 && (left < -1 || !v.late) {
		return none, errKilled
	}
	got, err := do()
	if left < 0 {
		return none, errKilled
	}
	return got, err
}

// mortal is a store of a victim. Its pages are short, so that a copy has many steps.
type mortal struct {
	storage.Store
	*victim
}

func (m *mortal) Head(ctx context.Context) (storage.Head, error) {
	return call(m.victim, func() (storage.Head, error) { return m.Store.Head(ctx) })
}

func (m *mortal) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error)) (storage.Head, error) {
	return call(m.victim, func() (storage.Head, error) { return m.Store.Commit(ctx, p, decide) })
}

func (m *mortal) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	q.Limit = min(q.Limit, 100)
	return call(m.victim, func() (storage.Page, error) { return m.Store.Page(ctx, q) })
}

func (m *mortal) Rewrite(ctx context.Context, fence uint64, edits []storage.Edit) error {
	_, err := call(m.victim, func() (any, error) { return nil, m.Store.Rewrite(ctx, fence, edits) })
	return err
}

func (m *mortal) Tiles(ctx context.Context, ids []storage.TileID) ([][]byte, error) {
	return call(m.victim, func() ([][]byte, error) { return m.Store.Tiles(ctx, ids) })
}

func (m *mortal) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	q.Limit = min(q.Limit, 9)
	return call(m.victim, func() ([]storage.StreamState, error) { return m.Store.Streams(ctx, q) })
}

func (m *mortal) Checkpoints(ctx context.Context) ([]storage.NamedCheckpoint, error) {
	return call(m.victim, func() ([]storage.NamedCheckpoint, error) { return m.Store.Checkpoints(ctx) })
}

func (m *mortal) Tokens(ctx context.Context) ([]storage.Token, error) {
	return call(m.victim, func() ([]storage.Token, error) { return m.Store.Tokens(ctx) })
}

func (m *mortal) Adopt(ctx context.Context, h storage.Head) error {
	_, err := call(m.victim, func() (any, error) { return nil, m.Store.Adopt(ctx, h) })
	return err
}

func (m *mortal) Inherit(ctx context.Context, c []storage.NamedCheckpoint, tokens []storage.Token) error {
	_, err := call(m.victim, func() (any, error) { return nil, m.Store.Inherit(ctx, c, tokens) })
	return err
}

func (m *mortal) InheritFences(ctx context.Context, upTo uint64, fences []storage.Fence) error {
	_, err := call(m.victim, func() (any, error) { return nil, m.Store.InheritFences(ctx, upTo, fences) })
	return err
}

func (m *mortal) Fences(ctx context.Context, after uint64, limit int) ([]storage.Fence, error) {
	return call(m.victim, func() ([]storage.Fence, error) { return m.Store.Fences(ctx, after, min(limit, 2)) })
}

// TestCopyKilled kills a copy at each of its calls, before and after the call took effect. Then at most one store is
// live, life goes on in a source that still is, and copying again gives a whole copy.
func TestCopyKilled(t *testing.T) {
	for _, late := range []bool{false, true} {
		for n := int64(0); ; n++ {
			if !killedAt(t, n, late) {
				if n < 30 {
					t.Errorf("a copy takes %d calls only", n)
				}
				break
			}
		}
	}
}

// killedAt tells whether the copy was killed before it was done.
func killedAt(t *testing.T, n int64, late bool) bool {
	t.Helper()
	from, to := inMemory(t), inMemory(t)
	l := newLife(t, uint64(n), from)
	l.goOn(60)
	v := &victim{late: late}
	v.calls.Store(n)
	o := archive.CopyOptions{Place: "/to"}
	_, err := archive.Copy(t.Context(), &mortal{from, v}, &mortal{to, v}, o)
	if err == nil {
		return false
	}
	if !errors.Is(err, errKilled) {
		t.Fatalf("killed at call %d: %v", n, err)
	}
	source, target := read(t, from), read(t, to)
	copied := target.Head.Store == source.Head.Store
	switch sealed := source.Head.Life.Sealed(); {
	case !sealed && copied && target.Head.Life.State == storage.Live:
		t.Fatalf("killed at call %d: both stores are live", n)
	case !sealed:
		l.goOn(20) // truncations among it, of what was copied
	case event.Code(l.append(1)) == "":
		t.Fatalf("killed at call %d: the source is sealed, but was appended to", n)
	case target.Head.Life.State == storage.Filling:
		if _, err := log.Open(t.Context(), to, log.Options{}); event.Code(err) != "incomplete_copy" {
			t.Fatalf("killed at call %d: the copy opens: %v", n, err)
		}
	}
	want := read(t, from)
	if _, err := archive.Copy(t.Context(), from, to, o); err != nil {
		t.Fatalf("killed at call %d, copied again: %v", n, err)
	}
	lives(t, from, storage.Life{State: storage.Moved, Place: "/to"})
	lives(t, to, storage.Life{})
	equal(t, want, read(t, to))
	return true
}

// TestCopyKilledFolder does the same to folders, some of the calls.
func TestCopyKilledFolder(t *testing.T) {
	for n := int64(2); n < 50; n += 11 {
		from, to := inFolder(t), inFolder(t)
		newLife(t, uint64(n), from).goOn(60)
		want := read(t, from)
		v := &victim{late: n%2 == 0}
		v.calls.Store(n)
		o := archive.CopyOptions{Place: "/to"}
		_, err := archive.Copy(t.Context(), &mortal{from, v}, &mortal{to, v}, o)
		if !errors.Is(err, errKilled) && err != nil {
			t.Fatalf("killed at call %d: %v", n, err)
		}
		copyTo(t, from, to, "/to")
		equal(t, want, read(t, to))
		usable(t, to)
	}
}

// TestCopyOfBusySource copies a store that is appended to, truncated, followed and used meanwhile: what was
// acknowledged is in the copy, what was truncated is gone from it.
func TestCopyOfBusySource(t *testing.T) {
	from, to := inMemory(t), inFolder(t)
	newLife(t, 1, from).goOn(400)
	var busy sync.WaitGroup
	var acknowledged sync.Map
	turns := make(chan struct{}, 400) // work goes on as the copy does
	for n := range 4 {
		l := newLife(t, uint64(n), from)
		busy.Go(func() {
			for i := range 1_000_000 {
				<-turns
				drafts := []event.Draft{{Type: "T", Data: []byte(`{}`)}}
				w := log.Write{Stream: l.stream(), Expected: event.Any, Events: drafts}
				res, err := l.log.Append(t.Context(), &log.Request{Writes: []log.Write{w}})
				if err == nil {
					acknowledged.Store(res.Events[0].ID, res.Events[0])
				}
				if i%3 == 0 && err == nil {
					err = l.log.Truncate(t.Context(), event.Actor{}, l.stream(), event.Version(2+l.rand.IntN(60)))
				}
				if i%5 == 0 && err == nil {
					err = l.advance(fmt.Sprint("busy", n))
				}
				if mustHead(t, from).Life.Sealed() {
					return
				}
				if err != nil && !errors.Is(err, event.ErrInvalid) && !errors.Is(err, event.ErrClosed) &&
					!errors.Is(err, event.ErrNotFound) {
					t.Errorf("work on the source: %v", err)
					return
				}
			}
		})
	}
	slow := &working{Store: from, turns: turns}
	if _, err := archive.Copy(t.Context(), slow, to, archive.CopyOptions{Place: "/to"}); err != nil {
		t.Fatal(err)
	}
	close(turns)
	busy.Wait()
	got := read(t, to)
	placed := map[event.ID]storage.Record{}
	for _, r := range got.Records {
		placed[r.ID] = r
	}
	acknowledged.Range(func(id, at any) bool {
		if r := placed[id.(event.ID)]; r.Position != at.(log.Placed).Position || r.Version != at.(log.Placed).Version {
			t.Errorf("an acknowledged event at %d is at %d in the copy", at.(log.Placed).Position, r.Position)
		}
		return true
	})
	usable(t, to) // finishes truncations
	newLife(t, 1, from)
	source := read(t, from)
	got = read(t, to)
	got.Records = got.Records[:len(source.Records)] // one was appended
	if diff := cmp.Diff(source.Records, got.Records, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("records, truncated ones among them (-source +copy):\n%s", diff)
	}
	if diff := cmp.Diff(source.Checkpoints, got.Checkpoints); diff != "" {
		t.Errorf("checkpoints (-source +copy):\n%s", diff)
	}
}

func mustHead(t testing.TB, s storage.Store) storage.Head {
	h, err := s.Head(t.Context())
	if err != nil {
		t.Error(err)
	}
	return h
}

// working lets others work between the pages that are read of it.
type working struct {
	storage.Store
	turns chan<- struct{}
}

func (w *working) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	q.Limit = min(q.Limit, 100)
	for range 30 {
		select {
		case w.turns <- struct{}{}:
		default:
		}
	}
	return w.Store.Page(ctx, q)
}
