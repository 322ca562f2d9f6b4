package sqlite

import (
	"fmt"
	"os/exec"

	"github.com/lethe-es/lethe/event"
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
	return s.writer.pragma(name)
}

// LevelsForTest counts segments by level.
func LevelsForTest(s *Store) (levels [topLevel + 1]int) {
	s.head.mu.RLock()
	defer s.head.mu.RUnlock()
	for _, x := range s.index.segments {
		levels[x.level]++
	}
	return levels
}

// ChunkForTest is a row with two lists.
func ChunkForTest(positions []event.Position) []byte {
	var c chunker
	for term := range int64(2) {
		for _, p := range positions {
			c.add(listKey{termSpace, term}, posting{p, int64(p) - 3})
		}
	}
	return c.take(true)[0].bytes
}

// ReadChunkForTest decodes every list of a row and finds it again.
func ReadChunkForTest(b []byte) {
	err := entries(b, func(term int64, count int, postings []byte) (bool, error) {
		list, err := decodePostings(nil, count, postings)
		if err == nil && len(list) != count {
			panic(fmt.Sprintf("%d postings for %d", len(list), count))
		}
		return true, err
	})
	if err != nil && event.Code(err) != "corrupt" {
		panic(err)
	}
}
