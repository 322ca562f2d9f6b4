package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// item is one event of a log in which streams, types and relations of very different frequency mix.
func item(r *rand.Rand, n int) storagetest.Item {
	return storagetest.Item{
		Stream: event.Stream("note", fmt.Sprint(r.IntN(40))),
		Draft: event.Draft{
			Type: fmt.Sprintf("Type%d", r.IntN(3)),
			Relations: []event.Relation{
				{Role: "issuer", Kind: "employee", ID: fmt.Sprint(r.IntN(5))},
				{Role: "owner", Kind: "employee", ID: fmt.Sprint(r.IntN(5))},
				{Role: "affected", Kind: "rare", ID: fmt.Sprint(n / 500)},
			},
		},
	}
}

// walk gives the positions of all pages of a query.
func walk(t testing.TB, s storage.Log, q storage.Query) (found []event.Position) {
	t.Helper()
	for {
		page, err := s.Page(context.Background(), q)
		if err != nil {
			t.Error(err)
			return nil
		}
		for i := range page.Records {
			found = append(found, page.Records[i].Position)
		}
		if page.Done {
			return found
		}
		q.From = page.Scanned + 1
		if q.Backward {
			q.From = page.Scanned - 1
		}
	}
}

// check compares what the index answers with a scan that rechecks every event, up to a head.
func check(t testing.TB, s storage.Log, r *rand.Rand) {
	t.Helper()
	head, err := s.Head(context.Background())
	if err != nil {
		t.Error(err)
		return
	}
	if head.Position == 0 {
		return // a query to position 0 is one to the end, which may grow
	}
	end := uint64(head.Position)
	employee := event.Relation{
		Role: []string{"", "issuer", "owner"}[r.IntN(3)], Kind: "employee", ID: fmt.Sprint(r.IntN(5)),
	}
	filter := event.Filter{
		{Types: []string{fmt.Sprintf("Type%d", r.IntN(3)), "Type0"}, Relations: []event.Relation{employee}},
		{Stream: event.Stream("note", fmt.Sprint(r.IntN(40)))},
		{Relations: []event.Relation{{Kind: "rare", ID: fmt.Sprint(r.IntN(6))}}},
	}
	var want []event.Position
	for page := (storage.Page{}); !page.Done; {
		page, err = s.Page(context.Background(), storage.Query{From: page.Scanned + 1, To: end, Limit: 500})
		if err != nil {
			t.Error(err)
			return
		}
		for i := range page.Records {
			if e, err := page.Records[i].Event(); err != nil {
				t.Error(err)
			} else if filter.Matches(&e) {
				want = append(want, e.Position)
			}
		}
	}
	got := walk(t, s, storage.Query{Filter: filter, To: end, Limit: 1 + r.IntN(700)})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("at head %d the index differs from a scan:\n%s", head.Position, diff)
	}
}

func checkUntil(done <-chan struct{}, t testing.TB, s storage.Log, r *rand.Rand) {
	for {
		select {
		case <-done:
			return
		default:
			check(t, s, r)
		}
	}
}

