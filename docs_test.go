package lethe_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeShowsTour holds the README's program against the one that Example runs.
func TestReadmeShowsTour(t *testing.T) {
	source := readText(t, "example_test.go")
	start := strings.Index(source, "func tour(")
	length := strings.Index(source[start:], "\n}\n")
	if start < 0 || length < 0 {
		t.Fatal("example_test.go has no function tour")
	}
	tour := source[start : start+length+3]
	if block := "```go\n" + tour + "```\n"; !strings.Contains(readText(t, "README.md"), block) {
		t.Errorf("README.md does not show this:\n%s", block)
	}
}

// TestArchitectureNamesFunctions finds every function that docs/ARCHITECTURE.md walks through.
func TestArchitectureNamesFunctions(t *testing.T) {
	steps := regexp.MustCompile("\\| `([a-z/]+\\.go)` `(\\w+)` \\|\n").
		FindAllStringSubmatch(readText(t, "docs/ARCHITECTURE.md"), -1)
	if len(steps) < 15 {
		t.Fatalf("only %d steps are found", len(steps))
	}
	for _, step := range steps {
		declared := regexp.MustCompile(fmt.Sprintf(`(?m)^func (\([^)]*\) )?%s\(`, step[2]))
		if !declared.MatchString(readText(t, step[1])) {
			t.Errorf("docs/ARCHITECTURE.md names %s in %s, which is not there", step[2], step[1])
		}
	}
}

// TestLinksLead follows every link from one document to another file of the project.
func TestLinksLead(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	formats, err2 := filepath.Glob("docs/format/*.md")
	roots, err3 := filepath.Glob("*.md")
	if err != nil || err2 != nil || err3 != nil {
		t.Fatal(err, err2, err3)
	}
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	code := regexp.MustCompile("(?ms)^```.*?^```")
	found := 0
	for _, page := range append(append(roots, pages...), formats...) {
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(readText(t, page), ""), -1) {
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), l[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, l[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d links are found", found)
	}
}
