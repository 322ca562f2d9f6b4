package foreign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/api"
	"github.com/lethe-es/lethe/api/openapi"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
)

var update = flag.Bool("update", false, "rewrite what the commands in docs/api.md answer")

const page = "../../docs/api.md"

var consoles = regexp.MustCompile("(?s)```console\n(.*?)```\n")

// TestPage runs the commands of all console blocks of docs/api.md, in order, in one shell against one new server.
func TestPage(t *testing.T) {
	text := string(read(t, page))
	var commands []string
	for _, block := range consoles.FindAllStringSubmatch(text, -1) {
		commands = append(commands, commandsOf(t, block[1])...)
	}
	if len(commands) < 25 {
		t.Fatalf("%s has only %d commands", page, len(commands))
	}
	answers := shell(t, open(t), commands)
	next := 0
	fresh := consoles.ReplaceAllStringFunc(text, func(block string) string {
		var out strings.Builder
		out.WriteString("```console\n")
		for _, command := range commandsOf(t, consoles.FindStringSubmatch(block)[1]) {
			out.WriteString("$ " + command + "\n" + shown(answers[next]))
			next++
		}
		return out.String() + "```\n"
	})
	if *update {
		if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(text, fresh); diff != "" {
		t.Errorf("docs/api.md shows other answers than the server gives; if they are right run "+
			"go test ./e2e/foreign -run TestPage -args -update (-page +now):\n%s", diff)
	}
}

// commandsOf finds the commands of a block. One goes on in the next line after a backslash, or while a quote is open.
func commandsOf(t *testing.T, block string) []string {
	t.Helper()
	var all []string
	open := false
	for line := range strings.Lines(block) {
		line = strings.TrimSuffix(line, "\n")
		command, begins := strings.CutPrefix(line, "$ ")
		switch {
		case open:
			all[len(all)-1] += "\n" + line
		case begins:
			all = append(all, command)
		default:
			continue // what an earlier run answered
		}
		last := all[len(all)-1]
		open = strings.HasSuffix(last, "\\") || strings.Count(last, "'")%2 == 1
	}
	if open {
		t.Fatalf("a command does not end: %s", all[len(all)-1])
	}
	return all
}

// shell runs commands in one bash, so that what one sets the next knows, and gives what each prints.
func shell(t *testing.T, d door, commands []string) []string {
	t.Helper()
	const mark = "-- end of command --"
	var script strings.Builder
	for _, command := range commands {
		fmt.Fprintf(&script, "%s\necho; echo '%s'\n", command, mark)
	}
	bash := command(t, t.TempDir(), "bash", "-u", "-c", script.String())
	command(t, "", "curl") // so that who lacks it is told where it comes from
	bash.Env = append(bash.Env, "LETHE="+d.URL, "LETHE_TOKEN="+d.Token)
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Fatalf("run the commands: %v\n%s", err, out)
	}
	answers := strings.Split(string(out), mark+"\n")
	if len(answers) != len(commands)+1 {
		t.Fatalf("%d commands gave %d answers:\n%s", len(commands), len(answers)-1, out)
	}
	return answers
}

// shown is an answer as the page has it: JSON with room, and without what differs from run to run.
func shown(answer string) string {
	var out strings.Builder
	for line := range strings.Lines(strings.TrimSpace(answer)) {
		out.WriteString(roomy(masked(roomy(strings.TrimRight(line, "\n")))) + "\n")
	}
	return strings.TrimPrefix(out.String(), "\n")
}

// pageWidth is how wide JSON gets before it is put on more lines.
const pageWidth = 130

// roomy writes a line of JSON as people do: what fits on a line stays on it. White space of its own differs between
// builds. Any other line stays as it is.
func roomy(line string) string {
	var v jsontext.Value
	if v = jsontext.Value(line); v.Kind() != '{' || !v.IsValid() {
		return line
	}
	return laidOut(v, "")
}

func laidOut(v jsontext.Value, indent string) string {
	flat := v.Clone()
	if err := flat.Format(jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true)); err != nil {
		return string(v)
	}
	if len(indent)+len(flat) <= pageWidth || v.Kind() != '{' && v.Kind() != '[' {
		return string(flat)
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	open, err := d.ReadToken()
	if err != nil {
		return string(v)
	}
	inner := indent + "  "
	var parts []string
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		part := inner
		if open.Kind() == '{' {
			name, err := d.ReadValue()
			if err != nil {
				return string(v)
			}
			part += string(name) + ": "
		}
		value, err := d.ReadValue()
		if err != nil {
			return string(v)
		}
		parts = append(parts, part+laidOut(value, inner))
	}
	closing := map[jsontext.Kind]string{'{': "}", '[': "]"}[open.Kind()]
	return open.String() + "\n" + strings.Join(parts, ",\n") + "\n" + indent + closing
}

