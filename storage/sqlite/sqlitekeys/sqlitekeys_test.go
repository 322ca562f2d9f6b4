package sqlitekeys_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/keystest"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

func open(t testing.TB, dir string, o sqlitekeys.Options) *sqlitekeys.Keystore {
	t.Helper()
	k, err := sqlitekeys.Open(t.Context(), dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// engine has an index of uses that is written out every flush entries.
func engine(flush, uses int) keystest.Open {
	return func(t testing.TB) *keystest.Engine {
		dir := t.TempDir()
		options := sqlitekeys.Options{Flush: flush}
		e := &keystest.Engine{
			Keys: open(t, dir, options), Features: keystest.Features{Durable: true}, Uses: uses,
		}
		e.Reopen = func(t testing.TB) {
			if err := e.Keys.Close(); err != nil {
				t.Fatal(err)
			}
			e.Keys = open(t, dir, options)
		}
		e.Dump = func(t testing.TB) [][]byte { return files(t, dir) }
		e.Bytes = func(t testing.TB) (n int64) {
			for _, b := range files(t, dir) {
				n += int64(len(b))
			}
			return n
		}
		t.Cleanup(func() {
			if err := e.Keys.Close(); err != nil {
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
			to := filepath.Join(t.TempDir(), "copy")
			if err := sqlitekeys.CopyForTest(path, to); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
	}
	return all
}

func TestConformance(t *testing.T) {
	t.Run("index written at the default size", func(t *testing.T) { keystest.Run(t, engine(0, 300)) })
	t.Run("index written every 12 entries", func(t *testing.T) { keystest.Run(t, engine(12, 400)) })
}

// TestHeld holds that one process has the keystore, beside one that has the log in the same folder.
func TestHeld(t *testing.T) {
	dir := t.TempDir()
	log, err := sqlite.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	k := open(t, dir, sqlitekeys.Options{Address: "unix:///run/lethe"})
	if _, err := sqlitekeys.Open(t.Context(), dir, nil); !errors.Is(err, event.ErrHeld) ||
		!strings.Contains(err.Error(), "holds it") {
		t.Errorf("open a second time: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, sqlitekeys.Options{}).Close(); err != nil {
		t.Error(err)
	}
}

// TestSettings holds that old bytes are overwritten and commits are synced.
func TestSettings(t *testing.T) {
	k := open(t, t.TempDir(), sqlitekeys.Options{})
	defer k.Close()
	for name, want := range map[string]string{"secure_delete": "1", "synchronous": "2", "journal_mode": "wal"} {
		if got, err := sqlitekeys.PragmaForTest(k, name); err != nil || got != want {
			t.Errorf("%s is %q: %v", name, got, err)
		}
	}
}

// TestNotOurs holds that a file that is no keystore stays as it is.
func TestNotOurs(t *testing.T) {
	for _, name := range []string{"keys.db", "uses.db"} {
		dir := t.TempDir()
		text := strings.Repeat("not a database. ", 1000)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlitekeys.Open(t.Context(), dir, nil); err == nil {
			t.Errorf("a text is opened as %s", name)
		}
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != text {
			t.Errorf("%s was changed: %v", name, err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := open(t, dir, sqlitekeys.Options{}).Close(); err != nil { // the lock was given up
			t.Error(err)
		}
	}
}

func BenchmarkKeystore(b *testing.B) { keystest.Bench(b, engine(0, 0)) }
