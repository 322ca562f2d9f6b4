package storagetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// narrow commits a batch of items with fences, and returns the head after it.
func narrow(t testing.TB, s storage.Store, fences []storage.Fence, items ...Item) storage.Head {
	t.Helper()
	head, err := s.Commit(t.Context(), probe(items), func(h storage.Head, f storage.Found) (storage.Batch, error) {
		b := storage.Batch{Fences: fences}
		if len(items) > 0 {
			b = batch(h, f, items)
			b.Fences = fences
		}
		return b, nil
	})
	if err != nil {
		t.Fatalf("commit with fences: %v", err)
	}
	return head
}

// fencesAfter walks the fences above a number, with pages of about limit, each of which holds whole numbers.
func fencesAfter(t testing.TB, s storage.Store, after uint64, limit int) (all []storage.Fence) {
	t.Helper()
	for {
		page, err := s.Fences(t.Context(), after, limit)
		if err != nil {
			t.Fatalf("fences: %v", err)
		}
		if n := len(page); n > limit && page[limit-1].Number != page[n-1].Number {
			t.Fatalf("a page of %d holds %d fences, up to number %d", limit, n, page[n-1].Number)
		}
		all = append(all, page...)
		if len(page) < limit {
			break
		}
		after = page[len(page)-1].Number
	}
	return all
}

// FencesKept holds that a batch with fences raises the head's fence by one and stores them under that number, that
// other batches leave it as it is, and that they are listed in order, with pages of any size, and durable.
func FencesKept(t *testing.T, open Open) {
	e := open(t)
	same(t, "fences of a new store", 0, len(fencesAfter(t, e.Store, 0, 1)))
	a, b := event.KRID{1}, event.KRID{0xff, 15: 1}
	given := [][]storage.Fence{
		{{Position: 1}},
		{
			{KRID: b, Position: 2, Number: 77}, {KRID: a, Position: math.MaxInt64}, {KRID: a, Position: 2},
			{KRID: a, Position: 2},
		},
		{{}},
		{{KRID: a, Position: 3}, {Position: 3}},
	}
	var want []storage.Fence
	for i, fences := range given {
		before := slices.Clone(fences)
		head := narrow(t, e.Store, fences, item(event.SystemKind, "policy"))
		same(t, "fences after they were given", before, fences)
		same(t, "the head's fence", uint64(i+1), head.Fence)
		same(t, "the head", head, read(t, e.Store).Head)
		for _, f := range fences {
			f.Number = uint64(i + 1)
			want = append(want, f)
		}
		Append(t, e.Store, items(2)...)
		set(t, e.Store, storage.StreamState{Stream: event.Stream("a", "b"), Truncated: event.Version(i)})
	}
	same(t, "the head's fence", uint64(5), narrow(t, e.Store, []storage.Fence{{KRID: b}}).Fence) // alone, without records
	want = append(want, storage.Fence{Number: 5, KRID: b})
	slices.SortFunc(want, storage.Fence.Compare)
	want = slices.Compact(want)
	scribbleFences(given...)
	for range 2 {
		same(t, "the head's fence", uint64(5), read(t, e.Store).Head.Fence)
		for after := range uint64(7) {
			above := slices.DeleteFunc(slices.Clone(want), func(f storage.Fence) bool { return f.Number <= after })
			for _, limit := range []int{1, 2, 3, 100, math.MaxInt} {
				got := fencesAfter(t, e.Store, after, limit)
				if !slices.Equal(above, got) {
					t.Errorf("fences above %d, by %d: %v instead of %v", after, limit, got, above)
				}
				scribbleFences(got)
			}
		}
		same(t, "fences above all", 0, len(fencesAfter(t, e.Store, math.MaxUint64, 1)))
		e.Reopen(t)
	}
	fencesRefused(t, e.Store)
}

func scribbleFences(all ...[]storage.Fence) {
	for _, fences := range all {
		for i := range fences {
			fences[i] = storage.Fence{Number: 99}
		}
	}
}