// masked leaves out aliases, leaves, cursors, hashes and secrets, then ids of lives, tokens and incidents, then sizes.
func masked(text string) string {
	for _, m := range [][2]string{
		{`krid_[0-9a-v]{26}`, "krid_…"},
		{`[A-Za-z0-9+/=_-]{40,}`, "…"},
		{`\b[0-9a-f]{32}\b`, "…"},
		{`"[0-9]{15,20}"`, `"…"`},
		{`("id"|"token"): "[0-9a-z]{12}"`, `$1: "…"`},
		{`"(keyrings|lookups|retentions|uses|other)": "[0-9]+"`, `"$1": "…"`},
		{`("part": "\w+")(, "bytes": "[0-9]+")?`, `$1, "bytes": "…"`},
	} {
		text = regexp.MustCompile(m[0]).ReplaceAllString(text, m[1])
	}
	return text
}

// TestPageHasEveryCall finds every unary call in a command of docs/api.md.
func TestPageHasEveryCall(t *testing.T) {
	blocks := strings.Join(consoles.FindAllString(string(read(t, page)), -1), "")
	calls := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("lethe.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				if m.IsStreamingServer() {
					continue
				}
				calls++
				if !strings.Contains(blocks, " $LETHE/"+openapi.Procedure(m)+" ") {
					t.Errorf("%s does not show %s", page, openapi.Procedure(m))
				}
			}
		}
		return true
	})
	if calls < 18 {
		t.Errorf("only %d unary calls are found", calls)
	}
}

// failing is a store whose every question comes to one error.
type failing struct {
	lethe.Backend
	err error
}

func (f failing) Head(context.Context) (storage.Head, error) { return storage.Head{}, f.err }

func (failing) Close() error { return nil }

// TestPageErrors lets a store fail in every class of errors, and compares code and status with the table of the page.
func TestPageErrors(t *testing.T) {
	classes := []error{
		event.ErrInvalid, event.ErrNotFound, event.ErrConflict, event.ErrDuplicate, event.ErrClosed, event.ErrForked,
		event.ErrUnknown, event.ErrFailed, event.ErrFull, event.ErrHeld, event.ErrUnavailable, event.ErrDenied,
		event.ErrUnsupported, event.ErrFormat, event.ErrCorrupt, context.Canceled, context.DeadlineExceeded,
		errors.New("nobody knows"),
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\| (\\d+) \\|")
	rows := row.FindAllStringSubmatch(string(read(t, page)), -1)
	if len(rows) != len(classes) {
		t.Fatalf("the table has %d rows, there are %d classes", len(rows), len(classes))
	}
	for i, class := range classes {
		s, err := server.New([]server.Tenant{{Name: storeName, Store: lethe.New(failing{err: class}, storage.Identity{})}},
			server.Options{NoTokens: true})
		if err != nil {
			t.Fatal(err)
		}
		call := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/lethe.v1.LogService/Head",
			strings.NewReader("{}"))
		call.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, call)
		var said struct {
			Code    string
			Details []struct{ Debug struct{ Kind string } }
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &said); err != nil || len(said.Details) != 1 {
			t.Fatalf("%v is told as %s", class, answer.Body)
		}
		got := []string{said.Details[0].Debug.Kind, said.Code, fmt.Sprint(answer.Code)}
		if diff := cmp.Diff(rows[i][1:], got); diff != "" {
			t.Errorf("row %d is not what the server says (-page +server):\n%s", i+1, diff)
		}
	}
}

// TestDocumentIsServed asks for everything that openapi.json lists: each answers, as what it is said to be.
func TestDocumentIsServed(t *testing.T) {
	d := open(t)
	served := curl(t, d, d.URL+"/openapi.json")
	if served != string(api.OpenAPI) {
		t.Fatalf("the server gives out another document, which begins with %.60s", served)
	}
	var document struct {
		Paths map[string]map[string]struct{ Security []any }
	}
	if err := json.Unmarshal([]byte(served), &document); err != nil {
		t.Fatal(err)
	}
	for path, item := range document.Paths {
		for method, operation := range item {
			call, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), d.URL+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			checkServed(t, call, operation.Security != nil) // an empty list: no token is needed
			call.Header.Set("Authorization", "Bearer "+d.Token)
			checkServed(t, call, true)
		}
	}
}

// checkServed makes a call without a message: it may be refused for that, and unless it is open, for want of a token;
// but it is never unknown.
func checkServed(t *testing.T, call *http.Request, open bool) {
	t.Helper()
	if strings.HasSuffix(call.URL.Path, "/events") {
		call.URL.RawQuery = "follow=false"
	}
	answer, err := http.DefaultTransport.RoundTrip(call)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	refused := answer.StatusCode == http.StatusUnauthorized
	if unknown := answer.StatusCode == http.StatusNotFound; unknown || refused == open {
		t.Errorf("%s %s, open %t, answers %s", call.Method, call.URL.Path, open, answer.Status)
	}
}
