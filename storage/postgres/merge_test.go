package postgres_test

import (
	"fmt"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// TestMergeLeavesNothingBehind merges segments to the second level, finds everything by the index afterwards, and
// deletes what a merge left behind that a crash cut off.
func TestMergeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	address := pgtest.Place(t)
	s := open(t, address, postgres.Options{Flush: 2, Clock: newQuiet()}) // which merges nothing by itself
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, schema := connect(t, address)
	exec := func(text string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(text, schema)); err != nil {
			t.Fatal(err)
		}
	}
	const rounds, each = 33, 16
	for n := range rounds * each {
		storagetest.Append(t, s, said(n%7, n))
		if n == each*rounds/2 {
			exec(`INSERT INTO %s.run VALUES (1000000, 0, 1, 1, 'left')`)
		}
	}
	for more := true; more; {
		var err error
		if more, err = postgres.MergeForTest(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	var segments, top, orphans int
	err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT count(*), max(level),
		(SELECT count(*) FROM %[1]s.run WHERE segment NOT IN (SELECT n FROM %[1]s.segment)) FROM %[1]s.segment`, schema)).
		Scan(&segments, &top, &orphans)
	if err != nil || segments > 32 || top != 2 || orphans != 0 {
		t.Errorf("%d segments up to level %d, %d rows of none: %v", segments, top, orphans, err)
	}
	found := 0
	q := storage.Query{Limit: 9, Filter: event.Filter{
		{Relations: []event.Relation{{Role: "of", Kind: "caller", ID: "3"}}},
	}}
	for page := (storage.Page{}); !page.Done; q.From = page.Scanned + 1 {
		if page, err = s.Page(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		found += len(page.Records)
	}
	if want := (rounds*each + 3) / 7; found != want {
		t.Errorf("the index finds %d events instead of %d", found, want)
	}
}
