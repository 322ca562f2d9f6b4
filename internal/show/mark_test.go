package show_test

import (
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

// TestData puts signs in the place of what is withheld, and names in that of aliases, and touches nothing else.
func TestData(t *testing.T) {
	krid := event.KRID{1}
	e := &event.Event{
		Draft: event.Draft{Data: []byte(`{"null": null, "a/b": null, "list": [null, {"x": null}], "n": 1e400,
			"who": "` + krid.String() + `", "say": "null"}`)},
		Withheld: []event.Withheld{
			{Path: "/a~1b", Group: "contact", Reason: event.WithheldErased, Receipt: "er-1"},
			{Path: "/list/1/x", Group: "contact", Reason: event.WithheldDenied},
		},
		Names: []event.Name{{KRID: krid, Kind: "customer", Ref: `say "hi"`}},
	}
	var out show.Output
	want := `{"null":null,"a/b":⌫ erased (er-1),"list":[null,{"x":✕ denied}],"n":1e400,"who":"say \"hi\"","say":"null"}`
	if got := out.Data(e.Data, "", e); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	out.Plain = true
	if got := out.Data([]byte(`[null,{"x":null}]`), "/list", e); got != `[null,{"x":denied}]` {
		t.Errorf("a part of it is shown as %s", got)
	}
	if got := show.Entities("issuer=customer/"+krid.String(), e); got != `issuer=customer/say "hi"` {
		t.Errorf("an entity is shown as %s", got)
	}
	if got := out.WithheldOf(e, "; "); got != "/a~1b contact, erased (er-1); /list/1/x contact, denied" {
		t.Errorf("what is withheld is listed as %s", got)
	}
}
