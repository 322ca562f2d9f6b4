package keystest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// groups of the suite's entries.
var groups = [...]string{"contact", "finance", "identity"}

// use is the i-th use, of some persons.
func use(i int, krids ...event.KRID) storage.Use {
	u := storage.Use{
		At: 1_700_000_000_000_000 + int64(i), Actor: event.Actor{Kind: "employee", ID: event.ActorID(fmt.Sprint(i % 3))},
		Purpose: fmt.Sprint("purpose ", i%2), Reason: fmt.Sprint("ticket ", i), Code: "report 1",
	}
	for n, k := range krids {
		first := event.Position(i*10 + n + 1)
		u.Entries = append(u.Entries, storage.UseEntry{
			KRID: k, Group: groups[(i+n)%len(groups)], Count: uint32(n + 1), First: first, Last: first + 5,
		})
	}
	return u
}

func record(t testing.TB, s storage.Keystore, uses ...storage.Use) {
	t.Helper()
	if err := s.RecordUses(t.Context(), uses); err != nil {
		t.Fatalf("record uses: %v", err)
	}
}

func prune(t testing.TB, s storage.Keystore, before int64, want int) {
	t.Helper()
	n, err := s.PruneUses(t.Context(), before)
	if err != nil {
		t.Fatalf("prune uses: %v", err)
	}
	same(t, fmt.Sprintf("uses pruned before %d", before), want, n)
}

// numbered is how uses come back that are recorded after the last number.
func numbered(last int, uses ...storage.Use) []storage.Use {
	out := make([]storage.Use, len(uses))
	for i, u := range uses {
		u.Number, u.Entries = uint64(last+i+1), slices.Clone(u.Entries)
		if u.Canonical(); len(u.Words) == 0 {
			u.Words = nil
		}
		out[i] = u
	}
	return out
}

// UsesDurable holds that uses come back as they were recorded, numbered without a gap in the order of commits, all of
// a call or none.
func UsesDurable(t *testing.T, open Open) {
	e := open(t)
	a, b := person(), person()
	full := storage.Use{
		Number: 99, At: math.MinInt64, Actor: event.Actor{Kind: "ünï", ID: "x/y z"}, Purpose: "p",
		Reason: "ticket 7", Words: []byte{0, 255}, Code: "report 1.0", Entries: []storage.UseEntry{
			{KRID: b, Group: "z", Count: math.MaxUint32, First: 1, Last: math.MaxInt64},
			{KRID: a, Group: "", First: 7, Last: 7},
			{KRID: b, Group: "a", Count: 1, First: 3, Last: 4},
			{KRID: a, Group: "z", Count: 2, First: 5, Last: 9},
			{KRID: a, Group: "z", Count: 3, First: 4, Last: 6}, // of the same person and group: one entry is kept
		},
	}
	bare := storage.Use{At: math.MaxInt64, Purpose: "p", Words: []byte{}, Entries: []storage.UseEntry{{KRID: a}}}
	record(t, e.Keys, full, bare)
	record(t, e.Keys)
	record(t, e.Keys, use(1, a, b), use(2, b), use(1, a, b))
	want := numbered(0, full, bare, use(1, a, b), use(2, b), use(1, a, b))
	merged := storage.UseEntry{KRID: a, Group: "z", Count: 5, First: 4, Last: 9}
	if !slices.Contains(want[0].Entries, merged) || len(want[0].Entries) != 4 {
		t.Errorf("canonical entries: %v", want[0].Entries)
	}
	slices.Reverse(want)
	for range 2 {
		same(t, "uses", want, allUses(t, e.Keys, storage.UseQuery{Limit: 2}))
		e.Reopen(t)
	}
	for name, spoil := range map[string]func(u *storage.Use){
		"no purpose":  func(u *storage.Use) { u.Purpose = "" },
		"no entries":  func(u *storage.Use) { u.Entries = nil },
		"nobody":      func(u *storage.Use) { u.Entries[1].KRID = event.KRID{} },
		"no position": func(u *storage.Use) { u.Entries[1].Last = u.Entries[1].First - 1 },
	} {
		bad := use(3, a, b)
		spoil(&bad)
		if err := e.Keys.RecordUses(t.Context(), []storage.Use{use(3, a), bad}); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("record a use with %s: %v", name, err)
		}
		same(t, "uses after one with "+name, want, allUses(t, e.Keys, storage.UseQuery{Limit: 9}))
	}
	recordTogether(t, e)
}

