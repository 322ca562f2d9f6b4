package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
)

const appendPath = "/lethe.v1.LogService/Append"

func (w *world) loansHeader() map[string]string { return map[string]string{"Lethe-Store": "loans"} }

// one is the only event of the log.
func (w *world) one(t *testing.T) event.Event {
	t.Helper()
	var all []event.Event
	for e, err := range w.session().Query(t.Context(), lethe.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) != 1 {
		t.Fatalf("%d events", len(all))
	}
	return all[0]
}

// TestDataIsKeptByteForByte appends data as object and as text.
func TestDataIsKeptByteForByte(t *testing.T) {
	data := `{"amount": 20000, "big":12345678901234567890.10, "e" : 1E+2,` + "\n\t" + `"u":"\u00e9é\ud83d\ude00 \/ \\ \"", "in":{"data":{"x":1}}, "list":[ {} , null]}`
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{data, string(text)} {
		for _, names := range [][2]string{{"expected_version", "occurred_at"}, {"expectedVersion", "occurredAt"}} {
			w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
			body := `{"writes": [{"stream": "a/1", "` + names[0] + `": 0, "events": [{"type": "T", "` + names[1] +
				`": "2026-01-01T10:00:00Z", "metadata": {"data": "m"}, "data": ` + value + `, "producer": null}]}]}`
			answer := w.post(appendPath, body, w.loansHeader())
			if answer.Code != http.StatusOK {
				t.Fatalf("%d %s", answer.Code, answer.Body)
			}
			if e := w.one(t); string(e.Data) != data || e.Metadata["data"] != "m" || e.OccurredAt.Hour() != 10 {
				t.Errorf("kept %s", e.Data)
			}
		}
	}
}

func TestJSONAnswersHaveTheNamesOfTheSources(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	fill(t, w.loans, 1, "application")
	answer := w.post("/lethe.v1.LogService/Query", "{}", w.loansHeader())
	if !strings.Contains(answer.Body.String(), `"recorded_at"`) {
		t.Errorf("answer %s", answer.Body)
	}
}

func TestJSONIsStrict(t *testing.T) {
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	draft := func(member string) string {
		return `{"writes":[{"stream":"a/1","events":[{"type":"T"},{"type":"T",` + member + `}]}]}`
	}
	for _, c := range []struct{ body, code, says string }{
		{``, "invalid_json", ""},
		{`null`, "invalid_json", "want a JSON object"},
		{`[]`, "invalid_json", "want a JSON object"},
		{`"CANARYBIRD"`, "invalid_json", ""},
		{`{"writes":[`, "invalid_json", "offset"},
		{`{"writes":[]} CANARYBIRD`, "invalid_json", "after the JSON object"},
		{`{"writes":[]}{}`, "invalid_json", "after the JSON object"},
		{`{"writes":[],}`, "invalid_json", "offset"},
		{`{"writes":[}`, "invalid_json", "offset"},
		{`{"writes":[],"writes":[]}`, "duplicate_name", ""},
		{`{"write":"CANARYBIRD"}`, "unknown_field", `"write"`},
		{draft(`"tpye":"CANARYBIRD"`), "unknown_field", `at writes[0].events[1]: unknown field "tpye"`},
		{draft(`"type":"CANARYBIRD"`), "duplicate_name", ""},
		{draft(`"occurred_at":null,"occurredAt":null`), "duplicate_name", ""},
		{draft(`"correlation":7`), "wrong_type", "field writes[0].events[1].correlation"},
		{draft(`"data":7`), "wrong_type", "field writes[0].events[1].data"},
		{draft(`"data":["CANARYBIRD"]`), "wrong_type", "field writes[0].events[1].data"},
		{draft(`"data":{"x":1,"x":"CANARYBIRD"}`), "duplicate_name", ""},
		{draft(`"data":{"x":CANARYBIRD}`), "invalid_json", ""},
		{draft(`"data":"CANARYBIRD"`), "invalid_json", ""},
		{draft(`"metadata":{"data":{"x":"CANARYBIRD"}}`), "wrong_type", "field writes[0].events[1].metadata"},
		{draft(`"metadata":{"k":"CANARYBIRD","k":"CANARYBIRD"}`), "duplicate_name", ""},
		{draft(`"metadata":[]`), "wrong_type", ""},
		{draft(`"relations":{}`), "wrong_type", ""},
		{draft(`"relations":[null]`), "wrong_type", "relations[0]"},
		{draft(`"relations":["CANARYBIRD"]`), "wrong_type", "relations[0]"},
		{draft(`"occurred_at":"CANARYBIRD"`), "malformed_value", ""},
		{draft(`"occurred_at":5`), "wrong_type", "occurred_at"},
		{draft(`"schema":"!CANARYBIRD"`), "malformed_value", ""},
		{draft(`"schema":"AAAA"`), "malformed_schema", ""},
		{draft(`"id":"CANARYBIRD"`), "malformed_id", ""},
		{draft(`"correlation":"CANARYBIRD` + "\xff" + `"`), "invalid_json", ""},
		{draft(`"correlation":"CANARYBIRD\ud800"`), "invalid_json", ""},
		{`{"writes":[{"stream":"a/1","expected_version":"CANARYBIRD"}]}`, "malformed_value", ""},
		{`{"writes":[{"stream":"a/1","expected_version":-1}]}`, "malformed_value", ""},
		{`{"` + strings.Repeat("CANARYBIRD", 10) + `":1}`, "unknown_field", ""},
	} {
		answer := w.post(appendPath, c.body, w.loansHeader())
		if answer.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", c.body, answer.Code, answer.Body)
			continue
		}
		m := told(t, answer.Body.Bytes())
		quoted := strings.Contains(answer.Body.String(), "CANARYBIRD")
		if m.GetCode() != c.code || !strings.Contains(m.GetMessage(), c.says) || quoted {
			t.Errorf("%s: %v", c.body, m)
		}
	}
	if head, err := w.loans.Head(t.Context()); err != nil || head.Position != 0 {
		t.Errorf("bad input changed something: %v, %v", head.Position, err)
	}
}

