package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/storagetest"
)

func open(t testing.TB, dir string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// engine has an index that is written out every flush events.
func engine(flush int) storagetest.Open {
	return func(t testing.TB) *storagetest.Engine {
		dir := t.TempDir()
		options := sqlite.Options{Indexed: storagetest.Indexed(), Flush: flush}
		e := &storagetest.Engine{
			Store:    open(t, dir, options),
			Features: storagetest.Features{Durable: true, Examines: true},
			Events:   600,
		}
		e.Reopen = func(t testing.TB) {
			if err := e.Store.Close(); err != nil {
				t.Fatal(err)
			}
			e.Store = open(t, dir, options)
		}
		e.Dump = func(t testing.TB) [][]byte { return files(t, dir) }
		e.Bytes = func(t testing.TB) (n int64) {
			for _, b := range files(t, dir) {
				n += int64(len(b))
			}
			return n
		}
		t.Cleanup(func() {
			if err := e.Store.Close(); err != nil {
				t.Error(err)
			}
		})
		return e
	}
}

// files are the bytes of every database file in dir, read from a copy: a handle of a live file that is closed drops
// SQLite's locks on it.
func files(t testing.TB, dir string) (all [][]byte) {
	t.Helper()
	for _, pattern := range []string{"*.db", "*.db-wal"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			all = append(all, copied(t, path))
		}
	}
	return all
}

func copied(t testing.TB, path string) []byte {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := sqlite.CopyForTest(path, to); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	t.Run("index written at the default size", func(t *testing.T) { storagetest.Run(t, engine(0)) })
	t.Run("index written every 7 events", func(t *testing.T) { storagetest.Run(t, engine(7)) })
}

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, engine(0)) }
