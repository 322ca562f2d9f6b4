package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"connectrpc.com/connect"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

const personalPolicy = `{
  "version": 1,
  "kinds": {"service": {}, "token": {}, "application": {}, "customer": {"person": true, "normalise": "email"},
    "client": {"person": true}},
  "groups": {"contact": {}},
  "purposes": {"support": {"basis": "contract", "groups": ["contact", "reference"], "reasons": ["ticket"]}},
  "metadata": {"auth": {"group": "contact", "subject": "issuer"}},
  "rules": "permit(principal, action == Action::\"open\", resource) when { context.purpose == \"support\" };"
}`

const personalSchema = `{
  "type": "object", "additionalProperties": false, "required": ["customer"],
  "properties": {
    "customer": {"type": "string", "x-person": "customer"},
    "mail": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}},
    "nested": {"type": "object", "additionalProperties": false, "properties": {
      "lines": {"type": "array", "items": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}}}}},
    "tags": {"type": "object", "additionalProperties": {"type": "string"}, "x-personal": {"group": "contact", "subject": "/customer"}}
  }
}`

// newPersonal is a world whose store loans holds personal data.
func newPersonal(t testing.TB, o server.Options) (*world, *kmstest.Faulty) {
	t.Helper()
	service := kmstest.NewFaulty(kmstest.New(t))
	w := newReal(t, o, memory.Options{})
	w.engine = memory.Open(memory.Options{Indexed: []string{"auth"}})
	var err error
	w.loans, err = lethe.Open(t.Context(), w.engine, service, &lethe.Options{
		Clock: w.options.Clock, Keystore: memory.NewKeys(), Notations: []schema.Notation{jsonschema.New()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.loans.Close() })
	room := w.loans.Privacy()
	if _, err := room.SetPolicy(t.Context(), event.Actor{}, []byte(personalPolicy), false); err != nil {
		t.Fatal(err)
	}
	v := &schema.Version{Type: "Registered", Notation: jsonschema.Name, Text: []byte(personalSchema)}
	if _, err := room.PushSchema(t.Context(), event.Actor{}, v, false); err != nil {
		t.Fatal(err)
	}
	w.server, err = server.New([]server.Tenant{{Name: "loans", Store: w.loans, Tokens: w.engine}}, w.options)
	if err != nil {
		t.Fatal(err)
	}
	return w, service
}

// personalDraft has markers wherever a personal value can be.
const personalDraft = `{"type": "Registered", "metadata": {"auth": "canarybird-metadata"},
  "relations": [{"role": "issuer", "kind": "customer", "id": "canarybird@example.org"}],
  "data": {"customer": "canarybird@example.org", "mail": "canarybird-mail", "nested": {"lines": ["canarybird-line", "x"]},
    "tags": {"canarybird-key": "canarybird-tag"}}}`

const opening = `"opening": {"actor": "service/desk", "purpose": "support", "reason": "ticket 7"}`

func (w *world) register(t testing.TB, headers map[string]string) {
	t.Helper()
	body := `{"writes": [{"stream": "customer/canarybird@example.org", "events": [` + personalDraft + `]}]}`
	if answer := w.post(appendPath, body, headers); answer.Code != http.StatusOK {
		t.Fatalf("append: %s", answer.Body)
	}
}

func bearer(secret token.Secret) map[string]string {
	return map[string]string{"Lethe-Store": "loans", "Authorization": "Bearer " + secret.Reveal()}
}

// TestOpeningNeedsOpen reads with and without the permission, in every call that can open.
func TestOpeningNeedsOpen(t *testing.T) {
	w, _ := newPersonal(t, server.Options{})
	w.register(t, bearer(w.mint(t, everything())))
	reads := w.mint(t, token.Grant{Scope: token.Scope{Read: true}})
	opens := w.mint(t, token.Grant{Scope: token.Scope{Read: true, Open: true}})
	only := w.mint(t, token.Grant{Scope: token.Scope{Open: true}})
	id := w.event(t).ID
	for path, body := range map[string]string{
		"/lethe.v1.LogService/Read":  `{"stream": "customer/CANARYBIRD@example.org", %s}`,
		"/lethe.v1.LogService/Query": `{"filter": [{"types": ["Registered"]}], %s}`,
		"/lethe.v1.LogService/Find":  `{"id": "` + id.String() + `", %s}`,
		"/v1/events?follow=false":    `{"filter": [{"relations": [{"kind": "customer", "id": "canarybird@example.org"}]}], %s}`,
	} {
		sealed := w.post(path, fmt.Sprintf(body, `"opening": {"reason": "without a purpose"}`), bearer(reads))
		if text := sealed.Body.String(); sealed.Code != http.StatusOK || !strings.Contains(text, "sealed") ||
			strings.Contains(strings.ToLower(text), "canarybird") {
			t.Errorf("%s sealed: %d %s", path, sealed.Code, text)
		}
		denied := w.post(path, fmt.Sprintf(body, opening), bearer(reads))
		if m := told(t, denied.Body.Bytes()); denied.Code != http.StatusForbidden || m.GetCode() != "denied" {
			t.Errorf("%s without the permission: %d %v", path, denied.Code, m)
		}
		if answer := w.post(path, fmt.Sprintf(body, opening), bearer(only)); answer.Code != http.StatusForbidden {
			t.Errorf("%s with it alone: %d %s", path, answer.Code, answer.Body)
		}
		for by, o := range map[string]string{
			"service/desk": opening, "token/" + opens.ID(): `"opening": {"purpose": "support", "reason": "ticket 7"}`,
		} {
			answer := w.post(path, fmt.Sprintf(body, o), bearer(opens))
			for _, marker := range []string{
				"canarybird-mail", "canarybird-line", "canarybird-tag", "canarybird-metadata", "canarybird@example.org",
			} {
				if !strings.Contains(answer.Body.String(), marker) {
					t.Errorf("%s opened by %s has no %s: %s", path, by, marker, answer.Body)
				}
			}
			uses, err := w.loans.Privacy().Uses(t.Context(), storage.UseQuery{Limit: 1})
			if err != nil || len(uses.Uses) != 1 || uses.Uses[0].Actor.String() != by {
				t.Errorf("%s: the use is %v, %v", path, uses.Uses, err)
			}
		}
	}
}

// event is the first event that is not Lethe's own.
func (w *world) event(t testing.TB) event.Event {
	t.Helper()
	q := lethe.Query{Filter: event.Filter{{Types: []string{"Registered"}}}}
	for e, err := range w.session().Query(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Fatal("there is no event")
	return event.Event{}
}

// TestOpeningIsOfKinds holds that a token for some kinds opens nothing of others, nor leaves a use of it behind.
func TestOpeningIsOfKinds(t *testing.T) {
	w, _ := newPersonal(t, server.Options{})
	w.register(t, bearer(w.mint(t, everything())))
	other := w.mint(t, token.Grant{Scope: token.Scope{Read: true, Open: true, Kinds: []string{"application"}}})
	find := w.post("/lethe.v1.LogService/Find", `{"id": "`+w.event(t).ID.String()+`", `+opening+`}`, bearer(other))
	if find.Code != http.StatusNotFound {
		t.Errorf("find: %d %s", find.Code, find.Body)
	}
	read := w.post("/lethe.v1.LogService/Read", `{"stream": "customer/canarybird@example.org", `+opening+`}`, bearer(other))
	if read.Code != http.StatusForbidden || strings.Contains(read.Body.String(), "canarybird") {
		t.Errorf("read: %d %s", read.Code, read.Body)
	}
	query := w.post("/lethe.v1.LogService/Query", `{`+opening+`}`, bearer(other))
	if query.Code != http.StatusOK || strings.Contains(query.Body.String(), "events") {
		t.Errorf("query: %d %s", query.Code, query.Body)
	}
	uses, err := w.loans.Privacy().Uses(t.Context(), storage.UseQuery{Limit: 1})
	if err != nil || len(uses.Uses) > 0 {
		t.Errorf("uses are %v, %v", uses.Uses, err)
	}
}

// TestAddressesNameNobody makes calls whose message stands in their address: what opens or refers to a person is
// refused, and told nowhere.
func TestAddressesNameNobody(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	w, _ := newPersonal(t, server.Options{Tracer: sdk.NewTracerProvider(sdk.WithSyncer(spans))})
	headers := bearer(w.mint(t, everything()))
	w.register(t, headers)
	alias := w.event(t).Stream.ID
	call := func(procedure, message string) string {
		return "/lethe.v1." + procedure + "?" + url.Values{"encoding": {"json"}, "message": {message}}.Encode()
	}
	told := &bytes.Buffer{}
	for _, address := range []string{
		call("LogService/Read", `{"stream": "application/1", "opening": {"purpose": "canarybird"}}`),
		call("LogService/Read", `{"stream": "application/1", "opening": {}}`),
		call("LogService/Query", `{`+opening+`}`),
		call("LogService/Find", `{"id": "x", `+opening+`}`),
		call("LogService/Read", `{"stream": "customer/canarybird@example.org"}`),
		call("LogService/Read", `{"stream": "application/canarybird@example.org"}`),
		call("LogService/Read", `{"stream": "client/canarybird4711"}`),
		call("LogService/Read", `{"stream": "a/1", "filter": [{"stream": "client/canarybird4711"}]}`),
		call("LogService/Query", `{"filter": [{}, {"stream": "client/canarybird4711"}]}`),
		call("LogService/Query", `{"filter": [{"relations": [{"kind": "a", "id": "1"}, {"kind": "client", "id": "canarybird4711"}]}]}`),
		call("LogService/Query", `{"filter": [{"relations": [{"kind": "branch", "id": "canarybird@example.org"}]}]}`),
		call("LogService/Query", `{"filter": [{"metadata": {"auth": "canarybird"}}]}`),
		call("LogService/Query", `{"filter": [{"correlation": "canarybird@example.org"}]}`),
		call("StreamService/List", `{"after": "client/canarybird4711"}`),
		"/v1/events?stream=customer/canarybird@example.org", "/v1/events?stream=client/canarybird4711",
		"/v1/events?relation=client/canarybird4711", "/v1/events?relation=issuer=a/canarybird@example.org",
		"/v1/events?metadata=auth=canarybird", "/v1/events?correlation=canarybird@example.org",
	} {
		answer := w.get(http.MethodGet, address, headers)
		m := toldBy(t, answer)
		if answer.Code != http.StatusMethodNotAllowed || m.GetCode() != "use_post" || m.GetNext() == "" ||
			answer.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d %s, allows %q", address, answer.Code, answer.Body, answer.Header().Get("Allow"))
		}
		fmt.Fprintln(told, answer.Body, answer.Header())
	}
	for _, address := range []string{
		call("LogService/Read", `{"stream": "customer/`+alias+`"}`),
		call("LogService/Query", `{"filter": [{"relations": [{"kind": "customer", "id": "`+alias+`"}, {"kind": "a", "id": "1"}]}]}`),
		call("StreamService/List", `{"after": "customer/`+alias+`"}`), call("StreamService/List", `{}`),
		"/v1/events?follow=false&stream=customer/" + alias, "/v1/events?follow=false&relation=application/4711",
	} {
		if answer := w.get(http.MethodGet, address, headers); answer.Code != http.StatusOK {
			t.Errorf("%s: %d %s", address, answer.Code, answer.Body)
		}
	}
	page := w.get(http.MethodGet, "/metrics", headers).Body.String()
	if !strings.Contains(page, "use_post") || !strings.Contains(w.log.String(), "use_post") || len(spans.GetSpans()) < 10 {
		t.Fatal("there is nothing to look at")
	}
	silent(t, "answers", told.String())
	silent(t, "metrics", page)
	silent(t, "log", w.log.String())
	for _, span := range spans.GetSpans() {
		silent(t, "span", fmt.Sprint(span.Name, span.Attributes, span.Events, span.Status, span.Links, span.Resource))
	}
}

func toldBy(t testing.TB, answer *httptest.ResponseRecorder) *lethev1.Error {
	t.Helper()
	return told(t, answer.Body.Bytes())
}

// silent holds that a text has no marker in it.
func silent(t testing.TB, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.Contains(strings.ToLower(line), "canarybird") {
			t.Errorf("%s: %s", what, line)
		}
	}
}

