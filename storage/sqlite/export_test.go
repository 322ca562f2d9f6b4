package sqlite

import (
	"os/exec"

	"github.com/lethe-es/lethe/storage/postings"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// CopyForTest copies a file in another process, so that this one opens and closes no live database file.
func CopyForTest(from, to string) error { return exec.Command("cp", from, to).Run() }

// ScriptForTest makes a database file that is not ours.
func ScriptForTest(path, script string) error {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return err
	}
	defer c.Close()
	return sqlitex.ExecuteScript(c, script, nil)
}

// PragmaForTest reads a setting of the writing connection.
func PragmaForTest(s *Store, name string) (string, error) {
	s.write.Lock()
	defer s.write.Unlock()
	return s.writer.Pragma(name)
}

// LevelsForTest counts segments by level.
func LevelsForTest(s *Store) (levels [postings.TopLevel + 1]int) {
	s.head.mu.RLock()
	defer s.head.mu.RUnlock()
	for _, x := range s.index.segments {
		levels[x.Level]++
	}
	return levels
}
