package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
)

type address struct {
	City event.Personal[string] `json:"city,omitzero"`
}

type registered struct {
	Name   event.Personal[string]            `json:"name,omitzero"`
	Income event.Personal[json.Number]       `json:"income,omitzero"`
	Nick   event.Personal[string]            `json:"nick,omitzero"`
	Other  event.Personal[int]               `json:"other,omitzero"`
	Homes  []address                         `json:"homes,omitempty"`
	ByKey  map[string]event.Personal[string] `json:"by/key,omitempty"`
	Amount int                               `json:"amount"`
}

func TestDecodeTellsWhatIsWithheld(t *testing.T) {
	e := event.Event{
		Draft: event.Draft{Type: "Registered", Data: []byte(`{"name":null,"income":9007199254740993,"nick":null,
			"homes":[{"city":null},{"city":"Delft"}],"by/key":{"a":null,"b":"x"},"amount":7}`)},
		Withheld: []event.Withheld{
			{Path: "/name", Group: "identity", Reason: event.WithheldErased, Receipt: "er-1"},
			{Path: "/homes/0/city", Group: "contact", Reason: event.WithheldDenied},
			{Path: "/by~1key/a", Group: "contact", Reason: event.WithheldRestricted},
		},
	}
	var got registered
	if err := e.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if _, ok := got.Name.Value(); ok || got.Name.Withheld() != e.Withheld[0] {
		t.Errorf("name: got %v, %+v", got.Name, got.Name.Withheld())
	}
	if income, ok := got.Income.Value(); !ok || income != "9007199254740993" {
		t.Errorf("income was not read as it stands")
	}
	if !got.Nick.IsNull() || got.Nick.IsZero() || !got.Other.IsZero() {
		t.Errorf("nick %v should be null, other %v absent", got.Nick, got.Other)
	}
	if got.Homes[0].City.Withheld().Reason != event.WithheldDenied {
		t.Errorf("city 0: %v", got.Homes[0].City)
	}
	if city, ok := got.Homes[1].City.Value(); !ok || city != "Delft" {
		t.Errorf("city 1: %v", got.Homes[1].City)
	}
	if got.ByKey["a"].Withheld().Reason != event.WithheldRestricted {
		t.Errorf("map a: %v", got.ByKey["a"])
	}
	if v, ok := got.ByKey["b"].Value(); !ok || v != "x" {
		t.Errorf("map b: %v", got.ByKey["b"])
	}
}

func TestPersonalNeverPrints(t *testing.T) {
	const marker = "MARKER-4711"
	p := event.NewPersonal(marker)
	holder := struct{ P event.Personal[string] }{p}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "p", p)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", p, "holder", fmt.Sprint(holder))
	for _, text := range []string{fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s %q %x %d", p, p, p, p, p, p, p),
		fmt.Sprintf("%v %+v %#v", holder, holder, &holder), log.String()} {
		if strings.Contains(text, marker) || strings.Contains(text, fmt.Sprintf("%x", marker)) {
			t.Errorf("printed its value: %s", text)
		}
	}
	var n event.Personal[int]
	if err := json.Unmarshal([]byte(`"`+marker+`"`), &n); err == nil || strings.Contains(err.Error(), marker) {
		t.Errorf("error of a wrong type: %v", err)
	}
}

func TestPersonalRoundTrip(t *testing.T) {
	in := registered{Name: event.NewPersonal("Ada"), Amount: 1}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"name":"Ada","amount":1}`, string(text)); diff != "" {
		t.Error(diff)
	}
	var withheld event.Personal[string]
	if err := json.Unmarshal([]byte("null"), &withheld); err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(withheld); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("marshal what is withheld: %v", err)
	}
}

func TestKRID(t *testing.T) {
	k := event.KRID{0x31, 0x02, 15: 0xff}
	back, err := event.ParseKRID(k.String())
	if err != nil || back != k || !event.IsKRID(k.String()) || len(k.String()) != 31 {
		t.Errorf("%s came back as %s: %v", k, back, err)
	}
	for _, bad := range []string{"", "krid_", k.String() + "0", k.String()[:30], strings.ToUpper(k.String()),
		k.String()[:30] + "v", event.KRID{}.String(), "krid_" + strings.Repeat("w", 26)} {
		if _, err := event.ParseKRID(bad); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("parse %q: %v", bad, err)
		}
	}
}