// TestEventsByPost follows the log by the body of a POST.
func TestEventsByPost(t *testing.T) {
	w, _ := newPersonal(t, server.Options{})
	headers := bearer(w.mint(t, everything()))
	w.register(t, headers)
	w.register(t, headers)
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{headers, more} {
			for name, value := range m {
				all[name] = value
			}
		}
		return all
	}
	lines := with(map[string]string{"Accept": "application/jsonl"})
	answer := w.post("/v1/events?follow=false&limit=1", `{"filter": [{"types": ["Registered"]}], `+opening+`}`, lines)
	var first struct {
		Cursor string
		Event  struct {
			Position event.Position
			Data     struct{ Mail string }
			Names    map[string]string
		}
	}
	text, rest, _ := strings.Cut(answer.Body.String(), "\n")
	if err := json.Unmarshal([]byte(text), &first); err != nil || rest != "" || len(first.Event.Names) != 1 ||
		first.Event.Data.Mail != "canarybird-mail" {
		t.Fatalf("the first event is %s, %v", answer.Body, err)
	}
	for name, h := range map[string]map[string]string{"body": lines, "header": with(map[string]string{
		"Accept": "application/jsonl", "Last-Event-ID": first.Cursor})} {
		body := `{"filter": [{"types": ["Registered"]}]}`
		if name == "body" {
			body = `{"filter": [{"types": ["Registered"]}], "after": "` + first.Cursor + `"}`
		}
		got := w.post("/v1/events?follow=false", body, h).Body.String()
		want := fmt.Sprintf(`"position":%d,`, first.Event.Position+1)
		if !strings.Contains(got, want) || strings.Contains(got, fmt.Sprintf(`"position":%d,`, first.Event.Position)) {
			t.Errorf("resumed by the %s: %s", name, got)
		}
	}
	big := `{"filter": [{"types": ["` + strings.Repeat("canarybird", 1<<17) + `"]}]}`
	for i, c := range []struct {
		address, body, code string
		headers             map[string]string
	}{
		{"/v1/events?kind=canarybird", "{}", "unknown_field", headers},
		{"/v1/events?limit=1&limit=2", "{}", "unknown_field", headers},
		{"/v1/events?limit=canarybird", "{}", "malformed_limit", headers},
		{"/v1/events?%zz", "{}", "malformed_query", headers},
		{"/v1/events", `{"limit": 7}`, "malformed_limit", headers},
		{"/v1/events", `{"other": 7}`, "unknown_field", headers},
		{"/v1/events", `canarybird`, "invalid_json", headers},
		{"/v1/events", "", "invalid_json", headers},
		{"/v1/events", `{"after": "canarybird"}`, "malformed_cursor", headers},
		{"/v1/events", `{"opening": {"purpose": "support", "actor": "canarybird"}}`, "malformed_actor", headers},
		{"/v1/events", big, "oversized", headers},
		{"/v1/events", "{}", "unsupported", with(map[string]string{"Content-Type": "text/plain"})},
		{"/v1/events", "{}", "unsupported", with(map[string]string{"Content-Encoding": "gzip"})},
		{"/v1/events", "{}", "malformed_cursor", with(map[string]string{"Last-Event-ID": "canarybird"})},
	} {
		answer := w.post(c.address, c.body, c.headers)
		if m := toldBy(t, answer); m.GetCode() != c.code {
			t.Errorf("case %d: got %v, want %s", i, m, c.code)
		}
		silent(t, "error", answer.Body.String())
	}
}

