package privacy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
)

// The persons of one event. What tests look for among random bytes is long enough not to be there by chance.
const (
	applicant = "no.4711.of.the.bank"
	spouse    = "no.4712.of.the.bank"
	guest     = "no.4713.of.the.bank"
)

// person is the data of one event about an applicant. Every literal is as no encoder would write it.
const person = `{ "customer":"` + applicant + `", "name" : "Ada Lovelace \u00e9\ud83d\ude00" ,"email":"ada@example.org",` +
	`"income":12345678901234567890.10,"amount":1e400,"secret":"nobody knows","house":"the house by the lake",` +
	`"spouse":"` + spouse + `","home":"Main Street 1",` +
	`"guests":[{"who":"` + guest + `","dish":"soup of the day"},{"who":"` + applicant + `","dish":"fish and chips"}]}`

func registration() event.Draft {
	return event.Draft{Type: "Registered", Data: []byte(person), Collection: "web-form",
		Relations: []event.Relation{{Role: event.RoleIssuer, Kind: "employee", ID: "7"},
			{Role: "about", Kind: "case", ID: "c1"}},
		Metadata: map[string]string{"x-auth-email": "clerk@bank.example", "channel": "web"}}
}

// markers are what may be nowhere in clear.
var markers = []string{applicant, spouse, guest, "Ada Lovelace", "ada@example.org", "12345678901234567890",
	"nobody knows", "the house by the lake", "Main Street 1", "soup of the day", "fish and chips", "clerk@bank.example"}

func TestRoundTrip(t *testing.T) {
	r := newRig(t)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	stored := r.records(result)[0]
	for _, m := range markers {
		if bytes.Contains(stored.Body, []byte(m)) || bytes.Contains(stored.Boxes, []byte(m)) ||
			strings.Contains(stored.Stream.String(), m) {
			t.Errorf("%q is stored in clear", m)
		}
	}
	raw := r.read(event.Opening{}, result)[0]
	var withheld []string
	for _, w := range raw.Withheld {
		withheld = append(withheld, fmt.Sprint(w.Path, " ", w.Group, " ", w.Reason))
	}
	want := []string{"metadata/x-auth-email identity sealed", "/email contact sealed", "/guests/0/dish identity sealed",
		"/guests/1/dish identity sealed", "/home contact sealed", "/house store-only sealed", "/income finance sealed",
		"/name identity sealed"}
	if diff := cmp.Diff(want, withheld); diff != "" {
		t.Errorf("withheld without a purpose:\n%s", diff)
	}
	opened := r.read(contract, result)[0]
	back := string(opened.Data)
	for _, n := range opened.Names {
		if n.Kind == "customer" {
			back = strings.ReplaceAll(back, n.KRID.String(), n.Ref)
		}
	}
	if diff := cmp.Diff(strings.Replace(person, `"nobody knows"`, "null", 1), back); diff != "" {
		t.Errorf("opened:\n%s", diff)
	}
	if opened.Metadata["x-auth-email"] != "clerk@bank.example" || len(opened.Withheld) != 0 {
		t.Errorf("opened metadata %v, withheld %v", opened.Metadata, opened.Withheld)
	}
	report, err := r.log.Verify(context.Background(), nil)
	if err != nil || !report.OK() {
		t.Errorf("the log does not verify: %v %+v", err, report.Findings)
	}
}

func TestEveryReaderSeesWhatHeMay(t *testing.T) {
	r := newRig(t)
	r.declare()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	support := event.Opening{Actor: event.Actor{Kind: "service", ID: "crm"}, Purpose: "support", Reason: "ticket 7"}
	e := r.read(support, result)[0]
	reasons := map[string]event.Withholding{}
	for _, w := range e.Withheld {
		reasons[w.Path] = w.Reason
	}
	if !bytes.Contains(e.Data, []byte("ada@example.org")) || bytes.Contains(e.Data, []byte("Ada Lovelace")) ||
		reasons["/name"] != event.WithheldDenied || reasons["/email"] != "" || len(e.Names) > 0 {
		t.Errorf("support sees %s, %v", e.Data, reasons)
	}
	if _, listed := reasons["/secret"]; listed {
		t.Error("an undisclosed group shows as withheld")
	}
	ctx := context.Background()
	for name, o := range map[string]event.Opening{
		"purpose_unknown": {Actor: support.Actor, Purpose: "fun"},
		"reason_missing":  {Actor: support.Actor, Purpose: "support"},
		"purpose_denied":  {Actor: event.Actor{Kind: "employee", ID: "7"}, Purpose: "support", Reason: "ticket 7"},
	} {
		events, err := r.Open(ctx, o, r.records(result))
		if event.Code(err) != name || events != nil || !errors.Is(err, event.ErrDenied) {
			t.Errorf("want %s, got %v", name, err)
		}
	}
	if page, err := r.Uses(ctx, storage.UseQuery{Limit: 10}); err != nil || len(page.Uses) != 1 {
		t.Errorf("uses: %+v, %v", page.Uses, err)
	}
}

