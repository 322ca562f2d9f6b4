package ingest_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
)

const canary = "CANARY"

// everything is a map that reads every part of an event from the record.
const everything = `
source: s
format: jsonl
events:
  - key: id
    stream: "{kind}/{id}"
    type: "{type}"
    when: [{field: skip, present: false}]
    occurred_at: {value: "{at}", optional: true}
    relations: {issuer: {value: "{rk}/{who}", optional: true}}
    metadata: {m: {value: "{m}", optional: true}}
    correlation: {value: "{cor}", optional: true}
    causation: {value: "{cau}", optional: true}
    traceparent: {value: "{tp}", optional: true}
    producer: {name: {value: "{p}", optional: true}}
    data:
      fields:
        n: {value: "{n}", type: number, optional: true}
        i: {value: "{i}", type: integer, optional: true}
        b: {value: "{b}", type: boolean, optional: true}
        j: {value: "{j}", type: json, optional: true}
        t: {value: "{t}", type: time, layout: unix, optional: true}
        b64: {value: "{b64}", type: base64, optional: true}
        bj: {value: "{bj}", type: base64+json, optional: true}
        s: {value: "{s}", type: string, optional: true}`

// bad is records and the codes they are rejected with.
func bad() map[string]string {
	const ok = `"kind":"CANARY","id":"CANARY","type":"CANARY"`
	return map[string]string{
		`{` + ok + `,"at":"CANARY"}`:                                        "malformed_time",
		`{` + ok + `,"at":{"CANARY":1}}`:                                    "wrong_type",
		`{` + ok + `,"at":true}`:                                            "wrong_type",
		`{` + ok + `,"n":"CANARY"}`:                                         "wrong_type",
		`{` + ok + `,"i":1.5}`:                                              "wrong_type",
		`{` + ok + `,"b":"CANARY"}`:                                         "wrong_type",
		`{` + ok + `,"j":"{CANARY"}`:                                        "invalid_json",
		`{` + ok + `,"j":"{\"CANARY\":1,\"CANARY\":2}"}`:                    "duplicate_name",
		`{` + ok + `,"j":"1 CANARY"}`:                                       "invalid_json",
		`{` + ok + `,"t":"CANARY"}`:                                         "malformed_time",
		`{` + ok + `,"b64":"CANARY!"}`:                                      "malformed_base64",
		`{` + ok + `,"b64":"/////w=="}`:                                     "invalid_utf8",
		`{` + ok + `,"bj":"Q0FOQVJZ"}`:                                      "invalid_json",
		`{` + ok + `,"s":["CANARY"]}`:                                       "wrong_type",
		`{` + ok + `,"cau":"CANARY"}`:                                       "malformed_id",
		`{` + ok + `,"tp":"CANARY"}`:                                        "malformed_traceparent",
		`{` + ok + `,"cor":"CANARY with spaces"}`:                           "malformed_reference",
		`{` + ok + `,"p":"CANARY\u0000"}`:                                   "malformed_producer",
		`{` + ok + `,"m":"CANARY\n"}`:                                       "malformed_metadata",
		`{` + ok + `,"rk":"k","who":"CANARY@example.com"}`:                  "personal_reference",
		`{` + ok + `,"rk":"CANARY/x","who":"1"}`:                            "malformed_name",
		`{` + ok + `,"skip":"CANARY"}`:                                      "unmatched",
		`{"kind":"CANARY?","id":"CANARY","type":"CANARY"}`:                  "malformed_name",
		`{"kind":"CANARY","id":"CANARY CANARY","type":"CANARY"}`:            "malformed_reference",
		`{"kind":"CANARY","id":"CANARY","type":" CANARY"}`:                  "malformed_type",
		`{"kind":"CANARY","id":"CANARY"}`:                                   "missing_field",
		`{"kind":"CANARY","id":["CANARY"],"type":"CANARY"}`:                 "wrong_type",
		`{"CANARY":1,"CANARY":2}`:                                           "duplicate_name",
		`{"CANARY":CANARY}`:                                                 "invalid_json",
		`["CANARY"]`:                                                        "invalid_json",
		`{"kind":"CANARY"} CANARY`:                                          "invalid_json",
		`{"kind":"CANARY` + "\xff" + `"}`:                                   "invalid_json",
		`{` + ok + `,"s":"` + strings.Repeat("CANARY", 200_000) + `"}`:      "oversized",
		`{` + ok + `,"s":"` + strings.Repeat("CANARY", 1_500_000) + `"}`:    "oversized",
		`{` + ok + `,"j":` + strings.Repeat(`[`, 20_000) + `"CANARY"` + `}`: "invalid_json",
	}
}

