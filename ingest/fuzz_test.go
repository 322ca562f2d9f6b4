package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/log"
)

// strictSink checks what a map can make of anything: data is whole JSON, ids are of version 8.
type strictSink struct{ tb testing.TB }

func (s strictSink) AppendEach(_ context.Context, requests []log.Request) []log.Outcome {
	for _, r := range requests {
		for _, w := range r.Writes {
			for _, d := range w.Events {
				if d.ID[6]>>4 != 8 || d.ID[8]>>6 != 2 {
					s.tb.Fatalf("the id %s is not of version 8", d.ID)
				}
				if len(d.Data) > 0 && !json.Valid(d.Data) {
					s.tb.Fatalf("data that is not JSON: %q", d.Data)
				}
			}
		}
	}
	return make([]log.Outcome, len(requests))
}

// fuzzInput runs a map over anything, which must end with a known error or none.
func fuzzInput(f *testing.F, m *ingest.Map) {
	f.Fuzz(func(t *testing.T, content string) {
		_, err := ingest.Run(t.Context(), strictSink{t}, [32]byte{}, m, []ingest.Input{text("in", content)},
			ingest.Options{BatchEvents: 3})
		if err != nil && event.Code(err) != "malformed_input" {
			t.Fatalf("the run ended with %v", err)
		}
		if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), canary)) {
			t.Fatalf("the error shows too much: %v", err)
		}
	})
}

func FuzzXES(f *testing.F) {
	f.Add(examples(f)["xes"]["input"])
	f.Add(pack(f, examples(f)["xes"]["input"]))
	f.Add(`<log><trace><list key="id"><string key="a" value="&#x41;"/></list><event/></trace><event/></log>`)
	f.Add(`<!DOCTYPE a><log/>`)
	fuzzInput(f, parse(f, `{source: s, format: xes, events: [
		{record: trace, stream: 'visit/{concept:name}', type: '{a.0.ward}', key: 'concept:name', data: {all: true}},
		{record: event, stream: 'visit/{case.concept:name}', type: '{concept:name}', data: {all: true}}]}`))
}

func FuzzJSONLines(f *testing.F) {
	f.Add(examples(f)["decision-record"]["input"])
	f.Add(`{"a":{"b":[{"c":"\ud83d\ude00"}]},"j":"{\"x\":1}","t":1e999,"n":"+0007.50"}`)
	fuzzInput(f, parse(f, `{source: s, format: jsonl, events: [{stream: 'a/1', type: T,
		correlation: {value: '{a.b.0.c}', optional: true}, occurred_at: {value: '{t}', layout: unix_us, optional: true},
		data: {all: true, fields: {j: {value: '{j}', type: json, optional: true},
			n: {value: '{n}', type: number, optional: true}, b: {value: '{data}', type: base64+json, optional: true}}}}]}`))
}

func FuzzCSV(f *testing.F) {
	f.Add(examples(f)["csv"]["input"])
	f.Add("Invoice no.,a\n1,\"2\"\"\n\"\n")
	fuzzInput(f, parse(f, `{source: s, format: csv, delimiter: ';', events: [
		{stream: 'a/{Invoice no.}', type: T, data: {all: true, fields: {amount: {value: '{amount}', type: number}}}}]}`))
}

func FuzzParseMap(f *testing.F) {
	for _, parts := range examples(f) {
		f.Add(parts["map"])
	}
	f.Add("source: s\nformat: jsonl\nevents:\n- {stream: 'a/{b\\.c}', type: T, " +
		"occurred_at: {value: '{t}', layout: '02.01.06', zone: UTC}}")
	f.Add("a: &a [*a, *a]")
	f.Fuzz(func(t *testing.T, content string) {
		m, err := ingest.ParseMap([]byte(content))
		if err != nil {
			if event.Code(err) != "invalid_map" {
				t.Fatalf("it ended with %v", err)
			}
			return
		}
		_, err = ingest.Run(t.Context(), strictSink{t}, [32]byte{}, m, []ingest.Input{{Name: "in",
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }}}, ingest.Options{})
		if err != nil && !errors.Is(err, event.ErrInvalid) {
			t.Fatalf("its run ended with %v", err)
		}
	})
}

// BenchmarkXES reads and maps a made log of 20,000 events.
func BenchmarkXES(b *testing.B) {
	const tail = `<string key="lifecycle:transition" value="COMPLETE"/><string key="org:resource" value="112"/>` +
		"\n\t\t\t" + `<date key="time:timestamp" value="2011-10-01T00:38:44.546+02:00"/></event>` + "\n"
	trace := `<trace><date key="REG_DATE" value="2011-10-01T00:38:44.546+02:00"/><string key="AMOUNT_REQ" value="20000"/>` +
		`<string key="concept:name" value="173688"/>` +
		strings.Repeat("\n\t\t<event>\n\t\t\t"+`<string key="concept:name" value="A_SUBMITTED"/>`+"\n\t\t\t"+tail, 20) + "</trace>\n"
	content := "<log>" + strings.Repeat(trace, 1000) + "</log>"
	m := loansMap(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		d := &discard{}
		inputs := []ingest.Input{text("in", content)}
		if _, err := ingest.Run(b.Context(), d, [32]byte{}, m, inputs, ingest.Options{}); err != nil {
			b.Fatal(err)
		}
		if d.events != 21_000 {
			b.Fatalf("%d events", d.events)
		}
	}
}