// recordTogether holds that the numbers of many goroutines' uses have no gap, and that uses of one call stay together.
func recordTogether(t *testing.T, e *Engine) {
	k := person()
	var wait sync.WaitGroup
	for caller := range 8 {
		wait.Go(func() {
			for round := range 10 {
				u := use(caller*10+round, k)
				u.Purpose = "together"
				if err := e.Keys.RecordUses(t.Context(), []storage.Use{u, u, u}); err != nil {
					t.Errorf("record uses: %v", err)
				}
			}
		})
	}
	wait.Wait()
	e.Reopen(t)
	all := allUses(t, e.Keys, storage.UseQuery{KRID: k, Limit: 7})
	if len(all) != 240 {
		t.Fatalf("%d of 240 uses were recorded", len(all))
	}
	seen := map[string]int{}
	for i, u := range all {
		if want := uint64(5 + 240 - i); u.Number != want || u.Reason != all[i/3*3].Reason {
			t.Fatalf("use %d is numbered %d, for %q", want, u.Number, u.Reason)
		}
		seen[u.Reason]++
	}
	same(t, "callers and rounds", 80, len(seen))
}

// allUses walks page by page to the end, newest first.
func allUses(t testing.TB, s storage.Keystore, q storage.UseQuery) (all []storage.Use) {
	t.Helper()
	for {
		page, err := s.PageUses(t.Context(), q)
		if err != nil {
			t.Fatalf("page uses: %v", err)
		}
		all = append(all, page.Uses...)
		if page.Done {
			return all
		}
		if page.Scanned == 0 || q.Before != 0 && page.Scanned >= q.Before || len(page.Uses) > q.Limit {
			t.Fatalf("page of %+v has %d uses and came to %d", q, len(page.Uses), page.Scanned)
		}
		for _, u := range page.Uses {
			if u.Number < page.Scanned {
				t.Fatalf("page of %+v came to %d and holds use %d", q, page.Scanned, u.Number)
			}
		}
		q.Before = page.Scanned
	}
}

// found is what a query must find of all uses.
func found(uses []storage.Use, q storage.UseQuery) (want []storage.Use) {
	for _, u := range slices.Backward(uses) {
		u.Entries = slices.DeleteFunc(slices.Clone(u.Entries), func(e storage.UseEntry) bool {
			return !q.KRID.IsZero() && e.KRID != q.KRID
		})
		if len(u.Entries) > 0 && (q.Actor.IsZero() || u.Actor == q.Actor) &&
			(q.Purpose == "" || u.Purpose == q.Purpose) && (q.Before == 0 || u.Number < q.Before) {
			want = append(want, u)
		}
	}
	return want
}

// queries are questions of every kind about uses that were made by use of these persons.
func queries(krids []event.KRID, last uint64) (all []storage.UseQuery) {
	alike := krids[0] // shares the first half with a person
	alike[15]++
	nobody := event.KRID{1}
	for _, k := range []event.KRID{{}, krids[0], krids[len(krids)-1], alike, nobody} {
		for _, actor := range []event.Actor{{}, {Kind: "employee", ID: "1"}, {Kind: "employee", ID: "9"}} {
			for _, purpose := range []string{"", "purpose 1", "purpose 9"} {
				for _, before := range []uint64{0, 1, last / 2, last + 9, math.MaxUint64} {
					all = append(all, storage.UseQuery{KRID: k, Actor: actor, Purpose: purpose, Before: before})
				}
			}
		}
	}
	return all
}

