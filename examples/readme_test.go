// Package examples_test runs what the README shows at the command line, and compares what comes out.
package examples_test

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/internal/cli"
)

var update = flag.Bool("update", false, "rewrite what the commands in README.md answer")

// readmeDay is when the README's commands are run.
type readmeDay struct{}

func (readmeDay) Now() time.Time { return time.Date(2026, time.November, 22, 9, 30, 0, 0, time.UTC) }

func (readmeDay) After(d time.Duration) <-chan time.Time { return time.After(d) }

const readme = "../README.md"

// TestReadmeCommands runs the commands of all console blocks, in order, on one new store.
func TestReadmeCommands(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	commands := 0
	fresh := regexp.MustCompile("(?s)```console\n.*?```\n").ReplaceAllStringFunc(string(text), func(block string) string {
		var out strings.Builder
		out.WriteString("```console\n")
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(line, "$ lethe "); ok {
				commands++
				out.WriteString(line + answer(t, folder, strings.TrimSpace(command)))
			}
		}
		return out.String() + "```\n"
	})
	switch {
	case commands < 10:
		t.Fatalf("%s has only %d commands", readme, commands)
	case *update:
		if err := os.WriteFile(readme, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		if diff := cmp.Diff(normal(string(text)), normal(fresh)); diff != "" {
			t.Errorf("README.md shows other answers than the commands give (-README +now):\n%s", diff)
		}
	}
}

// answer is what one command prints, on both streams.
func answer(t *testing.T, folder, command string) string {
	t.Helper()
	var out bytes.Buffer
	cli.Run(t.Context(), cli.Env{
		Args: words(t, command), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Clock: readmeDay{},
		Environ: []string{"LETHE_STORE=" + folder},
	})
	return strings.ReplaceAll(out.String(), folder, "./data")
}

// words splits a command as a shell does where it knows blanks and single quotes only.
func words(t *testing.T, command string) []string {
	t.Helper()
	var all []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		if strings.ContainsAny(part, "\"\\$`|<>&;*") {
			t.Fatalf("split %s: only blanks and single quotes are understood", command)
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

// normal leaves out what differs from store to store, from process to process, and from build to build.
func normal(text string) string {
	for _, what := range []string{`[0-9a-f]{16,}`, `held by this process, \d+`, `version \d+\.\d+\.\d+`} {
		text = regexp.MustCompile(what).ReplaceAllString(text, "…")
	}
	return text
}
