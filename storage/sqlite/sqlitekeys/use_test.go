package sqlitekeys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// mark is what the first half of every KRID ends with here.
var mark = [7]byte{0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x97}

// krid is the n-th person.
func krid(n int) (k event.KRID) {
	k[0], k[15] = byte(n), 1
	copy(k[1:], mark[:])
	return k
}

// used is the n-th use, of five persons out of a hundred.
func used(n int) storage.Use {
	u := storage.Use{At: int64(n), Actor: event.Actor{Kind: "employee", ID: "1"}, Purpose: "support"}
	for i := range 5 {
		u.Entries = append(u.Entries, storage.UseEntry{KRID: krid((n*7 + i*13) % 100), Group: "contact", Count: 1})
	}
	return u
}

// record records uses from the n-th on, some at a time.
func record(t testing.TB, k *sqlitekeys.Keystore, from, to, at int) {
	t.Helper()
	for n := from; n < to; n += at {
		var uses []storage.Use
		for i := n; i < min(n+at, to); i++ {
			uses = append(uses, used(i))
		}
		if err := k.RecordUses(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	}
}

// count is how many uses of a person are found.
func count(t testing.TB, k *sqlitekeys.Keystore, of event.KRID) (n int) {
	t.Helper()
	for q := (storage.UseQuery{KRID: of, Limit: 50}); ; {
		page, err := k.PageUses(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Uses)
		if page.Done {
			return n
		}
		q.Before = page.Scanned
	}
}

// checkCounts compares what is found with all uses from the n-th on.
func checkCounts(t testing.TB, k *sqlitekeys.Keystore, from, to int) {
	t.Helper()
	want := map[event.KRID]int{}
	for n := from; n < to; n++ {
		for _, e := range used(n).Entries {
			want[e.KRID]++
		}
	}
	for person := range 101 {
		if got := count(t, k, krid(person)); got != want[krid(person)] {
			t.Errorf("%d uses of person %d are found instead of %d", got, person, want[krid(person)])
		}
	}
}

// TestIndexMerged holds that segments are merged level by level, also when the keystore is opened again in between, and
// that pruning leaves them as they are found.
func TestIndexMerged(t *testing.T) {
	dir, options := t.TempDir(), sqlitekeys.Options{Flush: 20}
	k := open(t, dir, options)
	const uses = 1200 // about 400 segments of three uses
	for n := 0; n < uses; n += uses / 4 {
		record(t, k, n, n+uses/4, 1)
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		k = open(t, dir, options)
	}
	levels := sqlitekeys.LevelsForTest(k)
	if levels[1] == 0 || levels[2] == 0 || levels[0] > 40 {
		t.Errorf("segments by level: %v", levels)
	}
	checkCounts(t, k, 0, uses)
	removed, err := k.PruneUses(t.Context(), uses/2)
	if err != nil || removed != uses/2 {
		t.Errorf("%d uses are pruned: %v", removed, err)
	}
	checkCounts(t, k, uses/2, uses)
	record(t, k, uses, uses+300, 1)
	checkCounts(t, k, uses/2, uses+300)
	if now := sqlitekeys.LevelsForTest(k); now[2] < levels[2] {
		t.Errorf("segments by level: %v after %v", now, levels)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

// endAfter is a context that ends when it was asked so many times.
type endAfter struct {
	context.Context
	left int
}

func (c *endAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestPruneCutOff cuts pruning off at every step: what is found is right then, with the same keystore and one that is
// opened again, and the next call finishes it, so that no byte of a person who was pruned is left.
func TestPruneCutOff(t *testing.T) {
	const uses = 300
	for step := 0; ; step++ {
		dir, options := t.TempDir(), sqlitekeys.Options{Flush: 64}
		k := open(t, dir, options)
		record(t, k, 0, uses, 30)
		removed, err := k.PruneUses(&endAfter{t.Context(), step}, uses)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("step %d: %v", step, err)
		}
		if got := count(t, k, krid(0)); (got == 0) != (removed == uses) {
			t.Errorf("step %d: %d uses were pruned and %d of one person are found", step, removed, got)
		}
		record(t, k, uses, uses+40, 9)
		if step%2 == 0 {
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			k = open(t, dir, options)
		}
		rest, err2 := k.PruneUses(t.Context(), uses)
		if err2 != nil || removed+rest != uses {
			t.Errorf("step %d: %d and then %d uses were pruned: %v", step, removed, rest, err2)
		}
		checkCounts(t, k, uses, uses+40)
		if n, err := k.PruneUses(t.Context(), math.MaxInt64); err != nil || n != 40 {
			t.Errorf("step %d: %d uses were pruned: %v", step, n, err)
		}
		if _, err := k.ScrubKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, b := range files(t, dir) {
			found += bytes.Count(b, mark[:])
		}
		if found > 0 {
			t.Errorf("step %d: %d traces of persons are left", step, found)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			if step < 5 {
				t.Errorf("pruning took %d steps", step)
			}
			return
		}
	}
}

// TestUseDamaged holds that a use that cannot be read is an error, never left out.
func TestUseDamaged(t *testing.T) {
	for name, script := range map[string]string{
		"body":    "UPDATE use SET body = x'01' WHERE n = 2",
		"format":  "UPDATE use SET body = CAST(x'7f' || substr(body, 2) AS BLOB) WHERE n = 2",
		"segment": "DELETE FROM segment WHERE n = 1",
	} {
		t.Run(name, func(t *testing.T) {
			dir, options := t.TempDir(), sqlitekeys.Options{Flush: 20}
			k := open(t, dir, options)
			record(t, k, 0, 9, 1)
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			if err := sqlitekeys.ScriptForTest(filepath.Join(dir, "uses.db"), script); err != nil {
				t.Fatal(err)
			}
			k, err := sqlitekeys.Open(t.Context(), dir, &options)
			if err == nil {
				_, err = k.PageUses(t.Context(), storage.UseQuery{Limit: 100})
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			}
			if code := event.Code(err); code != "corrupt" && code != "unknown_format" {
				t.Errorf("a damaged %s is %v", name, fmt.Sprint(err))
			}
		})
	}
}
