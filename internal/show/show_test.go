package show_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/internal/show"
)

// clock is a clock that stands still until it is set.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) After(time.Duration) <-chan time.Time { return nil }

// screen is an output in a format, and what came out of it.
type screen struct {
	show.Output
	stdout, stderr bytes.Buffer
	clock          clock
}

func newScreen(format string) *screen {
	s := &screen{clock: clock{time.UnixMicro(0)}}
	s.Output = show.Output{Format: format, Progress: show.Auto, Stdout: &s.stdout, Stderr: &s.stderr, Clock: &s.clock}
	return s
}

type item struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func (i item) add(l *show.List) error { return l.Add(i, i.Name, fmt.Sprint(i.Count)) }

func TestList(t *testing.T) {
	two := []item{{"a<b", 7}, {"it, too", 1234}}
	for _, test := range []struct {
		format string
		items  []item
		want   string
	}{
		{show.Table, two, "NAME     EVENTS\na<b           7\nit, too    1234\n"},
		{show.JSON, two, "[\n{\"name\":\"a<b\",\"count\":7},\n{\"name\":\"it, too\",\"count\":1234}\n]\n"},
		{show.JSONL, two, "{\"name\":\"a<b\",\"count\":7}\n{\"name\":\"it, too\",\"count\":1234}\n"},
		{show.CSV, two, "name,events\na<b,7\n\"it, too\",1234\n"},
		{show.Table, nil, ""},
		{show.JSON, nil, "[]\n"},
		{show.JSONL, nil, ""},
		{show.CSV, nil, "name,events\n"},
	} {
		s := newScreen(test.format)
		l := s.List("name", "events")
		for _, i := range test.items {
			if err := i.add(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil || l.Items() != len(test.items) {
			t.Errorf("%s: %d items, %v", test.format, l.Items(), err)
		}
		if diff := cmp.Diff(test.want, s.stdout.String()); diff != "" {
			t.Errorf("%s with %d items (-want +got):\n%s", test.format, len(test.items), diff)
		}
		chatter := ""
		if test.format == show.Table && test.items == nil {
			chatter = "nothing to show\n"
		}
		if s.stderr.String() != chatter {
			t.Errorf("%s with %d items says %q", test.format, len(test.items), &s.stderr)
		}
	}
}

// TestListIsValidAtAnyEnd: who stops in the middle and closes has written a whole document.
func TestListIsValidAtAnyEnd(t *testing.T) {
	for items := range 4 {
		s := newScreen(show.JSON)
		l := s.List("name", "count")
		for i := range items {
			if err := (item{"a", i}).add(l); err != nil {
				t.Fatal(err)
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		var got []item
		if err := json.Unmarshal(s.stdout.Bytes(), &got); err != nil || len(got) != items {
			t.Errorf("%d items: %v in %s", items, err, &s.stdout)
		}
	}
}

// TestLongTable goes over the size at which a table is written in parts: one header, no line lost, columns in line.
func TestLongTable(t *testing.T) {
	s := newScreen(show.Table)
	l := s.List("name", "count", "end")
	for i := range 2500 {
		if err := l.Add(nil, strings.Repeat("x", 1+i%7), fmt.Sprint(i), "."); err != nil {
			t.Fatal(err)
		}
		if written := s.stdout.Len() > 0; written != (i >= 999) {
			t.Fatalf("after %d rows something was written: %t", i+1, written)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text := s.stdout.String()
	if strings.Count(text, "\n") != 2501 || strings.Count(text, "NAME") != 1 {
		t.Errorf("%d lines, %d headers", strings.Count(text, "\n"), strings.Count(text, "NAME"))
	}
	for line := range strings.Lines(text) {
		if last := line[len("xxxxxxx  COUNT  "):]; last != ".\n" && last != "END\n" {
			t.Fatalf("the columns are not in line: %q", line)
		}
	}
}

func TestSingle(t *testing.T) {
	for format, want := range map[string]string{
		show.Table: "name   a<b\nlines  one\n       two\n",
		show.JSON:  "{\n  \"name\": \"a<b\",\n  \"count\": 7\n}\n",
		show.JSONL: "{\"name\":\"a<b\",\"count\":7}\n",
		show.CSV:   "name,lines\na<b,\"one\ntwo\"\n",
	} {
		s := newScreen(format)
		if err := s.Single(item{"a<b", 7}, show.Field{"name", "a<b"}, show.Field{"lines", "one\ntwo"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.stdout.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}

// TestTerminalIsNotSteered: what an event holds reaches a table as text, whatever it is.
func TestTerminalIsNotSteered(t *testing.T) {
	const evil = "a\x1b[2Jb\rc\u202ed"
	s := newScreen(show.Table)
	l := s.List("name")
	if err := errors.Join(l.Add(nil, evil), l.Close(), s.Single(nil, show.Field{"name", evil})); err != nil {
		t.Fatal(err)
	}
	if text := s.stdout.String(); strings.ContainsAny(text, "\x1b\r\u202e") || !strings.Contains(text, `a\x1b[2Jb\rc\u202ed`) {
		t.Errorf("a table shows %q", text)
	}
	if got := show.Printable("Zoë, 日本 €"); got != "Zoë, 日本 €" {
		t.Errorf("plain text becomes %q", got)
	}
}

// broken is a stream that takes nothing.
type broken struct{}

var errBroken = errors.New("the pipe is closed")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrors(t *testing.T) {
	for _, format := range show.Formats() {
		s := newScreen(format)
		s.Stdout = broken{}
		l := s.List("name")
		if err := errors.Join(l.Add(item{}, "a"), l.Close()); !errors.Is(err, errBroken) {
			t.Errorf("%s: the list ends with %v", format, err)
		}
		if err := s.Single(item{}, show.Field{"name", "a"}); !errors.Is(err, errBroken) {
			t.Errorf("%s: the single ends with %v", format, err)
		}
		if strings.HasPrefix(format, "json") {
			if err := newScreen(format).Single(func() {}); err == nil {
				t.Errorf("%s: what is no JSON is written", format)
			}
		}
	}
}

func TestMeter(t *testing.T) {
	s := newScreen(show.Table)
	m := s.Meter("import")
	at := func(after time.Duration, done, total int64) {
		s.clock.now = time.UnixMicro(0).Add(after)
		m.At(done, total, done*10, "records")
	}
	at(time.Second, 1, 10) // too soon
	at(2*time.Second, 100, 400)
	at(3*time.Second, 150, 400) // too soon after the last
	at(10*time.Second, 900, 0)
	m.Stop()
	m.Stop()
	want := "import: 25 %, 1,000 records, 500/s, 6s left\nimport: 9,000 records, 900/s\n"
	if diff := cmp.Diff(want, s.stderr.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for progress, want := range map[string]string{show.Plain: "import: 10 records, 3/s\n", show.None: ""} {
		s := newScreen(show.Table)
		s.Progress = progress
		m := s.Meter("import")
		s.clock.now = s.clock.now.Add(3 * time.Second)
		if m.At(1, 0, 10, "records"); s.stderr.String() != want {
			t.Errorf("%s says %q", progress, &s.stderr)
		}
	}
}

func TestWidth(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, stream := range []any{nil, file, &bytes.Buffer{}} {
		if width := show.Width(stream); width != 0 {
			t.Errorf("%T is a terminal of %d columns", stream, width)
		}
	}
}

func TestTexts(t *testing.T) {
	if got := show.Cut("abcdef", 4); got != "abc…" {
		t.Errorf("cut gives %q", got)
	}
	if got := show.Cut("abcd", 4); got != "abcd" {
		t.Errorf("what fits becomes %q", got)
	}
	if got := show.OneLine("line 1: bad\n  and\tworse\n"); got != "line 1: bad and worse" {
		t.Errorf("one line is %q", got)
	}
}