// TestNothingPersonalIsTold appends and reads with markers in every place, rightly and wrongly, while the key service
// works and while it does not.
func TestNothingPersonalIsTold(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	w, service := newPersonal(t, server.Options{Tracer: sdk.NewTracerProvider(sdk.WithSyncer(spans))})
	s := serveWith(t, w, nil)
	headers := bearer(w.mint(t, everything()))
	client := lethev1LogClient(s.url(), as(w.mint(t, everything())))
	errors := &bytes.Buffer{}
	faults := []kmstest.Fault{kmstest.Down, kmstest.Denying, kmstest.NoMount, kmstest.Well, kmstest.Elsewhere}
	for _, fault := range faults {
		service.Set(fault)
		w.provokeAppends(errors, headers)
		provokeReads(t, errors, client)
		w.provokeDesk(errors, headers)
		if fault == kmstest.Well {
			w.register(t, headers)
		}
	}
	page := w.get(http.MethodGet, "/metrics", headers).Body.String()
	if !strings.Contains(page, "kms_unavailable") || !strings.Contains(w.log.String(), "procedure=") ||
		errors.Len() == 0 || len(spans.GetSpans()) < 10 {
		t.Fatal("there is nothing to look at")
	}
	s.stop()
	<-s.ended
	silent(t, "errors", errors.String())
	silent(t, "log", w.log.String())
	silent(t, "metrics", page)
	for _, span := range spans.GetSpans() {
		silent(t, "span", fmt.Sprint(span.Name, span.Attributes, span.Events, span.Status, span.Links, span.Resource))
	}
	planted := event.Draft{Type: "Told", Data: []byte(`{"in_clear": "planted"}`)}
	if _, err := w.session().Append(t.Context(), event.Stream("application", "1"), event.Any, planted); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, b := range w.engine.Dump() {
		silent(t, "store", string(b))
		found = found || bytes.Contains(b, []byte("planted"))
	}
	if !found {
		t.Error("what was planted in clear is not found: nothing was looked at")
	}
}

