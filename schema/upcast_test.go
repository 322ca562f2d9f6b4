package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

const people = `, "first": {"type": "string", "x-personal": {"group": "g", "subject": "/customer"}},
	"last": {"type": ["string", "null"], "x-personal": {"group": "g", "subject": "/customer"}},
	"amount": {"type": "number", "x-not-personal": "business-fact"},
	"list/s": {"type": "array", "items": {"type": "object", "additionalProperties": false, "properties": {
		"note": {"type": "string", "x-personal": {"group": "g", "subject": "/customer"}}}}}`

// sealed is cut data and what was located in it.
func sealed(t *testing.T) ([]byte, *schema.Findings) {
	t.Helper()
	plan, err := jsonschema.New().Compile(text(people), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := []byte(`{"customer": "c", "first": "Ada", "last": "Lovelace", "amount": 1e400, "list/s": [{}, {"note": "n<"}]}`)
	var f schema.Findings
	if err := plan.Locate(data, &f); err != nil {
		t.Fatal(err)
	}
	open, _, err := plan.Cut(data, &f, []event.KRID{{1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Locate(open, &f); err != nil {
		t.Fatal(err)
	}
	return open, &f
}

func TestUpcast(t *testing.T) {
	open, f := sealed(t)
	u := &schema.Upcaster{Name: "join", Func: func(d map[string]any) (map[string]any, error) {
		list := d["list/s"].([]any)
		return map[string]any{
			"who": d["customer"], "names/x": []any{d["last"], d["first"]}, "amount": d["amount"], "count": len(list) > 1,
			"nothing": nil, "new": json.Number("5"),
		}, nil
	}}
	data, moved, err := u.Upcast(open, f)
	if err != nil {
		t.Fatal(err)
	}
	alias := event.KRID{1}.String()
	want := `{"amount":1e400,"count":true,"names/x":[null,null],"new":5,"nothing":null,"who":"` + alias + `"}`
	if string(data) != want {
		t.Errorf("got %s, want %s", data, want)
	}
	hole := func(i int) uint32 { return uint32(strings.Index(want, "[null") + 1 + 5*i) }
	wantMoved := []schema.Moved{
		{From: "/first", To: "/names~1x/1", Hole: hole(1)}, {From: "/last", To: "/names~1x/0", Hole: hole(0)},
		{From: "/list~1s/1/note", Hole: schema.NoHole},
	}
	if diff := cmp.Diff(wantMoved, moved); diff != "" {
		t.Error(diff)
	}
}

// TestUpcastForges tries to get at values, and to make others look personal.
func TestUpcastForges(t *testing.T) {
	open, f := sealed(t)
	var deep any
	for range 2000 {
		deep = []any{deep}
	}
	for what, do := range map[string]func(d map[string]any) (map[string]any, error){
		"twice":     func(d map[string]any) (map[string]any, error) { d["x"] = d["first"]; return d, nil },
		"forged":    func(d map[string]any) (map[string]any, error) { d["x"] = &schema.Token{}; return d, nil },
		"no token":  func(d map[string]any) (map[string]any, error) { d["x"] = (*schema.Token)(nil); return d, nil },
		"a Go type": func(d map[string]any) (map[string]any, error) { d["x"] = 5; return d, nil },
		"no number": func(d map[string]any) (map[string]any, error) { d["x"] = json.Number("1,2"); return d, nil },
		"no UTF-8":  func(d map[string]any) (map[string]any, error) { d["x"] = "\xff"; return d, nil },
		"too deep":  func(d map[string]any) (map[string]any, error) { d["x"] = deep; return d, nil },
		"a panic":   func(d map[string]any) (map[string]any, error) { panic("CANARY") },
		"an error":  func(d map[string]any) (map[string]any, error) { return nil, errors.New("CANARY") },
	} {
		u := &schema.Upcaster{Name: "u", Func: do}
		data, _, err := u.Upcast(open, f)
		if event.Code(err) != "upcast_failed" || data != nil || strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: %s, %v", what, data, err)
		}
	}
	u := &schema.Upcaster{Name: "u", Func: func(d map[string]any) (map[string]any, error) {
		if text := fmt.Sprintf("%v %+v %s", d["first"], d["first"], d["first"]); strings.Contains(text, "Ada") {
			t.Errorf("a token shows %s", text)
		}
		return d, nil
	}}
	if _, _, err := u.Upcast(open, f); err != nil {
		t.Error(err)
	}
	f.Values[0].Path = "/nowhere"
	if _, _, err := u.Upcast(open, f); event.Code(err) != "corrupt" {
		t.Errorf("a value without a place: %v", err)
	}
}