func TestRestrictedAndReleased(t *testing.T) {
	r := newRig(t)
	r.declare()
	ctx := context.Background()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	krid, err := r.Subject(ctx, "customer", applicant)
	if err != nil {
		t.Fatal(err)
	}
	other := *r // another process on the same store and keystore
	other.open(r.keys)
	before := other.read(contract, result)[0]
	if !bytes.Contains(before.Data, []byte("Ada Lovelace")) {
		t.Fatal("the other process does not open")
	}
	placed, err := r.Record(ctx, event.Actor{Kind: "employee", ID: "7"}, event.ID{},
		policy.SubjectRestricted{Principal: krid, Groups: []string{"identity"}, Ground: policy.AccuracyContested})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*rig{r, &other} {
		e := p.read(contract, result)[0]
		if bytes.Contains(e.Data, []byte("Ada Lovelace")) || !bytes.Contains(e.Data, []byte("soup of the day")) ||
			!bytes.Contains(e.Data, []byte("ada@example.org")) {
			t.Errorf("restricted, but it reads %s", e.Data)
		}
	}
	_, err = r.Record(ctx, event.Actor{}, event.ID{}, policy.RestrictionReleased{Principal: krid,
		Restriction: placed.Events[0].ID, Ground: "resolved"})
	if err != nil {
		t.Fatal(err)
	}
	if e := r.read(contract, result)[0]; !bytes.Contains(e.Data, []byte("Ada Lovelace")) {
		t.Errorf("released, but it reads %s", e.Data)
	}
}

func TestConsent(t *testing.T) {
	r := newRig(t)
	r.declare()
	ctx := context.Background()
	result := r.mustAppend(event.Stream("customer", applicant), registration())
	krid, err := r.Subject(ctx, "customer", applicant)
	if err != nil {
		t.Fatal(err)
	}
	news := event.Opening{Actor: contract.Actor, Purpose: "newsletter"}
	sees := func() bool { return bytes.Contains(r.read(news, result)[0].Data, []byte("ada@example.org")) }
	if sees() {
		t.Error("opened without consent")
	}
	consent := policy.ConsentRecorded{Principal: krid, Controller: "bank", Purpose: "newsletter", Basis: policy.Consent,
		Notice: policy.Notice{Version: "3", Language: "en"}, Method: "web-form", At: r.clock.now, State: policy.Given}
	if _, err := r.Record(ctx, event.Actor{}, event.ID{}, consent); err != nil {
		t.Fatal(err)
	}
	if !sees() {
		t.Error("not opened with consent")
	}
	r.clock.now = r.clock.now.Add(time.Hour)
	withdrawn := policy.ConsentWithdrawn{Principal: krid, Purposes: []string{"newsletter"}, At: r.clock.now}
	if _, err := r.Record(ctx, event.Actor{}, event.ID{}, withdrawn); err != nil {
		t.Fatal(err)
	}
	if sees() {
		t.Error("opened after the consent was withdrawn")
	}
}

func TestMapFindsEverything(t *testing.T) {
	r := newRig(t)
	r.declare()
	ctx := context.Background()
	r.mustAppend(event.Stream("customer", applicant), registration())
	r.mustAppend(event.Stream("case", "c1"), registration())
	for ref, want := range map[string]string{
		applicant: "contact/0:2 contact/20270331:2 finance/0:2 identity/0:2",
		spouse:    "contact/0:2",
		guest:     "identity/0:2",
	} {
		krid, err := r.Subject(ctx, "customer", ref)
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.Map(ctx, krid, nil)
		if err != nil || f.Events != 2 {
			t.Errorf("%s: %d events, %v", ref, f.Events, err)
		}
		var got []string
		for _, h := range f.Holdings {
			got = append(got, fmt.Sprintf("%s/%d:%d", h.Group, h.Until, h.Boxes))
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("map of %s:\n%s", ref, diff)
		}
	}
	if _, err := r.Subject(ctx, "customer", "nobody"); event.Code(err) != "unknown_person" {
		t.Errorf("nobody: %v", err)
	}
}

// TestStoreValueFirst seals a value that belongs to nobody before any person is known.
func TestStoreValueFirst(t *testing.T) {
	r := newRig(t)
	r.declare()
	text := []byte(`{"type":"object","additionalProperties":false,"properties":{
		"note":{"type":"string","x-personal":{"group":"store-only","subject":"store"}}}}`)
	v := &schema.Version{Type: "Noted", Notation: jsonschema.Name, Text: text}
	if _, err := r.PushSchema(context.Background(), event.Actor{}, v, false); err != nil {
		t.Fatal(err)
	}
	result := r.mustAppend(event.Stream("case", "c1"), event.Draft{Type: "Noted", Data: []byte(`{"note":"n-4711"}`)})
	if raw := r.read(event.Opening{}, result)[0]; string(raw.Data) != `{"note":null}` || len(raw.Withheld) != 1 {
		t.Errorf("raw: %s %v", raw.Data, raw.Withheld)
	}
	if e := r.read(contract, result)[0]; string(e.Data) != `{"note":"n-4711"}` {
		t.Errorf("opened: %s %v", e.Data, e.Withheld)
	}
}
