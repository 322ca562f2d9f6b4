package ingest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
)

// TestMapErrors: every mistake in a map is told with its line.
func TestMapErrors(t *testing.T) {
	const head = "source: s\nformat: jsonl\nevents:\n  - stream: a/1\n    type: T\n"
	const xes = "source: s\nformat: xes\nevents:\n  - stream: a/1\n    type: T\n"
	for _, c := range []struct{ text, want string }{
		{"", "line 1: it is empty"},
		{"- a", "line 1: the map must be a mapping"},
		{"source: s\nformat: [", "not YAML"},
		{"source: s", `line 1: the map lacks the key "format"`},
		{"format: csv", `line 1: the map lacks the key "source"`},
		{"source: ''\nformat: csv", "line 1: source must have 1 to 255 bytes"},
		{"source:\nformat: csv", "line 1: source must be a text"},
		{"source: s\nformat: xml", "line 2: format must be xes, jsonl or csv"},
		{"source: s\nformat: csv", `lacks the key "events"`},
		{"source: s\nformat: csv\nevents: []", "line 3: events must list 1 to 64"},
		{"source: s\nformat: csv\nevents: {}", "line 3: events must be a list"},
		{"source: s\nsource: t", `line 2: the map has the key "source" twice`},
		{"a: &x b", `line 1: the map has the unknown key "a"`},
		{"source: &x b", "line 1: source must be a text"},
		{head + "---\nsource: s", "more than one YAML document"},
		{head + "delimiter: ;", "line 6: delimiter is for format csv"},
		{head + "unmatched: maybe", "line 6: unmatched must be reject or skip"},
		{head + "    record: event", "line 6: record is for format xes"},
		{xes, `line 4: an event of format xes lacks the key "record"`},
		{xes + "    record: log", "line 6: record must be trace or event"},
		{head + "    streem: b", `line 6: an event has the unknown key "streem"; known are record, when,`},
		{head + "    occurred_at: {at}", `line 6: occurred_at has the unknown key "at"; known are value, optional`},
		{head + "    occurred_at: {{at}}", "a text that begins with { needs quotes"},
		{head + "    data: {a: '{b}'}", `line 6: data has the unknown key "a"`},
		{head + "    correlation: '{a'", "line 6: a { has no } after it"},
		{head + "    correlation: 'a}'", "line 6: a } has no { before it"},
		{head + "    correlation: '{}'", "line 6: a field's name is empty"},
		{head + "    correlation: '{ a}'", "line 6: a field's name is empty, or has a space around it"},
		{head + "    correlation: '{a..b}'", "line 6: a field's name has an empty step"},
		{head + `    correlation: '{a\\`, "not YAML"},
		{head + "    key: []", "line 6: key names no field"},
		{head + "    key: {a: b}", "line 6: key must be a text"},
		{head + "    when: {field: a, is: b}", "line 6: when must be a list"},
		{head + "    when: [{is: b}]", `line 6: a condition lacks the key "field"`},
		{head + "    when: [{field: a}]", "line 6: a condition has a field and one of is, not, present"},
		{head + "    when: [{field: a, present: b}]", "line 6: present must be true or false"},
		{head + "    metadata: {a b: c}", "line 6: metadata: check metadata key"},
		{head + "    relations: {is suer: a/b}", "line 6: relations: check relation role"},
		{head + "    relations: {issuer: a}", "line 6: a relation must be kind/id"},
		{head + "    relations: {issuer: '{a/b}'}", "line 6: a relation must be kind/id"},
		{head + "    relations: {issuer: 'a/b@example.com'}", "looks like an e-mail address"},
		{head + "    relations: {issuer: {value: a/b, default: c}}",
			`line 6: a relation has the unknown key "default"`},
		{head + "    occurred_at: {layout: unix}", `line 6: occurred_at lacks the key "value"`},
		{head + "    occurred_at: {value: a, layout: 'yyyy'}", "line 6: layout must be rfc3339, unix"},
		{head + "    occurred_at: {value: a, layout: 'unixx'}", "line 6: layout must be rfc3339, unix"},
		{head + "    occurred_at: {value: a, layout: '2006-01-02'}", "line 6: layout names no time zone"},
		{head + "    occurred_at: {value: a, layout: '2006-01-02 MST'}", "line 6: layout has the zone in letters"},
		{head + "    occurred_at: {value: a, zone: Mars/Olympus}", "line 6: zone must be an offset"},
		{head + "    occurred_at: {value: a, type: time}", `unknown key "type"`},
		{head + "    correlation: {value: a, optional: yes please}", "line 6: optional must be true or false"},
		{head + "    correlation: {value: a, optional: true, default: b}",
			"line 6: correlation is optional and has a default"},
		{head + "    data: {fields: {a: {value: b, type: float}}}", "line 6: type must be string, number"},
		{head + "    data: {fields: {a: {value: b, type: json, zone: UTC}}}",
			"line 6: data.fields.a: layout and zone are for times"},
		{head + "    data: {fields: {a: {value: b, type: number, default: none}}}",
			"line 6: data.fields.a: default is not a number"},
		{head + "    data: {object: '{a}', all: true}", "line 6: data has an object, which is all of it"},
		{head + "    data: {except: [a]}", "line 6: data.except goes with all: true"},
		{head + "    producer: {vendor: a}", `line 6: producer has the unknown key "vendor"`},
		{"source: s\nformat: csv\ndelimiter: ';;'", "line 3: delimiter must be one character"},
		{"source: s\nformat: csv\nevents:\n- {stream: a/, type: T}", "line 4: stream: check stream id"},
		{"source: s\nformat: csv\nevents:\n- {stream: a/b, type: ''}", "line 4: type: check event type"},
		{"source: s\nformat: csv\nevents:\n- {type: ''}", `line 4: an event lacks the key "stream"`},
		{"source: s\nformat: csv\nevents:\n- {stream: a/b}", `line 4: an event lacks the key "type"`},
		{"a: " + strings.Repeat("x", 1<<20), "larger than 1 MiB"},
	} {
		m, err := ingest.ParseMap([]byte(c.text))
		if m != nil || event.Code(err) != "invalid_map" || !errors.Is(err, event.ErrInvalid) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nwant %q\ngot  %v", c.text[:min(len(c.text), 200)], c.want, err)
		}
	}
}

