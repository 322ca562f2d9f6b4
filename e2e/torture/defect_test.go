package torture_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// TestModel: the model accepts what can be, and finds illegal what cannot.
func TestModel(t *testing.T) {
	s := event.Stream("a", "1")
	write := func(from, to int64, x event.Expected, n uint32, a answer) porcupine.Operation {
		return porcupine.Operation{Call: from, Return: to,
			Input: &call{do: actAppend, stream: s, expected: x, add: []uint32{n}}, Output: &a}
	}
	guarded := func(from, to int64, last, n uint32, a answer) porcupine.Operation {
		op := write(from, to, event.Any, n, a)
		op.Input.(*call).guarded, op.Input.(*call).last = true, last
		return op
	}
	read := func(from, to int64, list ...uint32) porcupine.Operation {
		return porcupine.Operation{Call: from, Return: to, Input: &call{do: actRead, stream: s},
			Output: &answer{list: pack("", list...)}}
	}
	ok := func(v event.Version) answer { return answer{outcome: done, version: v} }
	first := write(1, 2, event.None, 1, ok(1))
	lost := write(3, 1<<60, event.Any, 2, answer{outcome: unknown})
	tests := []struct {
		name  string
		legal bool
		ops   []porcupine.Operation
	}{
		{"append and read", true, []porcupine.Operation{first, read(3, 4, 1)}},
		{"read beside an append", true, []porcupine.Operation{first, read(1, 4)}},
		{"conflict", true, []porcupine.Operation{first, write(3, 4, event.None, 2, answer{outcome: conflict, actual: 1})}},
		{"failed condition", true, []porcupine.Operation{first, guarded(3, 4, none, 2, answer{outcome: hit})}},
		{"unknown and done", true, []porcupine.Operation{first, lost, read(4, 5, 1, 2)}},
		{"unknown and done later", true, []porcupine.Operation{first, lost, read(4, 5, 1), read(6, 7, 1, 2)}},
		{"unknown and not done", true, []porcupine.Operation{first, lost, read(4, 5, 1)}},
		{"lost append", false, []porcupine.Operation{first, read(3, 4)}},
		{"doubled append", false, []porcupine.Operation{first, read(3, 4, 1, 1)}},
		{"stale read", false, []porcupine.Operation{first, write(3, 4, event.Any, 2, ok(2)), read(5, 6, 1)}},
		{"reads that go back", false, []porcupine.Operation{first, lost, read(4, 5, 1, 2), read(6, 7, 1)}},
		{"reordered read", false, []porcupine.Operation{first, write(3, 4, event.Any, 2, ok(2)), read(5, 6, 2, 1)}},
		{"two at one version", false, []porcupine.Operation{first, write(1, 3, event.None, 2, ok(1))}},
		{"version that skips", false, []porcupine.Operation{first, write(3, 4, event.Any, 2, ok(3))}},
		{"conflict without cause", false, []porcupine.Operation{first,
			write(3, 4, event.At(1), 2, answer{outcome: conflict, actual: 1})}},
		{"condition that was overlooked", false, []porcupine.Operation{first, guarded(3, 4, none, 2, ok(2))}},
		{"event nobody wrote", false, []porcupine.Operation{first, read(3, 4, 1, 9)}},
	}
	for _, test := range tests {
		want := porcupine.Illegal
		if test.legal {
			want = porcupine.Ok
		}
		if got := porcupine.CheckOperationsTimeout(streamModel(), test.ops, time.Minute); got != want {
			t.Errorf("%s: %s, want %s", test.name, got, want)
		}
	}
}

// broken is an engine with a defect.
type broken struct {
	storage.Store
	commit     func(b *broken, h *storage.Head, f *storage.Found)
	lie        func(n int64) bool // whether the n-th commit is only pretended
	page       func(q storage.Query, p *storage.Page)
	checkpoint func(c *storage.Checkpoint)
	commits    *atomic.Int64
}

func (b *broken) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	lied := errors.New("the batch was thrown away")
	n := b.commits.Add(1)
	head, err := b.Store.Commit(ctx, p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		if b.commit != nil {
			b.commit(b, &h, &f)
		}
		batch, err := decide(h, f)
		if err == nil && b.lie != nil && b.lie(n) {
			err = lied
		}
		return batch, err
	})
	if errors.Is(err, lied) {
		return head, nil
	}
	return head, err
}

func (b *broken) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	page, err := b.Store.Page(ctx, q)
	if err == nil && b.page != nil && len(page.Records) > 0 {
		b.page(q, &page)
	}
	return page, err
}

func (b *broken) Checkpoint(ctx context.Context, follower string) (storage.Checkpoint, error) {
	c, err := b.Store.Checkpoint(ctx, follower)
	if err == nil && b.checkpoint != nil {
		b.checkpoint(&c)
	}
	return c, err
}

