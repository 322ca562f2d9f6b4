package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/cli"
)

// runBench runs lethe bench with its scratch stores in a folder that the test owns.
func runBench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var out, chatter bytes.Buffer
	code = cli.Run(t.Context(), cli.Env{
		Args: append([]string{"bench"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &chatter,
		Clock: event.SystemClock{},
	})
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("lethe bench %s left %v in the temporary folder: %v", strings.Join(args, " "), left, err)
	}
	return code, out.String(), chatter.String()
}

func TestBenchJSON(t *testing.T) {
	for name, args := range map[string][]string{
		"append": {"--clients", "4", "--duration", "200ms"},
		"read":   {"--events", "2000", "--duration", "100ms"},
		"stream": {"--events", "2000", "--batch", "2", "--duration", "100ms"},
		"follow": {"--events", "2000", "--duration", "100ms"},
		"growth": {"--events", "2000", "--every", "1000"},
	} {
		code, stdout, stderr := runBench(t, append([]string{name, "-o", "json"}, args...)...)
		if code != 0 {
			t.Errorf("bench %s: exit %d: %s", name, code, stderr)
		}
		var result struct {
			Bench  string
			Events int
		}
		if err := json.Unmarshal([]byte(stdout), &result); err != nil || result.Bench != name || result.Events == 0 {
			t.Errorf("bench %s: %v in %s", name, err, stdout)
		}
	}
}

func TestBenchForPeople(t *testing.T) {
	for format, want := range map[string][]string{
		"table": {"bytes per event payload      160\n", "ratio to raw"},
		"csv":   {"bench,clients,events,", "\nappend,1,"},
	} {
		code, stdout, stderr := runBench(t, "append", "--events", "50", "-o", format)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		for _, text := range want {
			if !strings.Contains(stdout, text) {
				t.Errorf("%s lacks %q:\n%s", format, text, stdout)
			}
		}
	}
	code, stdout, stderr := runBench(t, "growth", "--events", "2000", "--every", "1000")
	if lines := strings.Count(stdout, "\n"); code != 0 || lines != 3 {
		t.Errorf("exit %d, %d lines: %s%s", code, lines, stdout, stderr)
	}
}

// TestBenchForeign: a store of somebody else is read, and appended to only where that was asked for.
func TestBenchForeign(t *testing.T) {
	store := filepath.Join(t.TempDir(), "data")
	var out, chatter bytes.Buffer
	code := cli.Run(t.Context(), cli.Env{
		Args:  []string{"event", "append", "--store", store, "--stream", "application/1", "--type", "Real"},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &chatter, Clock: event.SystemClock{},
	})
	if code != 0 {
		t.Fatalf("exit %d: %s", code, &chatter)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{2, []string{"append", "--store", store}},
		{2, []string{"follow", "--store", store}},
		{2, []string{"growth", "--store", store}},
		{0, []string{"read", "--store", store, "--duration", "20ms"}},
		{0, []string{"stream", "--store", store, "--duration", "20ms"}},
		{0, []string{"append", "--store", store, "--into-existing", "--events", "5"}},
		{2, []string{"append", "--store", "s3://bucket/lethe"}},
		{2, []string{"append", "--clients", "-3"}},
		{2, []string{"append", "--condition", "hope"}},
		{2, []string{"append", "--payload", "3"}},
	} {
		code, stdout, stderr := runBench(t, c.args...)
		if code != c.code || (code == 0) != (stdout != "") {
			t.Errorf("bench %v: exit %d, want %d: %s%s", c.args, code, c.code, stdout, stderr)
		}
	}
}

// TestBenchPeople: what is sealed is measured, and the keys are gone afterwards.
func TestBenchPeople(t *testing.T) {
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{0, `"new_ratio":0.5`, []string{"append", "--personal", "2", "--subjects", "20", "--new-ratio", "0.5", "--events", "50"}},
		{0, `"purpose":"support"`, []string{"read", "--purpose", "support", "--events", "1000", "--duration", "50ms"}},
		{0, `"roll_people":`, []string{"keys", "--people", "50", "--clients", "2", "--duration", "50ms"}},
		{2, "", []string{"append", "--personal", "-1"}},
		{2, "", []string{"append", "--personal", "9", "--payload", "100"}},
	} {
		code, stdout, stderr := runBench(t, append(c.args, "-o", "json")...)
		stdout = strings.ReplaceAll(stdout, " ", "")
		if code != c.code || !strings.Contains(stdout, c.want) || (code == 0) != (stdout != "") {
			t.Errorf("bench %v: exit %d, want %d: %s%s", c.args, code, c.code, stdout, stderr)
		}
	}
}
