package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/log"
)

const plainXES = `{source: s, format: xes, events: [
	{record: trace, stream: 'a/{id}', type: Begun}, {record: event, stream: 'a/{case.id}', type: '{n}', data: {all: true}}]}`

// TestHostileXES: whatever is wrong with the XML, what stands before it is imported and the error says where it is.
func TestHostileXES(t *testing.T) {
	const good = `<trace><string key="id" value="1"/></trace>` + "\n"
	for name, c := range map[string]struct {
		head, bad string
		line      int
	}{
		"document type":       {`<?xml version="1.0"?><!DOCTYPE log [<!ENTITY a "b">]><log>`, "", 1},
		"billion laughs":      {`<!DOCTYPE log [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>` + "\n<log>", "", 1},
		"external entity":     {`<!DOCTYPE log SYSTEM "file:///etc/passwd"><log>`, "", 1},
		"later document type": {"<log>\n", "<!DOCTYPE x>", 3},
		"unknown entity":      {"<log>\n", `<trace><string key="a" value="&lol;"/></trace>`, 3},
		"character 0":         {"<log>\n", `<trace><string key="a" value="&#0;"/></trace>`, 3},
		"surrogate":           {"<log>\n", `<trace><string key="a" value="&#xd800;"/></trace>`, 3},
		"huge reference":      {"<log>\n", `<trace><string key="a" value="&#9999999999;"/></trace>`, 3},
		"control character":   {"<log>\n", "<trace><string key=\"a\" value=\"\x01\"/></trace>", 3},
		"not UTF-8":           {"<log>\n", "<trace>\n<string key=\"a\" value=\"\xff\"/></trace>", 4},
		"encoding":            {`<?xml version="1.0" encoding="ISO-8859-1"?><log>`, "", 1},
		"late declaration":    {"\n<?xml version='1.0'?><log>", "", 2},
		"deep nesting":        {"<log>\n", "<trace>" + strings.Repeat(`<string key="a" value="b">`, 70), 3},
		"deep unknown":        {"<log>\n", strings.Repeat(`<x>`, 100_000), 3},
		"huge tag":            {"<log>\n", `<trace><string key="a" value="` + strings.Repeat("x", 3<<20) + `"/>`, 3},
		"huge name":           {"<log>\n", `<` + strings.Repeat("x", 300) + `/>`, 3},
		"many attributes":     {"<log>\n", "<x " + manyAttributes(70) + "/>", 3},
		"many XES attributes": {"<log>\n", "<trace>" + strings.Repeat(`<int key="a" value="1"/>`, 17_000), 3},
		"fat record": {"<log>\n", "<trace>" +
			strings.Repeat(`<string key="a" value="`+strings.Repeat("x", 1<<20)+`"/>`, 9), 3},
		"repeated attribute": {"<log>\n", `<trace><string key="a" key="b" value="c"/></trace>`, 3},
		"no quotes":          {"<log>\n", `<trace><string key=a value="c"/></trace>`, 3},
		"no space":           {"<log>\n", `<trace><string key="a"value="c"/></trace>`, 3},
		"no value":           {"<log>\n", `<trace><string key="a"/></trace>`, 3},
		"no key":             {"<log>\n", `<trace><string value="a"/></trace>`, 3},
		"crossed tags":       {"<log>\n", `<trace></log></trace>`, 3},
		"less-than in value": {"<log>\n", `<trace><string key="a" value="<"/></trace>`, 3},
		"text":               {"<log>\n", "<trace>\n\n  words</trace>", 5},
		"CDATA":              {"<log>\n", "<trace><![CDATA[words]]></trace>", 3},
		"unknown in a trace": {"<log>\n", "<trace><surprise/></trace>", 3},
		"unknown in an event": {"<log>\n",
			`<trace><string key="id" value="1"/><event>` + "\n" + `<trace/></event></trace>`, 4},
		"attribute after an event": {"<log>\n",
			`<trace><string key="id" value="1"/><event/><string key="x" value="1"/></trace>`, 3},
		"second root":      {"<log>\n", "</log>\n<log/>", 4},
		"words at the end": {"<log>\n", "</log>words", 3},
		"not a log":        {"<html>", "", 1},
		"no element":       {"<!-- nothing -->\n", "", 2},
		"binary":           {"\x00\x01\x02", "", 1},
		"open comment":     {"<log>\n", "<!-- ", 3},
		"comment's end":    {"<log>\n", "<!-->", 3},
	} {
		content := c.head
		if c.bad != "" {
			content += good + c.bad
		}
		got := importText(t, parse(t, plainXES), content)
		want := fmt.Sprintf("read input in: line %d: ", c.line)
		if event.Code(got.err) != "malformed_input" || !strings.Contains(got.err.Error(), want) {
			t.Errorf("%s: want %q, the run ended with %v", name, want, got.err)
		}
		if c.bad != "" && (len(got.events) == 0 || !strings.HasPrefix(got.events[0], `{"stream":"a/1"`)) {
			t.Errorf("%s: the trace before it is lost: %q", name, got.events)
		}
		if got.err != nil && len(got.err.Error()) > 300 {
			t.Errorf("%s: the error has %d bytes", name, len(got.err.Error()))
		}
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d="1"`, i)
	}
	return b.String()
}

// TestXESIsReadAsXML: what XML allows is understood.
func TestXESIsReadAsXML(t *testing.T) {
	const document = "\ufeff<?xml version='1.0' encoding='utf-8' standalone=\"yes\" ?>\n<!-- a < b --><?tool x?>\r\n" +
		`<x:log a:b='>' xmlns:x="u"><extension name="a"><deep>words &amp; <![CDATA[ <more> ]]></deep></extension>` +
		`<string key="of the log" value=""><string key="x" value=""/></string><classifier name='c' keys="n"/>` +
		`<x:trace ><x:string value='1' key = "id"></x:string><event><string key='n' value="&lt;&#65;&#x42;'` + "\t\n" +
		`>&quot;"/><boolean key="b" value="FALSE"/><int key="i" value="+007"/><float key="f" value="-1.50E3"/>` +
		`<id key="u" value="x"/><date key="d" value="now"><string key="k" value="v"/></date><list key="l"/>` +
		`<container key="c"><int key="i" value="1"/><list key="m"><values/></list></container></event></x:trace ></x:log>` + "\n"
	got := importText(t, parse(t, plainXES), document)
	want := `{"stream":"a/1","type":"<AB'  >\"","data":{"n":"<AB'  >\"","b":false,"i":7,"f":-1.50E3,"u":"x",` +
		`"d":{"value":"now","nested":{"k":"v"}},"l":[],"c":[{"i":1},{"m":[]}]}}`
	if got.err != nil || got.rejects != "" || len(got.events) != 2 || got.events[1] != want {
		t.Errorf("%v, rejects %s\ngot  %s\nwant %s", got.err, got.rejects, got.events, want)
	}
}

// TestCutOffAtEveryByte: nothing is made up, and the run says that something is missing.
func TestCutOffAtEveryByte(t *testing.T) {
	for name, parts := range examples(t) {
		m, input := parse(t, parts["map"]), strings.TrimRight(parts["input"], "\n")
		whole := importText(t, m, input)
		for n := range len(input) {
			got := importText(t, m, input[:n])
			if len(got.events) > len(whole.events) {
				t.Fatalf("%s cut off at %d gives %d events, the whole %d", name, n, len(got.events), len(whole.events))
			}
			for i, e := range got.events {
				if name != "csv" && e != whole.events[i] {
					t.Fatalf("%s cut off at %d: event %d is %s", name, n, i, e)
				}
			}
			if name == "xes" && event.Code(got.err) != "malformed_input" {
				t.Fatalf("%s cut off at %d: the run ended with %v", name, n, got.err)
			}
		}
		packed := pack(t, input)
		for n := 3; n < len(packed); n++ {
			if got := importText(t, m, packed[:n]); event.Code(got.err) != "malformed_input" {
				t.Fatalf("%s, packed, cut off at %d of %d: the run ended with %v", name, n, len(packed), got.err)
			}
		}
	}
}

func TestDamagedGzip(t *testing.T) {
	packed := []byte(pack(t, strings.Repeat(`{"n":1,"s":"1"}`+"\n", 1000)))
	packed[len(packed)-6] ^= 1 // its checksum
	got := importText(t, parse(t, numbered), string(packed))
	if event.Code(got.err) != "malformed_input" || len(got.events) == 0 {
		t.Errorf("%d events, the run ended with %v", len(got.events), got.err)
	}
}

func TestHostileCSV(t *testing.T) {
	const m = `{source: s, format: csv, events: [{stream: 'a/{id}', type: T}]}`
	for name, c := range map[string]struct {
		content, want string
		events        int
	}{
		"empty":           {"", "line 1: it has no header row", 0},
		"no column":       {"x,y\n1,2\n", "line 1: its header row lacks the column id", 0},
		"repeated column": {"id,id\n1,2\n", "line 1: its header row repeats", 0},
		"bare quote":      {"id\n1\n2\"3\n4\n", "line 3: a quote", 1},
		"open quote":      {"id\n1\n\"2\n", "a quote", 1},
		"endless row":     {"id\n1\n\"" + strings.Repeat("2\n", 5<<20), "line 3: a row is longer", 1},
		"endless header":  {"id" + strings.Repeat("x", 9<<20), "line 1: a row is longer", 0},
	} {
		got := importText(t, parse(t, m), c.content)
		if event.Code(got.err) != "malformed_input" || !strings.Contains(got.err.Error(), c.want) ||
			len(got.events) != c.events {
			t.Errorf("%s: %d events, the run ended with %v", name, len(got.events), got.err)
		}
	}
}

// TestUnreadableInputs tells a disk that fails from a file that is broken.
func TestUnreadableInputs(t *testing.T) {
	disk := errors.New("the disk is on fire")
	for name, open := range map[string]func() (io.ReadCloser, error){
		"open": func() (io.ReadCloser, error) { return nil, disk },
		"read": func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(disk)), nil },
		"read later": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(`{"n":1,"s":"1"}`+"\n{"), iotest.ErrReader(disk))), nil
		},
	} {
		for _, text := range []string{numbered, traced, `{source: s, format: csv, events: [{stream: 'a/{s}', type: T}]}`} {
			_, err := ingest.Run(t.Context(), newFakeStore(), [32]byte{}, parse(t, text),
				[]ingest.Input{{Name: "in", Open: open}}, ingest.Options{})
			if name == "read later" && text != numbered {
				continue // the beginning is not of that format
			}
			if !errors.Is(err, disk) || !errors.Is(err, event.ErrUnavailable) {
				t.Errorf("%s: the run ended with %v", name, err)
			}
		}
	}
}

