package lethetest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
)

// upcasters are those of the store under test: an address has another name today.
func upcasters() schema.Language {
	return schema.Go(&schema.Upcaster{Name: "address", Func: func(d map[string]any) (map[string]any, error) {
		d["address"] = d["home"]
		delete(d, "home")
		return d, nil
	}})
}

// presentForm: on every way there is to read, events come in the form of today where they are asked for so. Personal
// values move with it, opened or not.
func presentForm(t *testing.T, r *sealedRig) {
	a, stream := ada(), event.Stream("application", "1")
	r.append(t, stream, a.moved(), draft("Plain"))
	written := r.held(t, "AddressGiven")
	today := &schema.Version{Type: "AddressGiven", Notation: jsonschema.Name,
		Text:     []byte(strings.ReplaceAll(addressSchema, `"home"`, `"address"`)),
		Upcaster: schema.Script{Language: schema.LanguageGo, Text: "address"}}
	if _, err := r.home.Privacy().PushSchema(t.Context(), officer(), today, false); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*lethe.Session{"sealed": r.sealing(), "opened": r.support()} {
		street := "null"
		if name == "opened" {
			street = quoted(a.street)
		}
		for way, list := range everyWay(t, s.Present(), stream, &written[0]) {
			e := list[0]
			var data struct{ Home, Address json.RawMessage }
			if err := json.Unmarshal(e.Data, &data); err != nil || data.Home != nil {
				t.Errorf("%s, %s: the address is where it was: %v", name, way, err)
			}
			same(t, name+", "+way, `{"lines":[{"text":`+street+`},{}],"street":`+street+`}`, string(data.Address))
			if e.Schema == written[0].Schema || e.Boxes != nil {
				t.Errorf("%s, %s: it says of itself that it was written so", name, way)
			}
			for _, w := range e.Withheld {
				if name == "opened" || !strings.HasPrefix(w.Path, "/address/") {
					t.Errorf("%s, %s: %s is withheld", name, way, w.Path)
				}
			}
			if len(list) > 1 && list[1].Type != "Plain" {
				t.Errorf("%s, %s: then comes %s", name, way, list[1].Type)
			}
		}
		for way, list := range everyWay(t, s, stream, &written[0]) {
			if !strings.Contains(string(list[0].Data), `"home"`) {
				t.Errorf("%s, %s: it is not as it was written", name, way)
			}
		}
	}
}

// everyWay reads a stream of two events in each way that a session has, and the first of them where there is no other.
func everyWay(t *testing.T, s *lethe.Session, stream event.StreamID, first *event.Event) map[string][]event.Event {
	t.Helper()
	ways := map[string][]event.Event{
		"read":  collect(t, s.Read(t.Context(), stream, lethe.Range{})),
		"query": collect(t, s.Query(t.Context(), lethe.Query{Filter: event.Filter{{Stream: stream}}})),
	}
	e, err := s.Event(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	ways["event"] = []event.Event{e}
	page, err := s.Page(t.Context(), lethe.PageQuery{Query: storage.Query{Stream: stream, Limit: 2}})
	if err != nil {
		t.Fatal(err)
	}
	ways["page"] = page.Events
	for batch, err := range s.Batches(t.Context(), event.Filter{{Stream: stream}}, event.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if ways["subscribe"] = append(ways["subscribe"], batch.Events...); len(ways["subscribe"]) == 2 {
			break
		}
	}
	opened, err := s.Open(t.Context(), []event.Event{*first})
	if event.Code(err) == "purpose_missing" {
		return ways
	}
	if err != nil {
		t.Fatal(err)
	}
	ways["open"] = opened
	return ways
}
