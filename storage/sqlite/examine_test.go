package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// TestExamineFindsDamage holds that a damaged page of the file is found, though opening it does not touch that page.
func TestExamineFindsDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{Indexed: storagetest.Indexed()})
	for range 500 {
		storagetest.Append(t, s,
			storagetest.Item{Stream: event.Stream("application", "1"), Draft: event.Draft{Type: "Noted"}})
	}
	if _, err := s.Scrub(t.Context()); err != nil { // everything is in the file itself
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "events.db")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := len(b) - 4096
	for at > 0 && b[at] != 10 { // a leaf of the index of ids, which nobody reads when a store opens
		at -= 4096
	}
	if at <= 0 {
		t.Fatal("there is no leaf page of an index")
	}
	b[at+3], b[at+4] = 0xff, 0xff // its number of cells
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, sqlite.Options{})
	defer s.Close()
	checks, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.OK != (c.Name != "structure") {
			t.Errorf("of a file with a damaged page it says %+v", c)
		}
		if c.Name == "structure" && (!strings.HasPrefix(c.Detail, "events.db: ") || strings.Contains(c.Detail, "\n")) {
			t.Errorf("the damage is told as %q", c.Detail)
		}
	}
}