// TestMapping shows what each word of a map does with a record.
func TestMapping(t *testing.T) {
	const head = "{source: s, format: jsonl, events: [{stream: k/1, type: T, "
	for _, c := range []struct{ what, record, want string }{
		{`correlation: "{a}-{{b}}-{c.d}"`, `{"a":1.50,"c":{"d":true}}`, `"correlation":"1.50-{b}-true"`},
		{`correlation: '{a\.b}{c.1.d}'`, `{"a.b":"x","c":[0,{"d":"y"}]}`, `"correlation":"xy"`},
		{`correlation: '{a\}\\}'`, `{"a}\\":"x"}`, `"correlation":"x"`},
		{`correlation: '{a}{a.b}'`, `{"a":{"b":"x"}}`, `"code":"wrong_type"`},
		{`correlation: '{a.b}', traceparent: {value: '{a}', optional: true}`, `{"a":{"b":"x"}}`, `"code":"wrong_type"`},
		{`correlation: {value: "{a}", default: none}`, `{"a":null}`, `"correlation":"none"`},
		{`correlation: {value: "x{a}{b}", optional: true}`, `{"a":"1"}`, `{"stream":"k/1","type":"T"}`},
		{`causation: "{a}"`, `{"a":"0190a8c4-5b1e-7c33-9d6f-2b8f3a1c4d5e"}`,
			`"causation":"0190a8c4-5b1e-7c33-9d6f-2b8f3a1c4d5e"`},
		{`occurred_at: "{a}"`, `{"a":"2024-02-03T04:05:06.123456789+02:00"}`, `"occurred_at":"2024-02-03T02:05:06.123456Z"`},
		{`occurred_at: {value: "{a}", zone: "-01:30"}`, `{"a":"2024-02-03T04:05:06"}`, `"occurred_at":"2024-02-03T05:35:06Z"`},
		{`occurred_at: {value: "{a}", layout: unix}`, `{"a":86400}`, `"occurred_at":"1970-01-02T00:00:00Z"`},
		{`occurred_at: {value: "{a}", layout: unix_ms}`, `{"a":"-1"}`, `"occurred_at":"1969-12-31T23:59:59.999Z"`},
		{`occurred_at: {value: "{a} {b}", layout: "2006-01-02 15:04 -0700"}`, `{"a":"2024-02-03","b":"04:05 +0100"}`,
			`"occurred_at":"2024-02-03T03:05:00Z"`},
		{`metadata: {n: "{a}", o: {value: "{b}", optional: true}}`, `{"a":false}`, `"metadata":{"n":"false"}`},
		{`relations: {affected: ["x/{a}", "{b}/y/{a}"]}`, `{"a":"1/2","b":"z"}`,
			`"relations":["affected=x/1/2","affected=z/y/1/2"]`},
		{`data: {fields: {"a b": "{a}", c: "{a}!"}}`, `{"a":[1, {"b":2}]}`, `"code":"wrong_type"`},
		{`data: {fields: {"a b": "{a}", c: "{b}", d: x}}`, `{"a":[1, {"b":2}],"b":12345678901234567890.10}`,
			`"data":{"a b":[1,{"b":2}],"c":12345678901234567890.10,"d":"x"}`},
		{`data: {fields: {n: {value: "{a}", default: 7}, o: {value: "{a}", default: "7"}, p: {value: "{a}", default: true}}}`,
			`{}`, `"data":{"n":7,"o":"7","p":true}`},
		{`data: {fields: {s: {value: "{a}", type: string}, n: {value: "{b}", type: number}}}`, `{"a":1.0,"b":"-00.5e+3"}`,
			`"data":{"s":"1.0","n":-0.5e+3}`},
		{`data: {fields: {t: {value: "{a}", type: time, layout: "02.01.06", zone: UTC}, b: {value: "{b}", type: base64}}}`,
			`{"a":"03.02.24","b":"w6TDtg"}`, `"data":{"t":"2024-02-03T00:00:00Z","b":"äö"}`},
		{`data: {fields: {j: {value: "{a}", type: json}, k: {value: "{b}", type: json}}}`, `{"a":" [1] ","b":{"c":0}}`,
			`"data":{"j":[1],"k":{"c":0}}`},
		{`data: {all: true}`, `{"a" : null, "b\u0041":[ ]}`, `"data":{"a":null,"bA":[]}`},
		{`data: {all: true, except: [a], fields: {b: "{a}"}}`, `{"a":1,"b":2,"c":3}`, `"data":{"b":1,"c":3}`},
		{`data: {object: "{a}"}`, `{"a":{"b":1}}`, `"data":{"b":1}`},
		{`data: {object: "{a}"}`, `{"a":[1]}`, `"code":"wrong_type"`},
		{`data: {object: {value: "{a}", optional: true}}`, `{}`, `"type":"T"`},
		{`when: [{field: a, is: [x, "1"]}, {field: b, not: y}, {field: c, present: false}]`, `{"a":1,"c":null}`, `"type":"T"`},
		{`when: [{field: a, is: x}]`, `{"a":"y"}`, `"code":"unmatched"`},
		{`when: [{field: a, not: x}]`, `{"a":"x"}`, `"code":"unmatched"`},
		{`when: [{field: a, present: true}]`, `{}`, `"code":"unmatched"`},
	} {
		got := importText(t, parse(t, head+c.what+"}]}"), c.record)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if shown := strings.Join(got.events, "") + got.rejects; !strings.Contains(shown, c.want) {
			t.Errorf("%s of %s: want %s, got %s", c.what, c.record, c.want, shown)
		}
	}
}

