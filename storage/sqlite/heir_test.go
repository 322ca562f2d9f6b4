package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// Each takes from events.db of the format after it what it did not have.
const (
	formatTwoEvents = `
DROP TABLE fence;
PRAGMA user_version = 2;
`
	formatOneEvents = formatTwoEvents + `
ALTER TABLE head DROP COLUMN life;
ALTER TABLE head DROP COLUMN place;
PRAGMA user_version = 1;
`
)

// TestEventsUpgrade opens folders of the time before stores could move, and before they had fences: they keep head and
// events, are live, and have none.
func TestEventsUpgrade(t *testing.T) {
	for name, script := range map[string]string{"from 1": formatOneEvents, "from 2": formatTwoEvents} {
		t.Run(name, func(t *testing.T) { upgrade(t, script) })
	}
}

func upgrade(t *testing.T, script string) {
	dir := t.TempDir()
	s := open(t, dir, sqlite.Options{})
	records := storagetest.Append(t, s, storagetest.Item{
		Stream: event.Stream("application", "1"), Draft: event.Draft{Type: "Noted"},
	})
	want, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.ScriptForTest(filepath.Join(dir, "events.db"), script); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		s := open(t, dir, sqlite.Options{})
		got, err := s.Head(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("round %d: head (%v):\n%s", round, err, diff)
		}
		page, err := s.Page(t.Context(), storage.Query{Limit: 1})
		if err != nil || len(page.Records) != 1 || page.Records[0].ID != records[0].ID {
			t.Errorf("round %d: %d records, %v", round, len(page.Records), err)
		}
		fences, err := s.Fences(t.Context(), 0, 10)
		if err != nil || len(fences) != round {
			t.Errorf("round %d: fences %v, %v", round, fences, err)
		}
		if round == 0 {
			_, err = s.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
				return storage.Batch{Fences: []storage.Fence{{Position: 1}}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want.Fence = 1
		}
		life := storage.Life{State: storage.Moved, Place: "/there"}
		_, err = s.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
			return storage.Batch{Life: &life}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want.Life = life
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