// FuzzRequestJSON sends any text, and any value in the places where users' data stands. No answer is a failure of the
// server, and no refusal quotes such a value.
func FuzzRequestJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"writes":[]}`, `{"a":1,"a":2}`, `"\ud800"`, `[1,2`, `{"writes":[{"stream":"a/1","events":[{"type":"T"}]}]}`,
		`1e400`, `null`, `{"data":{"x":1}}`, "\xff", `{"writes":[{"expected_version":"99999999999999999999"}]}`, `tru`,
	} {
		f.Add(seed)
	}
	w := newWorld(f, server.Options{NoTokens: true}, memory.Options{})
	const canarybird = "canary.4b7c1f09e2"
	check := func(t *testing.T, body string, quiet bool) {
		t.Helper()
		answer := w.post(appendPath, body, w.loansHeader())
		if answer.Code == http.StatusOK {
			return
		}
		var m *lethev1.Error
		if m = told(t, answer.Body.Bytes()); m.GetKind() == "internal" || m.GetCode() == "" || answer.Code >= 500 {
			t.Errorf("%q: %d %v", body, answer.Code, m)
		}
		if quiet && strings.Contains(answer.Body.String(), canarybird) {
			t.Errorf("%q is quoted: %s", body, answer.Body)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		check(t, text, false)
		check(t, `{"writes":[{"stream":"a/1","events":[{"type":"T","data":`+text+`}]}]}`, false)
		quoted, err := json.Marshal(canarybird + text)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"data", "correlation", "occurred_at", "id", "schema", "causation", "traceparent"} {
			for _, value := range []string{string(quoted), "[" + string(quoted) + "]", `{"x":` + string(quoted) + `,"x":1}`} {
				check(t, `{"writes":[{"stream":"a/1","events":[{"type":"T","`+field+`":`+value+`}]}]}`, true)
			}
		}
	})
}

// FuzzRequestBinary sends any bytes as protobuf's binary form. No answer is a failure of the server.
func FuzzRequestBinary(f *testing.F) {
	for _, seed := range []string{
		"", "\x0a\x00", "\x0a\x05\x0a\x03a/1", "\xff\xff\xff\xff", "\x0a\xff\x01", "\x12\x02\x0a\x00",
	} {
		f.Add([]byte(seed))
	}
	w := newWorld(f, server.Options{NoTokens: true}, memory.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{appendPath, "/lethe.v1.LogService/AppendEach", "/lethe.v1.LogService/Query"} {
			r := httptest.NewRequest(http.MethodPost, "http://localhost"+path, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/proto")
			for name, value := range w.loansHeader() {
				r.Header.Set(name, value)
			}
			answer := httptest.NewRecorder()
			w.server.Handler().ServeHTTP(answer, r)
			if answer.Code == http.StatusOK {
				continue
			}
			if m := told(t, answer.Body.Bytes()); m.GetKind() == "internal" || m.GetCode() == "" || answer.Code >= 500 {
				t.Errorf("%s %x: %d %v", path, body, answer.Code, m)
			}
		}
	})
}
