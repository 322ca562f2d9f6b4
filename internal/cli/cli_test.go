package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/cli"
	"github.com/lethe-es/lethe/ledger"
)

// stepClock goes on by step whenever it is asked.
type stepClock struct {
	now  time.Time
	step time.Duration
}

func (c *stepClock) Now() time.Time {
	c.now = c.now.Add(c.step)
	return c.now
}

// After never comes: what goes on in the background does not, and nothing else waits.
func (c *stepClock) After(time.Duration) <-chan time.Time { return nil }

// lethe runs one command in an environment of its own.
func lethe(ctx context.Context, in io.Reader, args ...string) (exit int, stdout, stderr string) {
	var out, chatter bytes.Buffer
	clock := &stepClock{now: time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC), step: 3 * time.Second}
	exit = cli.Run(ctx, cli.Env{Args: args, Stdin: in, Stdout: &out, Stderr: &chatter, Clock: clock})
	return exit, out.String(), chatter.String()
}

// TestEveryCommandIsDocumented holds the promise of help: a sentence and an example for every command.
func TestEveryCommandIsDocumented(t *testing.T) {
	var walk func(*cobra.Command)
	count := 0
	walk = func(cmd *cobra.Command) {
		count++
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help is %q", cmd.CommandPath(), cmd.Short)
		}
		if !cmd.HasSubCommands() && !strings.Contains(cmd.Example, "lethe ") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long) {
			if len([]rune(line)) > 100 {
				t.Errorf("%s: a line of its help is too long for a terminal: %s", cmd.CommandPath(), line)
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(cli.Root(cli.Env{}))
	if count < 25 {
		t.Errorf("found %d commands", count)
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		exit int
		code string
	}{
		{event.Invalid("malformed_id", "x"), 2, "malformed_id"},
		{event.Errorf(event.ErrNotFound, "x"), 3, "not_found"},
		{&event.VersionConflict{Stream: event.Stream("a", "1"), Expected: 1, Actual: 2}, 4, "version_conflict"},
		{&event.ConditionFailed{Hit: 1}, 4, "condition_failed"},
		{event.ErrDuplicate, 4, "id_conflict"},
		{event.ErrClosed, 2, "stream_closed"},
		{&event.Forked{Common: 7}, 2, "forked"},
		{event.ErrUnknown, 6, "unknown_outcome"},
		{event.ErrFailed, 6, "store_failed"},
		{event.ErrFull, 6, "disk_full"},
		{event.ErrHeld, 6, "store_held"},
		{event.ErrUnavailable, 6, "unavailable"},
		{event.ErrDenied, 5, "denied"},
		{event.ErrUnsupported, 2, "unsupported"},
		{event.ErrFormat, 1, "unknown_format"},
		{event.ErrCorrupt, 7, "corrupt"},
		{ledger.ErrMismatch, 7, "verification_failed"},
		{fmt.Errorf("read map: %w", os.ErrNotExist), 3, "not_found"},
		{os.ErrPermission, 5, "permission_denied"},
		{context.Canceled, 1, "interrupted"},
		{io.ErrUnexpectedEOF, 1, "internal"},
	} {
		code, message, next, exit := cli.Tell(fmt.Errorf("do it: %w", test.err))
		if exit != test.exit || code != test.code {
			t.Errorf("%v: exit %d, code %s; want %d, %s", test.err, exit, code, test.exit, test.code)
		}
		if !strings.HasPrefix(message, "do it: ") || strings.Contains(message, next) && next != "" {
			t.Errorf("%v: told as %q with next %q", test.err, message, next)
		}
		if next == "" {
			t.Errorf("%v: nothing says what to do", test.err)
		}
	}
}

// TestPages lists more streams than one page of the store holds.
func TestPages(t *testing.T) {
	store := filepath.Join(t.TempDir(), "data")
	var lines strings.Builder
	for i := range 700 {
		fmt.Fprintf(&lines, "{\"stream\": \"a/%d\", \"type\": \"T\"}\n", i)
	}
	exit, _, chatter := lethe(t.Context(), strings.NewReader(lines.String()), "--store", store, "event", "append",
		"--file", "-", "--atomic", "-o", "jsonl")
	if exit != 0 {
		t.Fatalf("append: exit %d: %s", exit, chatter)
	}
	for limit, want := range map[string]int{"300": 301, "0": 701} {
		exit, out, _ := lethe(t.Context(), nil, "--store", store, "stream", "ls", "--limit", limit)
		if exit != 0 || strings.Count(out, "\n") != want {
			t.Errorf("stream ls --limit %s: exit %d with %d lines", limit, exit, strings.Count(out, "\n"))
		}
	}
}

// TestStreamState finds every stream by name among neighbours that sort close to it.
func TestStreamState(t *testing.T) {
	store := filepath.Join(t.TempDir(), "data")
	ids := []string{"!", "1", "10", "1/", "1~", "2", "é", "ê", "日本", "x@y/", "x@y.", "\uF900", "\uFFFD", "\U00010000",
		strings.Repeat("x", 255), strings.Repeat("x", 254)}
	for _, id := range ids {
		if exit, _, chatter := lethe(t.Context(), nil, "--store", store, "event", "append", "--stream", "a/"+id,
			"--type", "T"); exit != 0 {
			t.Fatalf("append to a/%s: exit %d: %s", id, exit, chatter)
		}
	}
	for _, id := range ids {
		exit, out, chatter := lethe(t.Context(), nil, "--store", store, "stream", "show", "a/"+id, "-o", "json")
		if exit != 0 || !strings.Contains(out, `"stream": "a/`+id+`",`) {
			t.Errorf("show a/%s: exit %d: %s", id, exit, chatter)
		}
	}
	for _, id := range []string{"0", "11", "ë", "zz", strings.Repeat("x", 253)} {
		if exit, _, _ := lethe(t.Context(), nil, "--store", store, "stream", "show", "a/"+id); exit != 3 {
			t.Errorf("show a/%s: exit %d, want 3", id, exit)
		}
	}
}

const linesMap = "source: s\nformat: jsonl\nevents:\n  - stream: \"a/{id}\"\n    type: T\n"

func writeMap(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "map.yaml")
	if err := os.WriteFile(name, []byte(linesMap), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// stuckInput gives what it has, then stops the command and never ends.
type stuckInput struct {
	text io.Reader
	stop context.CancelFunc
	end  chan struct{}
}

func (s *stuckInput) Read(b []byte) (int, error) {
	if n, _ := s.text.Read(b); n > 0 {
		return n, nil
	}
	s.stop()
	<-s.end
	return 0, io.EOF
}

func TestInterruptedImport(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := &stuckInput{strings.NewReader("{\"id\": \"1\"}\n"), cancel, make(chan struct{})}
	defer close(in.end)
	exit, out, chatter := lethe(ctx, in, "--store", filepath.Join(t.TempDir(), "data"), "import", "--map", writeMap(t),
		"-o", "json", "-")
	if exit != 8 || !strings.Contains(out, `"records": 0`) || !strings.Contains(chatter, `"code":"interrupted"`) {
		t.Errorf("exit %d\n%s\n%s", exit, out, chatter)
	}
}

func TestPlainProgress(t *testing.T) {
	store := filepath.Join(t.TempDir(), "data")
	name := writeMap(t)
	for _, test := range []struct{ flag, want string }{{"plain", "import: 1 records, 0/s\n"}, {"none", ""}} {
		exit, _, chatter := lethe(t.Context(), strings.NewReader("{\"id\": \"1\"}\n"), "--store", store, "import",
			"--map", name, "--progress", test.flag, "-")
		_, chatter, _ = strings.Cut("\n"+chatter, "created store "+store+"\n")
		if exit != 0 || chatter != test.want {
			t.Errorf("--progress %s: exit %d: %q, want %q", test.flag, exit, chatter, test.want)
		}
	}
}
