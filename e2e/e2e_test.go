// Package e2e_test plays the plays of testdata: each drives the real program, lethe, as a person would at a shell,
// and reads as documentation of what that person sees. The plays of a store's everyday run three times: on a folder, on
// a database, and on a server, whose address is then in LETHE_STORE.
//
// Besides the commands of testscript (go doc github.com/rogpeppe/go-internal/testscript) a play may use
//
//	absent FOLDER TEXT…   no file below FOLDER holds any of the texts; with ! some does
//	await FILE NAME       wait until FILE holds the address of a server that is ready; put it into the variable NAME
//	certificate CERT KEY  make a certificate for localhost and its key
//	patch FILE OLD NEW    replace every OLD in FILE by NEW of the same length; OLD must be there
//	sql FILE STATEMENT    change a database file that no process holds
//	take NAME PATTERN     put what the first group of PATTERN matches of stdout into the variable NAME
//
// and the conditions [folder], [database] and [server].
package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/lethe-es/lethe/internal/cli"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lethe": func() { os.Exit(cli.Main()) }})
}

// params are what all plays have; on is "folder", "database" or "server".
func params(on string) testscript.Params {
	return testscript.Params{
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"absent": absent, "await": await, "certificate": certificate, "patch": patch, "sql": sql, "take": take,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "folder" && cond != "database" && cond != "server" {
				return false, fmt.Errorf("there is no condition %s", cond)
			}
			return cond == on, nil
		},
	}
}

func TestPlays(t *testing.T) {
	p := params("folder")
	p.Dir = "testdata"
	testscript.Run(t, p)
}

// TestPlaysOnServer plays what a store's everyday is made of on a server: the same commands, the same answers.
func TestPlaysOnServer(t *testing.T) {
	p := params("server")
	home := p.Setup
	p.Files = everyday()
	p.Setup = func(env *testscript.Env) error { return errors.Join(home(env), serve(env)) }
	testscript.Run(t, p)
}

// TestPlaysOnDatabase plays the same on a database, a schema for each play.
func TestPlaysOnDatabase(t *testing.T) {
	p := params("database")
	home := p.Setup
	p.Files = everyday()
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("LETHE_STORE", pgtest.Place(t))
		return home(env)
	}
	testscript.Run(t, p)
}

// everyday are the plays of what a store's everyday is made of.
func everyday() (files []string) {
	names := []string{"badinput", "first", "lifecycle", "open", "output", "past", "person", "present", "refused",
		"relation", "sealing", "why"}
	for _, name := range names {
		files = append(files, filepath.Join("testdata", name+".txtar"))
	}
	return files
}

func patch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 || len(args[1]) != len(args[2]) {
		ts.Fatalf("usage: patch FILE OLD NEW, OLD and NEW of the same length")
	}
	name := ts.MkAbs(args[0])
	text, err := os.ReadFile(name)
	ts.Check(err)
	changed := bytes.ReplaceAll(text, []byte(args[1]), []byte(args[2]))
	if bytes.Equal(text, changed) {
		ts.Fatalf("patch: %s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(name, changed, 0o600))
}

func sql(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	conn, err := sqlite.OpenConn(ts.MkAbs(args[0]), sqlite.OpenReadWrite)
	ts.Check(err)
	ts.Check(sqlitex.ExecuteTransient(conn, args[1], nil))
	if conn.Changes() == 0 {
		ts.Fatalf("sql: it changed nothing")
	}
	ts.Check(conn.Close())
}

func absent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: absent FOLDER TEXT…")
	}
	found, files := "", 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, marker := range args[1:] {
			if bytes.Contains(text, []byte(marker)) {
				found = path + " holds " + marker
			}
		}
		files++
		return err
	}))
	switch {
	case files == 0:
		ts.Fatalf("absent: there are no files in %s", args[0])
	case neg == (found == ""):
		ts.Fatalf("absent: found %q in %d files", found, files)
	}
}

func take(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: take NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	match := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(match) < 2 {
		ts.Fatalf("take: stdout does not match %s", args[1])
	}
	ts.Setenv(args[0], match[1])
}
