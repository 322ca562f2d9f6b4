package schema_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

type audited struct {
	Clerk string    `json:"clerk,omitempty" person:"employee"`
	At    time.Time `json:"at" open:"timing"`
}

type address struct {
	Street string `json:"street"`
	Rooms  *uint8 `json:"rooms,omitempty" open:"quantity"`
}

type visitor struct {
	Person string                  `json:"person" person:"visitor"`
	Phone  event.Personal[string]  `json:"phone,omitzero" personal:"group=contact,subject=1/person"`
	Scores event.Personal[[]int64] `json:"scores,omitzero" personal:"group=derived,subject=1/person,origin=derived"`
}

type registered struct {
	audited
	Customer string          `json:"customer" person:"customer"`
	Partner  *string         `json:"partner,omitempty" person:"customer"`
	Note     string          `json:"note,omitempty" personal:"group=notes,subject=/customer|/partner,indexed,free-text"`
	Home     *address        `json:"home,omitempty" personal:"group=contact,subject=/customer,retention=contract-3y,from=/at"`
	Visitors []visitor       `json:"visitors,omitempty"`
	Extra    json.RawMessage `json:"extra,omitempty" personal:"group=extra,subject=/customer,category=special"`
	Amount   json.Number     `json:"amount" open:"business-fact"`
	Rates    map[string]int  `json:"rates,omitempty" open:"business-fact"`
	Hash     [2]float64      `json:"hash" open:"technical"`
	Skipped  chan int        `json:"-"`
	internal string
}

func TestOf(t *testing.T) {
	typed, err := schema.Of[registered]("Registered")
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.NewRegistry(jsonschema.New()).Next(typed.Version())
	if err != nil {
		t.Fatalf("%v\n%s", err, typed.Version().Text)
	}
	plan, err := v.Plan()
	if err != nil {
		t.Fatal(err)
	}
	value := registered{
		audited: audited{Clerk: "e1", At: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}, Customer: "c1", Note: "<n>",
		Home: &address{Street: "s"}, Amount: "12345678901234567890.5", internal: "i",
		Visitors: []visitor{{Person: "p1", Phone: event.NewPersonal("+41")}}, Extra: json.RawMessage(`{"x":1e400}`),
		Partner: new(string),
	}
	*value.Partner = "c2"
	draft, err := typed.Draft(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Validate(draft.Data); err != nil {
		t.Fatalf("%v: %s", err, draft.Data)
	}
	var f schema.Findings
	if err := plan.Locate(draft.Data, &f); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, value := range f.Values {
		got = append(got, value.Path+" "+value.Mark.Group+" "+string(value.Bytes))
	}
	want := []string{`/extra extra {"x":1e400}`, `/home/street contact "s"`, `/note notes "<n>"`,
		`/visitors/0/phone contact "+41"`, `/visitors/0/scores derived `}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	note := f.Values[2].Mark
	if len(f.References) != 4 || f.Values[1].Mark.From != "/at" || !note.FreeText || !note.Indexed {
		t.Errorf("%+v", f)
	}
	back, err := typed.Decode(&event.Event{Draft: draft})
	if err != nil || back.Note != "<n>" || back.Amount != value.Amount {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := typed.Decode(&event.Event{Draft: event.Draft{Type: "Other", Data: draft.Data}}); err == nil {
		t.Error("an event of another type is decoded")
	}
	if again, _ := schema.Of[registered]("Registered"); string(again.Version().Text) != string(typed.Version().Text) {
		t.Error("the same type gives another text")
	}
}

type node struct {
	Next *node `json:"next" open:"technical"`
}

func TestOfRefuses(t *testing.T) {
	type bare struct {
		Name event.Personal[string] `json:"name"`
	}
	type both struct {
		Name string `json:"name" person:"k" open:"public"`
	}
	type wrong struct {
		Name string `json:"name" personal:"gruop=x"`
	}
	type odd struct {
		F func() `json:"f"`
	}
	for what, c := range map[string]struct {
		derive func() error
		says   string
	}{
		"no struct":       {func() error { _, err := schema.Of[int]("T"); return err }, "no struct"},
		"itself":          {func() error { _, err := schema.Of[node]("T"); return err }, "contains itself"},
		"no personal tag": {func() error { _, err := schema.Of[bare]("T"); return err }, "has no personal tag"},
		"two tags":        {func() error { _, err := schema.Of[both]("T"); return err }, "several of the tags"},
		"a wrong tag":     {func() error { _, err := schema.Of[wrong]("T"); return err }, "no part gruop=x"},
		"a function":      {func() error { _, err := schema.Of[odd]("T"); return err }, "has no JSON"},
	} {
		if err := c.derive(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