// TestRejectFileHoldsNoValue plants a mark in every value of records that fail in every known way, and looks for it
// in the reject file and in the errors of strict runs.
func TestRejectFileHoldsNoValue(t *testing.T) {
	m := parse(t, everything)
	for record, code := range bad() {
		got := importText(t, m, record+"\n"+`{"kind":"k","id":"1","type":"T"}`)
		shown := record[:min(len(record), 100)]
		var line struct{ Input, Code, Cause string }
		if err := json.Unmarshal([]byte(got.rejects), &line); err != nil || got.err != nil {
			t.Errorf("%s: %v, %v, rejects %q", shown, got.err, err, got.rejects)
			continue
		}
		if line.Code != code || line.Cause == "" || strings.Contains(got.rejects, canary) {
			t.Errorf("%s: want the code %s and no value, got %s", shown, code, got.rejects)
		}
		if got.summary.EventsAdded != 1 || got.summary.Rejected != 1 || got.summary.Records != 2 {
			t.Errorf("%s: %+v", shown, got.summary)
		}
		_, err := ingest.Run(t.Context(), &lines{}, [32]byte{}, m, []ingest.Input{text("in", record)},
			ingest.Options{Strict: true})
		if event.Code(err) != code || strings.Contains(err.Error(), canary) && !isReference(code) {
			t.Errorf("%s: strict, the run ended with %v", shown, err)
		}
	}
}

// isReference tells of the codes whose errors name the type or kind, as all errors of the house may.
func isReference(code string) bool {
	return strings.HasPrefix(code, "malformed_") || code == "personal_reference"
}

// TestRejectFileOfOtherFormats does the same for records that only XES and CSV have.
func TestRejectFileOfOtherFormats(t *testing.T) {
	const xes = `{source: s, format: xes, events: [
		{record: trace, stream: 'a/{id}', type: T}, {record: event, stream: 'a/{case.id}', type: T, data: {all: true}}]}`
	const csv = `{source: s, format: csv, events: [{stream: 'a/{id}', type: T, data: {all: true}}]}`
	for _, c := range []struct{ format, content, codes string }{
		{xes, `<log><trace><string key="id" value="CANARY"/><string key="id" value="CANARY"/><event/></trace></log>`,
			"duplicate_name duplicate_name"},
		{xes, `<log><trace><string key="CANARY" value="CANARY"/><event/></trace></log>`, "missing_field missing_field"},
		{xes, `<log><event><string key="CANARY" value="CANARY"/></event></log>`, "missing_field"},
		{xes, `<log><trace><string key="id" value="1"/><event><int key="CANARY" value="CANARY"/></event></trace></log>`,
			"wrong_type"},
		{xes, `<log><trace><string key="id" value="1"/><event><float key="CANARY" value="NaN"/></event></trace></log>`,
			"wrong_type"},
		{xes, `<log><trace><string key="id" value="1"/><event><string key="CANARY" value="1"/>` +
			`<string key="CANARY" value="2"/></event></trace></log>`, "duplicate_name"},
		{csv, "id,b\nCANARY,CANARY,CANARY\nCANARY\n", "malformed_row malformed_row"},
		{csv, "id,b\nCANARY,CANARY\xff\n", "invalid_utf8"},
		{csv, "id,b\n,CANARY\n", "missing_field"},
		{csv, "id,b\nCANARY CANARY,CANARY\n", "malformed_reference"},
	} {
		got := importText(t, parse(t, c.format), c.content)
		var codes []string
		for line := range strings.Lines(got.rejects) {
			var r struct{ Code string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			codes = append(codes, r.Code)
		}
		if got.err != nil || strings.Join(codes, " ") != c.codes || strings.Contains(got.rejects, canary) {
			t.Errorf("%s: %v; want %s without any value, got %s", c.content, got.err, c.codes, got.rejects)
		}
	}
}

// TestRejectsNameTheirPlace: numbers go on through inputs, lines begin anew.
func TestRejectsNameTheirPlace(t *testing.T) {
	m := parse(t, numbered)
	var rejects strings.Builder
	sum, err := ingest.Run(t.Context(), newFakeStore(), [32]byte{}, m, []ingest.Input{
		text("one", "\n{}\n"+`{"n":1,"s":"a"}`+"\n"), text("two", "\n\n\n{}"),
	}, ingest.Options{Rejects: &rejects})
	want := `{"input":"one","record":1,"line":2,"code":"missing_field","cause":"the field s is missing"}
{"input":"two","record":3,"line":4,"code":"missing_field","cause":"the field s is missing"}
`
	if diff := cmp.Diff(want, rejects.String()); diff != "" || err != nil || sum.Rejected != 2 {
		t.Errorf("%v, %+v\n%s", err, sum, diff)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestRejectFileThatCannotBeWritten(t *testing.T) {
	_, err := ingest.Run(t.Context(), newFakeStore(), [32]byte{}, parse(t, numbered), []ingest.Input{text("in", "{}")},
		ingest.Options{Rejects: brokenWriter{}})
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("the run ended with %v", err)
	}
}
