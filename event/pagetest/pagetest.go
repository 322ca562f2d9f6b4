// Package pagetest holds pages of documentation to what the code gives: a worked example on a page is what another
// implementation is held to, so a test makes it anew and compares.
//
// An example is a fence between two comments of the page. A page with several examples names them:
//
//	<!-- example body -->
//	```
//	01    format version 1
//	```
//	<!-- end of example -->
//
// Compare compares it, Layout writes bytes as pages show them, Golden does for a whole file what Compare does for an
// example. A test run with
//
//	go test ./event -args -update
//
// writes what the code gives instead of failing, the inside of the fence and nothing else. For a format that is on
// disks and in other implementations that is right only together with a new version of the format.
//
// The room is on the lowest floor because the words are tested with it. Only tests import it.
package pagetest

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A flag has to be there before a test binary reads its arguments, so it is made with the package.
var update = flag.Bool("update", false, "write the examples of pages and the golden files anew")

// Compare fails a test when the example name of a page, "" where the page does not name it, is not want: the path of
// the page is relative to the tested package. Spaces at the ends of lines of want do not count.
func Compare(t testing.TB, page, name, want string) {
	t.Helper()
	if err := Hold(page, name, want, *update); err != nil {
		t.Error(err)
	}
}

// Golden fails a test when a file is not want.
func Golden(t testing.TB, file string, want []byte) {
	t.Helper()
	if err := HoldFile(file, want, *update); err != nil {
		t.Error(err)
	}
}

// Example is what a page shows under a name.
func Example(t testing.TB, page, name string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("read page: %v", err)
	}
	start, end, err := find(text, page, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[start:end])
}

var spacesAtEnd = regexp.MustCompile(`(?m) +$`)

// Hold is Compare without a test. With write, an example that differs is written, and no error.
func Hold(page, name, want string, write bool) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	start, end, err := find(text, page, name)
	if err != nil {
		return err
	}
	want = spacesAtEnd.ReplaceAllString(want, "")
	if !strings.HasSuffix(want, "\n") || strings.Contains(want, "```") {
		return fmt.Errorf("the example %q of %s would not end with its fence", name, page)
	}
	shown := string(text[start:end])
	if write && shown != want {
		return os.WriteFile(page, bytes.Join([][]byte{text[:start], []byte(want), text[end:]}, nil), 0o644)
	}
	return differ(fmt.Sprintf("the example %q of %s", name, page), shown, want)
}

// HoldFile is Golden without a test. With write, a file that differs or is not there is written, and no error.
func HoldFile(file string, want []byte, write bool) error {
	shown, err := os.ReadFile(file)
	if write && (err != nil || !bytes.Equal(shown, want)) {
		return os.WriteFile(file, want, 0o644)
	}
	if err != nil {
		return fmt.Errorf("read golden file: %w", err)
	}
	return differ(file, string(shown), string(want))
}

func differ(what, shown, want string) error {
	if shown == want {
		return nil
	}
	return fmt.Errorf("%s is not what the code gives (-shown +code):\n%s", what, cmp.Diff(shown, want))
}

// find tells where in a page an example begins and ends. A name that stands there twice is no name.
func find(text []byte, page, name string) (start, end int, err error) {
	if name != "" {
		name += " "
	}
	form := regexp.MustCompile("(?s)<!-- example " + regexp.QuoteMeta(name) +
		"-->\n```\\w*\n(.*?)```\n<!-- end of example -->")
	all := form.FindAllSubmatchIndex(text, -1)
	if len(all) != 1 {
		return 0, 0, fmt.Errorf("%s has %d marked examples %q, want 1", page, len(all), strings.TrimSpace(name))
	}
	return all[0][2], all[0][3], nil
}

// Layout writes bytes as pages show them: 32 to a line in hexadecimal digits, and beside the first line what they are.
type Layout struct{ strings.Builder }

// Part writes bytes. Where there are none, their label stands alone.
func (l *Layout) Part(label string, b []byte) {
	for first := true; first || len(b) > 0; first = false {
		n := min(32, len(b))
		fmt.Fprintf(l, "%-66s  %s\n", hex.EncodeToString(b[:n]), label)
		label, b = "", b[n:]
	}
}