// fencesRefused holds that a batch that is refused leaves no fence, that a rewrite under an old fence is a conflict,
// and that a sealed log gets none.
func fencesRefused(t *testing.T, s storage.Store) {
	r := Append(t, s, items(1)...)[0]
	before, fences := read(t, s), fencesAfter(t, s, 0, 100)
	still := func(what string) {
		t.Helper()
		unchanged(t, s, before)
		same(t, "fences after "+what, fences, fencesAfter(t, s, 0, 100))
	}
	list := []Item{item(event.SystemKind, "policy")}
	boom := errors.New("boom")
	_, err := s.Commit(t.Context(), probe(list), func(h storage.Head, f storage.Found) (storage.Batch, error) {
		return storage.Batch{Fences: []storage.Fence{{}}}, boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("commit: %v", err)
	}
	still("a batch that was not decided")
	_, err = s.Commit(t.Context(), probe(list), func(h storage.Head, f storage.Found) (storage.Batch, error) {
		b := batch(h, f, list)
		b.Records[0].Version++
		b.Fences = []storage.Fence{{}}
		return b, nil
	})
	if !errors.Is(err, storage.ErrRefused) {
		t.Errorf("commit of a wrong version: %v", err)
	}
	still("a batch that was refused")
	if err := s.Rewrite(t.Context(), before.Head.Fence-1, []storage.Edit{edit(r)}); !errors.Is(err, event.ErrConflict) {
		t.Errorf("rewrite under the fence before: %v", err)
	}
	still("a rewrite")
	if err := s.Rewrite(t.Context(), before.Head.Fence, nil); err != nil {
		t.Errorf("rewrite under the fence: %v", err)
	}
	for _, limit := range []int{0, -1} {
		if _, err := s.Fences(t.Context(), 0, limit); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("fences with limit %d: %v", limit, err)
		}
	}
	life := storage.Life{State: storage.Moving, Place: "/there"}
	become(t, s, life)
	before = read(t, s)
	_, err = s.Commit(t.Context(), storage.Probe{}, give(storage.Batch{Fences: []storage.Fence{{}}}))
	if !errors.Is(err, storage.ErrRefused) {
		t.Errorf("fence of a sealed log: %v", err)
	}
	still("a fence of a sealed log")
}

// FencesInherited holds that a copy takes over fences with their numbers, page by page and again, and that the head's
// fence is never lowered.
func FencesInherited(t *testing.T, open Open) {
	e := open(t)
	inherit := func(upTo uint64, fences ...storage.Fence) error {
		return e.Store.InheritFences(t.Context(), upTo, fences)
	}
	if err := inherit(9, storage.Fence{Number: 3}); !errors.Is(err, event.ErrConflict) {
		t.Errorf("inherit fences in a live store: %v", err)
	}
	same(t, "the head's fence", uint64(0), read(t, e.Store).Head.Fence)
	h := heritage()
	adopt(t, e.Store, h)
	list := []storage.Fence{
		{Number: 1, Position: 4}, {Number: 5, KRID: event.KRID{1}, Position: 6}, {Number: 5, KRID: event.KRID{2}},
		{Number: h.Fence + 2, Position: math.MaxInt64},
	}
	want := h.Fence
	for i, step := range []struct {
		upTo   uint64
		fences []storage.Fence
	}{{1, list[:1]}, {h.Fence, list[2:3]}, {h.Fence + 5, list}, {h.Fence + 2, list[1:]}, {h.Fence + 9, nil}, {0, nil}} {
		if err := inherit(step.upTo, step.fences...); err != nil {
			t.Fatalf("inherit fences up to %d: %v", step.upTo, err)
		}
		want = max(want, step.upTo)
		same(t, fmt.Sprint("the head's fence after step ", i), want, read(t, e.Store).Head.Fence)
		e.Reopen(t)
		same(t, "the head's fence", want, read(t, e.Store).Head.Fence)
	}
	same(t, "fences", list, fencesAfter(t, e.Store, 0, 1))
	for _, bad := range []uint64{0, 3, math.MaxUint64} {
		if err := inherit(2, storage.Fence{Number: 2}, storage.Fence{Number: bad}); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("inherit fence %d up to 2: %v", bad, err)
		}
	}
	same(t, "fences", list, fencesAfter(t, e.Store, 0, 100))
	become(t, e.Store, storage.Life{})
	same(t, "the fence after those inherited", want+1, narrow(t, e.Store, []storage.Fence{{}}).Fence)
	if err := inherit(want + 9); !errors.Is(err, event.ErrConflict) {
		t.Errorf("inherit fences in a live store: %v", err)
	}
}