// provokeAppends appends rightly and wrongly.
func (w *world) provokeAppends(errors io.Writer, headers map[string]string) {
	for _, body := range []string{
		personalDraft,
		strings.Replace(personalDraft, `"canarybird-mail"`, `31415`, 1),
		strings.Replace(personalDraft, `"mail"`, `"canarybird-unknown"`, 1),
		strings.Replace(personalDraft, `"canarybird-line"`, `{"canarybird": 1}`, 1),
		strings.Replace(personalDraft, `{"canarybird-key": "canarybird-tag"}`, `"canarybird"`, 1),
		strings.Replace(personalDraft, `"customer": "canarybird@example.org"`, `"customer": "canarybird not an address"`, 1),
		strings.Replace(personalDraft, `"kind": "customer"`, `"kind": "branch"`, 1),
		strings.Replace(personalDraft, `"issuer"`, `"affected"`, 1),
		strings.Replace(personalDraft, `"canarybird-metadata"`, `"canarybird\u0000"`, 1),
		strings.Replace(personalDraft, `"type": "Registered"`, `"type": "Registered", "collection": "canarybird"`, 1),
	} {
		stream := "customer/canarybird@example.org"
		answer := w.post(appendPath, `{"writes": [{"stream": "`+stream+`", "expected_version": 77, "events": [`+body+`]}]}`, headers)
		fmt.Fprintln(errors, answer.Body)
		answer = w.post("/lethe.v1.LogService/AppendEach",
			`{"requests": [{"writes": [{"stream": "`+stream+`", "expected_version": 99, "events": [`+body+`]}]}]}`, headers)
		fmt.Fprintln(errors, answer.Body)
	}
}

