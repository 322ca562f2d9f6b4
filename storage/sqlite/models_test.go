package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// formatOne is models.db as it was before there were tokens, with one checkpoint.
const formatOne = `
CREATE TABLE cursor (
	follower TEXT PRIMARY KEY, revision INTEGER NOT NULL, position TEXT NOT NULL, note BLOB
) STRICT, WITHOUT ROWID;
INSERT INTO cursor VALUES ('relay', 7, '', x'01');
PRAGMA application_id = 1818588264;
PRAGMA user_version = 1;
`

// formatTwo is models.db as it was before tokens could open, with one token more.
const formatTwo = formatOne + `
CREATE TABLE token (
	id TEXT PRIMARY KEY, hash BLOB NOT NULL, label TEXT NOT NULL, may_read INTEGER NOT NULL,
	may_append INTEGER NOT NULL, may_admin INTEGER NOT NULL, kinds TEXT, created INTEGER NOT NULL,
	expires INTEGER NOT NULL, revoked INTEGER NOT NULL, used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO token VALUES ('old', zeroblob(32), 'before', 1, 1, 1, NULL, 1, 2, 3, 4);
PRAGMA user_version = 2;
`

func models(t *testing.T, script string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "models.db")
	if err := sqlite.ScriptForTest(path, script); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// TestModelsUpgrade opens a folder of the time before tokens, and one of the time before they could open: it gets their
// table and keeps its checkpoints and tokens, which open nothing.
func TestModelsUpgrade(t *testing.T) {
	old := storage.Token{ID: "old", Label: "before", Read: true, Append: true, Admin: true, Created: 1, Expires: 2,
		Revoked: 3, Used: 4}
	for script, kept := range map[string][]storage.Token{formatOne: nil, formatTwo: {old}} {
		upgradeModels(t, script, kept)
	}
}

func upgradeModels(t *testing.T, script string, kept []storage.Token) {
	dir, _ := models(t, script)
	want := storage.Token{ID: "a", Read: true, Open: true, Kinds: []string{"application"}, Created: 5}
	for round := range 3 {
		s := open(t, dir, sqlite.Options{})
		if round == 0 {
			if err := s.AddToken(t.Context(), want); err != nil {
				t.Error(err)
			}
		}
		if got, err := s.Token(t.Context(), "a"); err != nil || !cmp.Equal(want, got) {
			t.Errorf("round %d: token %+v, %v", round, got, err)
		}
		tokens, err := s.Tokens(t.Context())
		if diff := cmp.Diff(append([]storage.Token{want}, kept...), tokens); err != nil || diff != "" {
			t.Errorf("round %d: tokens (%v):\n%s", round, err, diff)
		}
		got, err := s.Checkpoint(t.Context(), "relay")
		if diff := cmp.Diff(storage.Checkpoint{Revision: 7, Note: []byte{1}}, got); err != nil || diff != "" {
			t.Errorf("round %d: checkpoint (%v):\n%s", round, err, diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestModelsRefused are files this version must not touch.
func TestModelsRefused(t *testing.T) {
	current := formatOne + "CREATE TABLE token (id TEXT); PRAGMA user_version = 4;"
	for name, script := range map[string]string{
		"a newer format":      current,
		"no format":           strings.Replace(formatOne, "user_version = 1", "user_version = 0", 1),
		"a negative format":   strings.Replace(formatOne, "user_version = 1", "user_version = -1", 1),
		"another program's":   strings.Replace(formatOne, "1818588264", "77", 1),
		"an unmarked program": "CREATE TABLE t (a);",
	} {
		dir, path := models(t, script)
		before, _ := os.ReadFile(path)
		if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, event.ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
		if after, _ := os.ReadFile(path); string(before) != string(after) {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestTokensDamaged holds that a token whose limits cannot be read opens nothing.
func TestTokensDamaged(t *testing.T) {
	for name, values := range map[string]string{
		"kinds are not a list":    `zeroblob(32), '', 1, 1, 0, '{', 1, 0, 0, 0, 0`,
		"kinds are an empty list": `zeroblob(32), '', 1, 1, 0, '[]', 1, 0, 0, 0, 0`,
		"kinds are null":          `zeroblob(32), '', 1, 1, 0, 'null', 1, 0, 0, 0, 0`,
		"hash is short":           `zeroblob(31), '', 1, 1, 0, NULL, 1, 0, 0, 0, 0`,
	} {
		dir, path := models(t, formatOne)
		if err := open(t, dir, sqlite.Options{}).Close(); err != nil {
			t.Fatal(err)
		}
		if err := sqlite.ScriptForTest(path, "INSERT INTO token VALUES ('a', "+values+");"); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(t.Context(), dir, nil); !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
	}
}

// TestTokensDoNotWaitForAppends changes tokens while a commit has the log: if they waited for it, this would hang.
func TestTokensDoNotWaitForAppends(t *testing.T) {
	s := open(t, t.TempDir(), sqlite.Options{})
	defer s.Close()
	_, err := s.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
		err := s.AddToken(t.Context(), storage.Token{ID: "a"})
		_, err1 := s.RevokeToken(t.Context(), "a", 5)
		_, err2 := s.Token(t.Context(), "a")
		return storage.Batch{}, errors.Join(err, err1, err2, s.UseTokens(t.Context(), map[string]int64{"a": 7}))
	})
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkToken(b *testing.B) {
	s := open(b, b.TempDir(), sqlite.Options{})
	defer s.Close()
	if err := s.AddToken(b.Context(), storage.Token{ID: "a", Read: true}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Token(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}
