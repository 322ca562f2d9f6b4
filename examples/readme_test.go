// Package examples_test runs what the README shows at the command line, and compares what comes out.
package examples_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// TestReadmeCommands runs the commands of all console blocks, in order, each on the store that is named last.
func TestReadmeCommands(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("..")
	s := &shell{t: t, dir: t.TempDir(), environ: map[string]string{}}
	s.environ["HOME"] = filepath.Join(s.dir, "home")
	s.environ["LETHE_STORE"] = filepath.Join(s.dir, "data")
	fresh := regexp.MustCompile("(?s)```console\n.*?```\n").ReplaceAllStringFunc(string(text), s.block)
	switch {
	case s.commands < 10:
		t.Fatalf("%s has only %d commands", readme, s.commands)
	case *update:
		if err := os.WriteFile("README.md", []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		if diff := cmp.Diff(normal(string(text)), normal(fresh)); diff != "" {
			t.Errorf("README.md shows other answers than the commands give (-README +now):\n%s", diff)
		}
	}
}

// shell is as much of a shell as the README needs.
type shell struct {
	t        *testing.T
	dir      string
	environ  map[string]string
	commands int
}

// block runs the commands of one block, and returns it with what they answer.
func (s *shell) block(block string) string {
	var out strings.Builder
	file := "" // whose content follows
	for line := range strings.Lines(block) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ ")
		if !ok {
			if file != "" || strings.HasPrefix(line, "```") {
				out.WriteString(line)
			}
			if file != "" {
				if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
					s.t.Fatal(err)
				}
			}
			file = ""
			continue
		}
		out.WriteString(line)
		if name, ok := strings.CutPrefix(command, "cat "); ok {
			file = filepath.Join(s.dir, name)
		} else if setting, ok := strings.CutPrefix(command, "export "); ok {
			name, value, _ := strings.Cut(setting, "=")
			s.environ[name] = strings.Replace(value, "./", s.dir+"/", 1)
		} else if arguments, ok := strings.CutPrefix(command, "lethe "); ok {
			s.commands++
			out.WriteString(s.answer(arguments))
		} else {
			s.t.Fatalf("README.md shows a command this test does not know: %s", command)
		}
	}
	return out.String()
}

// answer is what one command prints: on both streams, or into tail -n what it gives and beside it what it says.
func (s *shell) answer(command string) string {
	command, last, piped := strings.Cut(command, " | tail -")
	args := words(s.t, command)
	for i := range args {
		if path := filepath.Join(s.dir, args[i]); strings.HasSuffix(args[i], ".json") {
			if _, err := os.Stat(path); err == nil {
				args[i] = path
			}
		}
	}
	var out, say bytes.Buffer
	env := cli.Env{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Clock: readmeDay{}}
	if piped {
		env.Stderr = &say
	}
	for name, value := range s.environ {
		env.Environ = append(env.Environ, name+"="+value)
	}
	cli.Run(s.t.Context(), env)
	text := out.String()
	if n, err := strconv.Atoi(last); piped && err == nil {
		lines := slices.Collect(strings.Lines(text))
		text = say.String() + strings.Join(lines[max(0, len(lines)-n):], "")
	}
	return strings.ReplaceAll(text, s.dir+"/", "./")
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
	for _, what := range []string{`[0-9a-f]{16,}`, `krid_[0-9a-v]{26}`, `01a[0-9a-f]{5}-[0-9a-f-]{27}`, `held by this process, \d+`, `version \d+\.\d+\.\d+`} {
		text = regexp.MustCompile(what).ReplaceAllString(text, "…")
	}
	return text
}
