package pagetest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event/pagetest"
)

const page = "# Page\n\n```\nbefore\n```\n\n<!-- example one -->\n```json\n{}\n```\n<!-- end of example -->\n\n" +
	"<!-- example -->\n```\n01  a\n02  b\n```\n<!-- end of example -->\n\nafter\n\n<!-- example bare -->\nno fence\n"

func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCompare(t *testing.T) {
	file := written(t, page)
	pagetest.Compare(t, file, "one", "{}\n")
	pagetest.Compare(t, file, "", "01  a  \n02  b\n")
	if got := pagetest.Example(t, file, "one"); got != "{}\n" {
		t.Errorf("the page shows %q", got)
	}
	if got := read(t, file); got != page {
		t.Errorf("comparing wrote\n%s", cmp.Diff(page, got))
	}
}

// TestFailures holds that each thing that is wrong is told, that a difference is shown, and that nothing is written.
func TestFailures(t *testing.T) {
	twice := written(t, page+page)
	file := written(t, page)
	none := filepath.Join(t.TempDir(), "none.md")
	for title, c := range map[string]struct {
		page, name, want string
		parts            []string
	}{
		"no page":      {none, "", "x\n", []string{"none.md"}},
		"no example":   {file, "two", "x\n", []string{`0 marked examples "two"`, file}},
		"no fence":     {file, "bare", "x\n", []string{`0 marked examples "bare"`}},
		"twice":        {twice, "one", "x\n", []string{`2 marked examples "one"`}},
		"a name's end": {file, "on", "{}\n", []string{`0 marked examples "on"`}},
		"no last line": {file, "one", "{}", []string{"would not end with its fence"}},
		"a fence":      {file, "one", "```\n", []string{"would not end with its fence"}},
		"other":        {file, "", "01  a\n03  c\n", []string{file, "02  b", "03  c", "-shown +code"}},
		"indented":     {file, "one", " {}\n", []string{"{}", "-shown +code"}},
	} {
		t.Run(title, func(t *testing.T) {
			differs := slices.Contains(c.parts, "-shown +code")
			err := pagetest.Hold(c.page, c.name, c.want, !differs) // what cannot be written is an error with -update too
			if err == nil {
				t.Fatal("it is not an error")
			}
			for _, part := range c.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is missing in: %v", part, err)
				}
			}
		})
	}
	if got := read(t, file); got != page {
		t.Errorf("a failure wrote\n%s", cmp.Diff(page, got))
	}
}

// TestUpdate writes the inside of a fence, and nothing else of the page.
func TestUpdate(t *testing.T) {
	file := written(t, page)
	if err := pagetest.Hold(file, "", "03  c $1 \n", true); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(page, "01  a\n02  b\n", "03  c $1\n", 1)
	if diff := cmp.Diff(want, read(t, file)); diff != "" {
		t.Error(diff)
	}
	pagetest.Compare(t, file, "", "03  c $1\n")
	pagetest.Compare(t, file, "one", "{}\n")
}

func TestGolden(t *testing.T) {
	file := filepath.Join(t.TempDir(), "golden.json")
	if err := pagetest.HoldFile(file, []byte("1\n"), false); err == nil {
		t.Error("a file that is not there is what the code gives")
	}
	if err := pagetest.HoldFile(file, []byte("1\n"), true); err != nil {
		t.Fatal(err)
	}
	pagetest.Golden(t, file, []byte("1\n"))
	err := pagetest.HoldFile(file, []byte("2\n"), false)
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "-shown +code") {
		t.Errorf("another text: %v", err)
	}
	if got := read(t, file); got != "1\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestLayout(t *testing.T) {
	var l pagetest.Layout
	l.Part("first", []byte(strings.Repeat("a", 33)))
	l.Part("none", nil)
	lines := strings.Repeat("61", 32) + "    first\n61\n" + strings.Repeat(" ", 68) + "none"
	pagetest.Compare(t, written(t, strings.Replace(page, "{}", lines, 1)), "one", l.String())
}