// provokeReads opens wrongly, and reads what is not there.
func provokeReads(t testing.TB, errors io.Writer, client lethev1connect.LogServiceClient) {
	t.Helper()
	for _, o := range []*lethev1.Opening{
		{Purpose: "support", Reason: "canarybird words that tell", Actor: "service/desk"},
		{Purpose: "canarybird purpose", Actor: "service/desk"}, {Purpose: "support", Actor: "canarybird"},
		{Purpose: "support", Reason: "ticket 7", Actor: "customer/canarybird-nobody@example.org"},
	} {
		_, err := client.Query(t.Context(), connect.NewRequest(&lethev1.QueryRequest{Opening: o}))
		if note(errors, err); err != nil { // else it stays open: whoever opens for the first time becomes known by it
			note(errors, ended(t, subscribe(t, client, &lethev1.SubscribeRequest{Opening: o})))
		}
	}
	for _, stream := range []string{
		"customer/canarybird-nobody@example.org", "client/canarybird4711", "customer/canarybird", "canarybird",
	} {
		_, err := client.Read(t.Context(), connect.NewRequest(&lethev1.ReadRequest{Stream: stream}))
		note(errors, err)
	}
}

// provokeDesk asks about persons wrongly.
func (w *world) provokeDesk(errors io.Writer, headers map[string]string) {
	for _, path := range []string{"Show", "Uses", "Record"} {
		for _, person := range []string{
			`{"kind": "customer", "ref": "canarybird-nobody@example.org"}`, `{"kind": "customer", "ref": "canarybird words"}`,
			`{"kind": "branch", "ref": "canarybird"}`, `{"krid": "krid_canarybird"}`, `{"krid": "x", "ref": "canarybird"}`,
		} {
			body := `{"person": ` + person + `}`
			if path == "Record" {
				body = `{"person": ` + person + `, "type": "lethe.ChildNoted", "data": {"canarybird": "canarybird"}}`
			}
			fmt.Fprintln(errors, w.post("/lethe.v1.SubjectService/"+path, body, headers).Body)
		}
	}
}