// TestAbsentTexts: what a map calls absent is, wherever it stands.
func TestAbsentTexts(t *testing.T) {
	const text = `
source: s
format: csv
absent: ["", "-"]
unmatched: skip
events:
  - {stream: 'a/{id}', type: T, when: [{field: b, present: true}], data: {all: true}}`
	got := importText(t, parse(t, text), "id,b,c\n1,x,-\n2,-,x\n3,y,\n")
	want := []string{
		`{"stream":"a/1","type":"T","data":{"id":"1","b":"x"}}`,
		`{"stream":"a/3","type":"T","data":{"id":"3","b":"y"}}`,
	}
	if diff := cmp.Diff(want, got.events); diff != "" || got.rejects != "" || got.summary.Records != 3 {
		t.Errorf("%+v, rejects %s\n%s", got.summary, got.rejects, diff)
	}
}

func TestMapNamesItself(t *testing.T) {
	m := parse(t, "{source: crm-2019, format: csv, events: [{stream: a/1, type: T}]}")
	if m.Source() != "crm-2019" || m.Format() != "csv" {
		t.Errorf("the map says %s, %s", m.Source(), m.Format())
	}
}

// TestProgress: it grows, and ends with every byte.
func TestProgress(t *testing.T) {
	m := parse(t, numbered)
	content := strings.Repeat(`{"n":1,"s":"a"}`+"\n", 50) + "{}\n"
	var seen []ingest.Progress
	sum, err := ingest.Run(t.Context(), newFakeStore(), [32]byte{}, m,
		[]ingest.Input{text("one", content), text("two", content)},
		ingest.Options{BatchEvents: 10, Progress: func(p ingest.Progress) { seen = append(seen, p) }})
	if err != nil || len(seen) < 10 {
		t.Fatalf("%v after %d reports", err, len(seen))
	}
	for i := 1; i < len(seen); i++ {
		if seen[i].Bytes < seen[i-1].Bytes || seen[i].Records < seen[i-1].Records {
			t.Errorf("progress went back from %+v to %+v", seen[i-1], seen[i])
		}
	}
	total := int64(2 * len(content))
	want := ingest.Progress{Bytes: total, Total: total, Records: 102, Added: 100, Rejected: 2}
	if diff := cmp.Diff(want, seen[len(seen)-1]); diff != "" || sum.Records != 102 {
		t.Error(diff)
	}
}
