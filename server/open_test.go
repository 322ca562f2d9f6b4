package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

const (
	openPath = "/lethe.v1.LogService/Open"
	findPath = "/lethe.v1.LogService/Find"
	other    = "0199a0d4-e7c0-7abc-8def-0123456789ab" // id of no event
)

// heldEvent is an event as JSON callers hold it; changed are other values of its fields.
func (w *world) heldEvent(t *testing.T, changed map[string]any) string {
	t.Helper()
	answer := w.post(findPath, `{"id": "`+w.event(t).ID.String()+`"}`, bearer(w.mint(t, everything())))
	var found struct{ Event map[string]any }
	if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil || found.Event["boxes"] == nil {
		t.Fatalf("there is no event with boxes: %s, %v", answer.Body, err)
	}
	for name, value := range changed {
		if found.Event[name] = value; value == nil {
			delete(found.Event, name)
		}
	}
	text, err := json.Marshal(found.Event)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOpenHeld opens an event that was read sealed, as whoever may, and nobody else.
func TestOpenHeld(t *testing.T) {
	w, _ := newPersonal(t, server.Options{})
	all := bearer(w.mint(t, everything()))
	w.register(t, all)
	only := w.mint(t, token.Grant{Scope: token.Scope{Open: true}})
	others := w.mint(t, token.Grant{Scope: token.Scope{Read: true, Open: true, Kinds: []string{"application"}}})
	theirs := w.mint(t, token.Grant{Scope: token.Scope{Open: true, Kinds: []string{"customer"}}})
	held := w.heldEvent(t, nil)
	of := func(events string) string { return `{"events": [` + events + `], ` + opening + `}` }
	changed := func(name string, value any) string { return of(w.heldEvent(t, map[string]any{name: value})) }
	lie := changed("stream", "application/1")
	for name, c := range map[string]struct {
		token token.Secret
		body  string
		code  string
	}{
		"no permission":  {w.mint(t, token.Grant{Scope: token.Scope{Read: true, Admin: true}}), of(held), "denied"},
		"another kind":   {others, of(held), "denied"},
		"said otherwise": {others, lie, "event_unknown"},
		"not here":       {others, strings.ReplaceAll(lie, w.event(t).ID.String(), other), "event_unknown"},
		"no opening":     {only, `{"events": [` + held + `]}`, "purpose_missing"},
		"no purpose":     {only, `{"events": [` + held + `], "opening": {"reason": "ticket 7"}}`, "purpose_missing"},
		"no boxes":       {only, changed("boxes", nil), "box_foreign"},
		"no event":       {only, of("{}"), "malformed_type"},
		"a wrong leaf":   {only, changed("leaf", "AAAA"), "malformed_message"},
		"too many":       {only, of(strings.Repeat("{},", wire.MaxEvents) + "{}"), "oversized"},
		"too much":       {only, of(`{"correlation": "` + strings.Repeat("x", 9<<20) + `"}`), "oversized"},
		"unknown field":  {only, of(`{"canarybird": 1}`), "unknown_field"},
	} {
		answer := w.post(openPath, c.body, bearer(c.token))
		if m := toldBy(t, answer); m.GetCode() != c.code {
			t.Errorf("%s: %d %v", name, answer.Code, m)
		}
		if c.code != "unknown_field" {
			silent(t, name, answer.Body.String())
		}
	}
	address := openPath + "?" + url.Values{"encoding": {"json"}, "message": {of(held)}}.Encode()
	if answer := w.get(http.MethodGet, address, all); toldBy(t, answer).GetCode() != "unsupported" {
		t.Errorf("as GET: %d %s", answer.Code, answer.Body)
	}
	if uses, err := w.loans.Privacy().Uses(t.Context(), storage.UseQuery{Limit: 1}); err != nil || len(uses.Uses) > 0 {
		t.Errorf("refused, and uses are %v, %v", uses.Uses, err)
	}
	find := w.post(findPath, `{"id": "`+w.event(t).ID.String()+`", `+opening+`}`, all)
	var want struct{ Event any }
	if err := json.Unmarshal(find.Body.Bytes(), &want); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"as read": of(held), "without leaf": changed("leaf", nil), "without reasons": changed("withheld", nil),
	} {
		for _, secret := range []token.Secret{only, theirs} {
			answer := w.post(openPath, body, bearer(secret))
			var got struct{ Events []any }
			if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || len(got.Events) != 1 {
				t.Fatalf("%s: %s, %v", name, answer.Body, err)
			}
			if diff := cmp.Diff(want.Event, got.Events[0]); diff != "" {
				t.Errorf("%s:\n%s", name, diff)
			}
		}
	}
}
