package sqlitekeys

import (
	"os/exec"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/lethe-es/lethe/storage/postings"
)

// ScriptForTest changes a database file that nobody holds.
func ScriptForTest(path, script string) error {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer c.Close()
	return sqlitex.ExecuteScript(c, script, nil)
}

// CopyForTest copies a file in another process, so that this one opens and closes no live database file.
func CopyForTest(from, to string) error { return exec.Command("cp", from, to).Run() }

// LevelsForTest counts the segments of the index of uses by level.
func LevelsForTest(k *Keystore) (levels [postings.TopLevel + 1]int) {
	k.uses.mu.RLock()
	defer k.uses.mu.RUnlock()
	for _, s := range k.uses.segments {
		levels[s.Level]++
	}
	return levels
}

// PragmaForTest reads a setting of the writing connection of keys.db.
func PragmaForTest(k *Keystore, name string) (string, error) {
	k.keys.write.Lock()
	defer k.keys.write.Unlock()
	return k.keys.c.Pragma(name)
}