func checkQueries(t *testing.T, s storage.Keystore, uses []storage.Use, krids []event.KRID) {
	t.Helper()
	last := uint64(0)
	if n := len(uses); n > 0 {
		last = uses[n-1].Number
	}
	for i, q := range queries(krids, last) {
		want := found(uses, q)
		q.Limit = []int{1, 3, 1000}[i%3]
		if got := allUses(t, s, q); !slices.EqualFunc(want, got, equal) {
			t.Errorf("uses of %+v: %d found instead of %d", q, len(got), len(want))
		}
	}
}

func equal(a, b storage.Use) bool {
	return a.Number == b.Number && a.At == b.At && a.Actor == b.Actor && a.Purpose == b.Purpose &&
		a.Reason == b.Reason && string(a.Words) == string(b.Words) && a.Code == b.Code &&
		slices.Equal(a.Entries, b.Entries)
}

// UsesFound holds that uses are found by person, actor, purpose and number, alone and together, newest first, exactly
// and with pages of any size.
func UsesFound(t *testing.T, open Open) {
	e := open(t)
	same(t, "uses of a new keystore", 0, len(allUses(t, e.Keys, storage.UseQuery{Limit: 1})))
	krids := make([]event.KRID, 12)
	for i := range krids {
		krids[i] = person()
		copy(krids[i][:], krids[i/2*2][:8]) // two share the first half
	}
	var uses []storage.Use
	for i := range e.uses() {
		u := use(i, krids[i%5], krids[i%7], krids[(i+i/50)%11])
		record(t, e.Keys, u)
		uses = append(uses, numbered(i, u)...)
		if (i+1)%(e.uses()/3) == 0 {
			checkQueries(t, e.Keys, uses, krids)
		}
	}
	e.Reopen(t)
	checkQueries(t, e.Keys, uses, krids)
	for _, limit := range []int{0, -1} {
		if _, err := e.Keys.PageUses(t.Context(), storage.UseQuery{Limit: limit}); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("page with limit %d: %v", limit, err)
		}
	}
}

// UsesPruned holds that exactly what was recorded before a time goes, that nothing else is lost, and that numbers go
// on.
func UsesPruned(t *testing.T, open Open) {
	e := open(t)
	krids := []event.KRID{person(), person(), person()}
	var uses []storage.Use
	for i := range e.uses() {
		u := use(i, krids[i%3], krids[i%2])
		u.At = int64(i)
		if i%10 == 9 { // the clock was wrong
			u.At = int64(1000 + i)
		}
		record(t, e.Keys, u)
		uses = append(uses, numbered(i, u)...)
	}
	prune(t, e.Keys, math.MinInt64, 0)
	prune(t, e.Keys, 0, 0)
	for _, before := range []int64{1, int64(e.uses() / 2), int64(e.uses()), 1009, 1010} {
		left := slices.DeleteFunc(slices.Clone(uses), func(u storage.Use) bool { return u.At < before })
		prune(t, e.Keys, before, len(uses)-len(left))
		prune(t, e.Keys, before, 0)
		uses = left
		checkQueries(t, e.Keys, uses, krids)
		e.Reopen(t)
		checkQueries(t, e.Keys, uses, krids)
	}
	next := use(1, krids...)
	record(t, e.Keys, next)
	uses = append(uses, numbered(e.uses(), next)...)
	checkQueries(t, e.Keys, uses, krids)
	prune(t, e.Keys, math.MaxInt64, len(uses))
	e.Reopen(t)
	same(t, "uses after all were pruned", 0, len(allUses(t, e.Keys, storage.UseQuery{Limit: 1})))
	record(t, e.Keys, next)
	checkQueries(t, e.Keys, numbered(e.uses()+1, next), krids)
}