// defects are engines that break a promise each.
func defects() map[string]broken {
	last := func(p *storage.Page) int { return len(p.Records) - 1 }
	filtered := func(q storage.Query) bool { return len(q.Filter) > 0 }
	return map[string]broken{
		"acknowledges a commit it does not make": {lie: func(n int64) bool { return n == 9 }},
		"overlooks conditions": {commit: func(_ *broken, _ *storage.Head, f *storage.Found) {
			clear(f.Hits)
		}},
		"overlooks the newest version": {commit: func(_ *broken, _ *storage.Head, f *storage.Found) {
			for i := range f.Streams {
				f.Streams[i].Version = max(f.Streams[i].Version, 1) - 1
			}
		}},
		"hides the last event of a page": {page: func(_ storage.Query, p *storage.Page) { p.Records = p.Records[:last(p)] }},
		"hides an event from the index": {page: func(q storage.Query, p *storage.Page) {
			if filtered(q) {
				p.Records = slices.DeleteFunc(p.Records, func(r storage.Record) bool { return r.Position == 7 })
			}
		}},
		"gives an event twice": {page: func(q storage.Query, p *storage.Page) {
			if filtered(q) {
				p.Records = append(p.Records, p.Records[last(p)])
			}
		}},
		"gives events out of order": {page: func(q storage.Query, p *storage.Page) {
			if n := last(p); n > 0 {
				p.Records[n], p.Records[n-1] = p.Records[n-1], p.Records[n]
			}
		}},
		"changes what it keeps": {page: func(_ storage.Query, p *storage.Page) {
			for _, r := range p.Records {
				if r.Position == 5 && len(r.Body) > 0 {
					r.Body[len(r.Body)-2]++
				}
			}
		}},
		"puts followers ahead": {checkpoint: func(c *storage.Checkpoint) {
			if c.Revision > 0 {
				c.Cursor.Position++
			}
		}},
		"sets followers back": {checkpoint: func(c *storage.Checkpoint) {
			c.Cursor.Position -= min(c.Cursor.Position, 3)
		}},
	}
}

// attempts bounds how long a checker may look for a defect.
const attempts = 40

// TestDefects breaks the engine under each checker: a checker that finds nothing is the defect.
func TestDefects(t *testing.T) {
	from := seed(t)
	found := &strings.Builder{}
	all := defects()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		defect := all[name]
		n, what := hunt(func(n int) error { return brokenHistory(t, defect, chance(from, n)) })
		if what == nil {
			t.Errorf("an engine that %s passes %d histories", name, attempts)
		}
		fmt.Fprintf(found, "\n%-40s history %2d: %.90q", name, n+1, fmt.Sprint(what))
		if defect.checkpoint != nil {
			continue // programmes have no followers
		}
		n, what = hunt(func(n int) error { return brokenProgramme(t.Context(), defect, n) })
		if what == nil {
			t.Errorf("an engine that %s passes %d programmes", name, attempts)
		}
		fmt.Fprintf(found, "\n%-40s programme %2d: %.90q", name, n+1, fmt.Sprint(what))
	}
	n, what := hunt(func(n int) error { return liarKilled(t, chance(from, n)) })
	if what == nil {
		t.Errorf("a process that acknowledges before it commits passes %d kills", attempts)
	}
	fmt.Fprintf(found, "\n%-40s kill %2d: %.90q", "acknowledges before it commits", n+1, fmt.Sprint(what))
	t.Logf("defects and what found them:%s", found)
}

// hunt tries until a checker finds something.
func hunt(try func(n int) error) (n int, found error) {
	for n = range attempts {
		if err := try(n); err != nil {
			return n, err
		}
	}
	return n, nil
}

func brokenHistory(t *testing.T, defect broken, random *rand.Rand) error {
	defect.Store, defect.commits = memory.Open(memory.Options{}), new(atomic.Int64)
	b := bed{
		name: "memory", open: func() (storage.Store, error) { return kept{&defect}, nil }, patience: 5 * time.Second,
	}
	return runHistory(t, b, newHistory(random.Uint64()), random)
}

func brokenProgramme(ctx context.Context, defect broken, n int) error {
	p := rapid.Custom(drawProgramme).Example(n)
	other := memoryWorld(p.seed, p.batch)
	sound, err := other.open()
	if err != nil {
		return err
	}
	defect.Store, defect.commits = sound, new(atomic.Int64)
	other.name, other.open = "broken", func() (storage.Store, error) { return &defect, nil }
	return p.compare(ctx, memoryWorld(p.seed, p.batch), other)
}

func liarKilled(t *testing.T, random *rand.Rand) error {
	o := order{mode: "liar", dir: t.TempDir(), run: 1, flush: 64}
	a := newAccount()
	if err := o.killed(t.Context(), a, 1+random.IntN(50), time.Minute); err != nil {
		t.Fatal(err)
	}
	return a.settle(t.Context(), o.dir, o.flush)
}