// TestOneByteAtATime: where reads end has no part in what is read.
func TestOneByteAtATime(t *testing.T) {
	for name, parts := range examples(t) {
		sink := &lines{}
		_, err := ingest.Run(t.Context(), sink, [32]byte{}, parse(t, parts["map"]), []ingest.Input{{Name: "in",
			Open: func() (io.ReadCloser, error) {
				return io.NopCloser(iotest.OneByteReader(strings.NewReader(parts["input"]))), nil
			}}}, ingest.Options{})
		if got := strings.Join(sink.shown, "\n"); err != nil || got != strings.TrimSpace(parts["events"]) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

// stuck is an input that never gives anything until it is closed.
type stuck struct{ closed chan struct{} }

func (s stuck) Read([]byte) (int, error) { <-s.closed; return 0, io.ErrClosedPipe }
func (s stuck) Close() error             { close(s.closed); return nil }

// TestCancelEndsAWaitingRead: a run that waits for a pipe ends when it is told to, and closes the pipe.
func TestCancelEndsAWaitingRead(t *testing.T) {
	in := stuck{make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := ingest.Run(ctx, newFakeStore(), [32]byte{}, parse(t, numbered), []ingest.Input{{Name: "pipe",
		Open: func() (io.ReadCloser, error) { cancel(); return in, nil }}}, ingest.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the run ended with %v", err)
	}
	<-in.closed
}

// shrinking measures the live memory while events pass and keeps none of them.
type shrinking struct{ highest uint64 }

func (s *shrinking) AppendEach(_ context.Context, requests []log.Request) []log.Outcome {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	s.highest = max(s.highest, m.HeapAlloc)
	return make([]log.Outcome, len(requests))
}

// TestMemoryIsBounded feeds 128 MB of fat records.
func TestMemoryIsBounded(t *testing.T) {
	fat := `{"n":1,"s":"1","x":"` + strings.Repeat("x", 1_000_000) + `"}` + "\n"
	sink := &shrinking{}
	open := func() (io.ReadCloser, error) { return io.NopCloser(&repeat{text: fat, left: 128}), nil }
	sum, err := ingest.Run(t.Context(), sink, [32]byte{}, parse(t, numbered),
		[]ingest.Input{{Name: "in", Open: open}}, ingest.Options{})
	if err != nil || sum.EventsAdded != 128 {
		t.Fatalf("%v, %+v", err, sum)
	}
	if sink.highest > 64<<20 {
		t.Errorf("%d MiB were in use", sink.highest>>20)
	}
}

// repeat gives text again and again.
type repeat struct {
	text string
	at   int
	left int
}

func (r *repeat) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.text[r.at:])
	if r.at += n; r.at == len(r.text) {
		r.at, r.left = 0, r.left-1
	}
	return n, nil
}