// TestMergesStayExact grows a log through every level of merging, with readers that compare index and scan all the
// while, and opens it anew in between.
func TestMergesStayExact(t *testing.T) {
	dir := t.TempDir()
	options := sqlite.Options{Flush: 7}
	const seed = 11
	r := rand.New(rand.NewPCG(seed, seed))
	for round := range 4 {
		s := open(t, dir, options)
		done := make(chan struct{})
		var readers sync.WaitGroup
		for reader := range 2 {
			mine := rand.New(rand.NewPCG(uint64(round), uint64(reader)))
			readers.Go(func() { checkUntil(done, t, s, mine) })
		}
		for n := range 250 {
			items := make([]storagetest.Item, 1+r.IntN(6))
			for i := range items {
				items[i] = item(r, round*1000+n*4+i)
			}
			storagetest.Append(t, s, items...)
		}
		close(done)
		readers.Wait()
		check(t, s, r)
		if levels := sqlite.LevelsForTest(s); round == 3 && (levels[1] == 0 || levels[2] == 0) {
			t.Errorf("segments by level %v: the log should have gone through every level", levels)
		}
		if round == 2 {
			if err := s.Reindex(t.Context()); err != nil {
				t.Fatal(err)
			}
			check(t, s, r)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLongLists has lists that go over many rows, and walks them in both directions from every place.
func TestLongLists(t *testing.T) {
	s := open(t, t.TempDir(), sqlite.Options{Flush: 5000})
	defer s.Close()
	var items []storagetest.Item
	for n := range 12_000 {
		items = append(items, storagetest.Item{Stream: event.Stream("note", "one"), Draft: event.Draft{
			Type: "Noted", Relations: []event.Relation{
				{Role: "issuer", Kind: "employee", ID: "1"}, {Role: "owner", Kind: "employee", ID: "1"},
				{Role: "affected", Kind: "note", ID: fmt.Sprint(n % 2)},
			},
		}})
	}
	for part := range 12 {
		storagetest.Append(t, s, items[part*1000:(part+1)*1000]...)
	}
	owner := event.Filter{{Relations: []event.Relation{{Role: "owner", Kind: "employee", ID: "1"}}}}
	even := event.Filter{{Relations: []event.Relation{{Kind: "employee", ID: "1"}, {Kind: "note", ID: "0"}}}}
	for from := uint64(1); from <= 12_000; from += 997 {
		if got := walk(t, s, storage.Query{Filter: owner, From: from, Limit: 900}); len(got) != 12_000-int(from)+1 {
			t.Errorf("from %d forward: %d events", from, len(got))
		}
		if got := walk(t, s, storage.Query{Filter: owner, From: from, Backward: true, Limit: 900}); len(got) != int(from) {
			t.Errorf("from %d backward: %d events", from, len(got))
		}
		every2nd := (12_000 - int(from) + 1 + int(from%2)) / 2
		if got := walk(t, s, storage.Query{Filter: even, From: from, Limit: 900}); len(got) != every2nd {
			t.Errorf("every second from %d: %d events", from, len(got))
		}
		page, err := s.Page(t.Context(), storage.Query{Stream: event.Stream("note", "one"), From: from, Limit: 1})
		if err != nil || len(page.Records) != 1 || uint64(page.Records[0].Version) != from {
			t.Errorf("version %d: %v, %v", from, page.Records, err)
		}
	}
}

func TestReindexOnNewKeys(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{Flush: 7})
	var items []storagetest.Item
	for n := range 100 {
		items = append(items, storagetest.Item{Stream: event.Stream("note", "a"),
			Draft: event.Draft{Type: "Noted", Metadata: map[string]string{"branch": fmt.Sprint(n % 3)}}})
	}
	storagetest.Append(t, s, items...)
	north := storage.Query{Filter: event.Filter{{Metadata: map[string]string{"branch": "1"}}}, Limit: 10}
	if _, err := s.Page(t.Context(), north); event.Code(err) != "not_indexed" {
		t.Errorf("got %v, want not_indexed", err)
	}
	s.Close()
	for range 2 { // the second time without naming the key: the store remembers
		s = open(t, dir, sqlite.Options{Flush: 7, Indexed: []string{"branch"}})
		if got := walk(t, s, north); len(got) != 33 {
			t.Errorf("%d events, want 33", len(got))
		}
		s.Close()
	}
	s = open(t, dir, sqlite.Options{Flush: 7})
	defer s.Close()
	if got := walk(t, s, north); len(got) != 33 {
		t.Errorf("%d events, want 33", len(got))
	}
}

func TestHeld(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{Address: "http://127.0.0.1:7070"})
	_, err := sqlite.Open(t.Context(), dir, nil)
	if !errors.Is(err, event.ErrHeld) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) ||
		!strings.Contains(err.Error(), "http://127.0.0.1:7070") {
		t.Errorf("got %v, want ErrHeld with holder and address", err)
	}
	storagetest.Append(t, s, storagetest.Item{Stream: event.Stream("note", "a"), Draft: event.Draft{Type: "T"}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, sqlite.Options{})
	defer s.Close()
	if head, err := s.Head(t.Context()); err != nil || head.Position != 1 {
		t.Errorf("head %+v, %v", head, err)
	}
}

// TestForeignFiles are refused, and left as they are.
func TestForeignFiles(t *testing.T) {
	for name, script := range map[string]string{
		"another program's file": "CREATE TABLE t (a); PRAGMA application_id = 77; PRAGMA user_version = 1;",
		"an unmarked file":       "CREATE TABLE t (a);",
		"a newer format":         "CREATE TABLE t (a); PRAGMA application_id = 1818588264; PRAGMA user_version = 99;",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "events.db")
		if err := sqlite.ScriptForTest(path, script); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		_, err := sqlite.Open(t.Context(), dir, nil)
		if !errors.Is(err, event.ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
		after, _ := os.ReadFile(path)
		if string(before) != string(after) {
			t.Errorf("%s was changed", name)
		}
	}
	dir := t.TempDir()
	garbage := []byte(strings.Repeat("not a database ", 1000))
	if err := os.WriteFile(filepath.Join(dir, "events.db"), garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("garbage: got %v, want ErrCorrupt", err)
	}
}

// TestSettings reads back, through a connection of its own in another process, what the file itself keeps.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{})
	defer s.Close()
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1", "page_size": "4096",
	} {
		if got, err := sqlite.PragmaForTest(s, name); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	if _, err := exec.LookPath("cp"); err != nil {
		t.Errorf("the tests copy live files with cp: %v", err)
	}
}
