package desk_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/desk"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/lethetest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage/memory"
)

const document = `{
  "version": 1,
  "kinds": {"service": {}, "token": {}, "application": {}, "customer": {"person": true, "normalise": "email"}},
  "groups": {"contact": {}, "finance": {"category": "financial"}},
  "retention": {"three-years": {"period": "P3Y"}},
  "controllers": {"bank": {"name": "Example Bank AG"}},
  "purposes": {
    "support": {"basis": "contract", "groups": ["contact", "reference"]},
    "news": {"basis": "consent", "groups": ["contact"], "notice": "3", "marketing": true, "controller": "bank"},
    "scoring": {"basis": "legitimate-interests", "groups": ["finance"]}
  },
  "rules": "permit(principal, action == Action::\"open\", resource) when { context.purpose == \"support\" };"
}`

const registered = `{
  "type": "object", "additionalProperties": false, "required": ["customer"],
  "properties": {
    "customer": {"type": "string", "x-person": "customer"},
    "mail": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer", "retention": "three-years",
      "origin": "provided"}},
    "income": {"type": "number", "x-personal": {"group": "finance", "subject": "/customer", "category": "financial"}},
    "amount": {"type": "number", "x-not-personal": "business-fact"}
  }
}`

// world is a store with personal data and a desk over it.
type world struct {
	desk.Desk
	clock   *lethetest.Clock
	service *kmstest.Faulty
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{clock: lethetest.NewClock(), service: kmstest.NewFaulty(kmstest.New(t))}
	store, err := lethe.Open(t.Context(), memory.Open(memory.Options{}), w.service, &lethe.Options{
		Clock: w.clock, Keystore: memory.NewKeys(), Notations: []schema.Notation{jsonschema.New()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w.Desk = desk.Desk{Store: store, Token: "t0"}
	return w
}

// governed is a world with policy, schema and a person.
func governed(t testing.TB) (w *world, krid string) {
	t.Helper()
	w = newWorld(t)
	if _, err := w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(document)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.PushSchema(t.Context(), push(registered)); err != nil {
		t.Fatal(err)
	}
	return w, w.register(t, "ada@example.org")
}

func push(text string) *lethev1.PushSchemaRequest {
	return &lethev1.PushSchemaRequest{Type: "Registered", Notation: jsonschema.Name, Text: []byte(text)}
}

// register appends data of a person, and gives the alias.
func (w *world) register(t testing.TB, ref string) string {
	t.Helper()
	d := event.Draft{Type: "Registered", Data: []byte(`{"customer": "` + ref + `", "mail": "` + ref + `", "income": 7, "amount": 1}`)}
	res, err := w.Store.As(event.Actor{}).Append(t.Context(), event.Stream("customer", ref), event.Any, d)
	if err != nil {
		t.Fatal(err)
	}
	return res.Events[0].Stream.ID
}

func ada() *lethev1.Person { return &lethev1.Person{Kind: "customer", Ref: "Ada@Example.org"} }

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func refused(t testing.TB, what string, err, class error, code string) {
	t.Helper()
	if !errors.Is(err, class) || event.Code(err) != code {
		t.Errorf("%s: %s (%v), want %s", what, event.Code(err), err, code)
	}
	if err != nil && strings.Contains(strings.ToLower(err.Error()), "ada@example") {
		t.Errorf("%s names the person: %v", what, err)
	}
}

func TestPolicy(t *testing.T) {
	w := newWorld(t)
	empty, err := w.ShowPolicy(t.Context(), nil)
	same(t, "no policy", &lethev1.ShowPolicyResponse{}, empty)
	if err != nil {
		t.Fatal(err)
	}
	dry, err := w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(document), DryRun: true})
	if err != nil || len(dry.GetChanges()) == 0 || dry.GetPosition() != 0 {
		t.Fatalf("dry: %v, %v", dry, err)
	}
	set, err := w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(document), Actor: "service/officer"})
	if err != nil || set.GetPosition() != 1 || len(set.GetChanges()) != len(dry.GetChanges()) {
		t.Fatalf("set: %v, %v", set, err)
	}
	now, err := w.ShowPolicy(t.Context(), nil)
	if err != nil || now.GetDigest() != set.GetDigest() || len(now.GetDigest()) != 64 || now.GetPosition() != 1 ||
		!now.GetSetAt().AsTime().Equal(w.clock.Now()) || !json.Valid(now.GetDocument()) {
		t.Errorf("show: %v, %v", now, err)
	}
	again, err := w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: now.GetDocument()})
	if err != nil || again.GetPosition() != 0 || len(again.GetChanges()) > 0 || again.GetDigest() != set.GetDigest() {
		t.Errorf("again: %v, %v", again, err)
	}
	w, _ = governed(t)
	without := strings.Replace(document, `"finance": {"category": "financial"}`, `"money": {}`, 1)
	without = strings.Replace(without, `["finance"]`, `["money"]`, 1)
	_, err = w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(without)})
	refused(t, "a policy without a group that is used", err, event.ErrInvalid, "policy_refused")
	dry, err = w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(without), DryRun: true})
	breaks := 0
	for _, c := range dry.GetChanges() {
		if c.GetEffect() == "breaks" {
			breaks++
		}
	}
	if err != nil || breaks == 0 {
		t.Errorf("dry: %v, %v", dry, err)
	}
	_, err = w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(document), Actor: "nonsense"})
	refused(t, "an actor who is none", err, event.ErrInvalid, "malformed_actor")
}

func TestSchemas(t *testing.T) {
	w := newWorld(t)
	if _, err := w.SetPolicy(t.Context(), &lethev1.SetPolicyRequest{Document: []byte(document)}); err != nil {
		t.Fatal(err)
	}
	dry := push(registered)
	dry.DryRun = true
	if m, err := w.PushSchema(t.Context(), dry); err != nil || m.GetSchema().GetPosition() != 0 {
		t.Fatalf("dry: %v, %v", m, err)
	}
	first, err := w.PushSchema(t.Context(), push(registered))
	if err != nil {
		t.Fatal(err)
	}
	want := &lethev1.Schema{Type: "Registered", Number: 1, Id: first.GetSchema().GetId(), Notation: "jsonschema",
		Groups: []string{"contact", "finance"}, Position: 2, PushedAt: timestamppb.New(w.clock.Now())}
	same(t, "pushed", &lethev1.PushSchemaResponse{Schema: want}, first)
	again, err := w.PushSchema(t.Context(), push(registered))
	same(t, "pushed again", &lethev1.PushSchemaResponse{Schema: want, Repeated: true}, again)
	if err != nil || len(want.GetId()) != 64 {
		t.Errorf("again: %v, id %s", err, want.GetId())
	}
	_, err = w.PushSchema(t.Context(), push(strings.Replace(registered, `"group": "contact"`, `"group": "health"`, 1)))
	refused(t, "a schema that the policy does not fit", err, event.ErrInvalid, "schema_unfit")
	list, err := w.ListSchemas(t.Context(), &lethev1.ListSchemasRequest{})
	same(t, "list", &lethev1.ListSchemasResponse{Schemas: []*lethev1.Schema{want}}, list)
	other, _ := w.ListSchemas(t.Context(), &lethev1.ListSchemasRequest{Type: "Other"})
	same(t, "list of another type", &lethev1.ListSchemasResponse{}, other)
	shown, err := w.ShowSchema(t.Context(), &lethev1.ShowSchemaRequest{Type: "Registered", Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "show", &lethev1.ShowSchemaResponse{Schema: want, Text: []byte(registered), Places: []*lethev1.SchemaPlace{
		{Path: "/amount", Type: "number", Open: "business-fact"},
		{Path: "/customer", Type: "string", Reference: "customer"},
		{Path: "/income", Type: "number", Group: "finance", Category: "financial", Subjects: []string{"/customer"}},
		{Path: "/mail", Type: "string", Group: "contact", Retention: "three-years", Origin: "provided",
			Subjects: []string{"/customer"}},
	}}, shown)
	for _, m := range []*lethev1.ShowSchemaRequest{{Type: "Other"}, {Type: "Registered", Number: 2}} {
		_, err := w.ShowSchema(t.Context(), m)
		refused(t, "a schema that is not there", err, event.ErrNotFound, "not_found")
	}
	w.register(t, "ada@example.org")
	append1 := func() error {
		_, err := w.Store.As(event.Actor{}).Append(t.Context(), event.Stream("a", "1"), event.Any, event.Draft{Type: "Other"})
		return err
	}
	if err := append1(); err != nil {
		t.Fatal(err)
	}
	coverage, err := w.Coverage(t.Context(), nil)
	same(t, "coverage", &lethev1.CoverageResponse{Types: []*lethev1.TypeCoverage{
		{Type: "Registered", Events: 1, Checked: 1, Personal: 2, References: 1, Open: 1}, {Type: "Other", Events: 1},
	}}, coverage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.DemandSchema(t.Context(), &lethev1.DemandSchemaRequest{Demand: true}); err != nil {
		t.Fatal(err)
	}
	refused(t, "a type without a schema", append1(), event.ErrInvalid, "no_schema")
	if list, err := w.ListSchemas(t.Context(), &lethev1.ListSchemasRequest{}); err != nil || !list.GetDemanded() {
		t.Errorf("it is demanded: %v, %v", list, err)
	}
}

func TestPersonIsNamed(t *testing.T) {
	w, krid := governed(t)
	for name, c := range map[string]struct {
		person *lethev1.Person
		code   string
		class  error
	}{
		"nobody":          {nil, "malformed_person", event.ErrInvalid},
		"twice":           {&lethev1.Person{Krid: krid, Kind: "customer"}, "malformed_person", event.ErrInvalid},
		"a wrong alias":   {&lethev1.Person{Krid: "krid_x"}, "malformed_krid", event.ErrInvalid},
		"a stranger":      {&lethev1.Person{Kind: "customer", Ref: "bob@example.org"}, "unknown_person", event.ErrNotFound},
		"unknown alias":   {&lethev1.Person{Krid: event.KRID{1}.String()}, "unknown_person", event.ErrNotFound},
		"a thing":         {&lethev1.Person{Kind: "application", Ref: "ada@example.org"}, "not_a_person", event.ErrInvalid},
		"no kind":         {&lethev1.Person{Ref: "ada@example.org"}, "not_a_person", event.ErrInvalid},
		"no such address": {&lethev1.Person{Kind: "customer", Ref: "ada@"}, "malformed_reference", event.ErrInvalid},
	} {
		_, err := w.ShowSubject(t.Context(), &lethev1.ShowSubjectRequest{Person: c.person})
		refused(t, name, err, c.class, c.code)
	}
	for _, p := range []*lethev1.Person{ada(), {Krid: krid}, {Kind: "customer", Ref: krid}} {
		if m, err := w.ShowSubject(t.Context(), &lethev1.ShowSubjectRequest{Person: p}); err != nil || m.GetKrid() != krid {
			t.Errorf("%v: %v, %v", p, m, err)
		}
	}
}

func TestSubject(t *testing.T) {
	w, krid := governed(t)
	want := &lethev1.ShowSubjectResponse{Krid: krid, State: "live", Epoch: 1, Groups: []*lethev1.GroupKeys{
		{Group: "contact", Generations: []uint32{1}}, {Group: "finance", Generations: []uint32{1}}}}
	got, err := w.ShowSubject(t.Context(), &lethev1.ShowSubjectRequest{Person: ada()})
	same(t, "show", want, got)
	if err != nil {
		t.Fatal(err)
	}
	opened := &lethev1.ShowSubjectRequest{Person: ada(), Opening: &lethev1.Opening{Purpose: "support", Reason: "ticket 7"}}
	want.Names = []*lethev1.Name{{Krid: krid, Kind: "customer", Ref: "ada@example.org"}}
	got, err = w.ShowSubject(t.Context(), opened)
	same(t, "show with references", want, got)
	if err != nil {
		t.Fatal(err)
	}
	opened.Opening.Purpose = "scoring"
	_, err = w.ShowSubject(t.Context(), opened)
	refused(t, "show for another purpose", err, event.ErrDenied, "purpose_denied")

	var told []uint64
	footprint, err := w.MapSubject(t.Context(), &lethev1.MapSubjectRequest{Person: ada()},
		func(m *lethev1.MapSubjectResponse) { told = append(told, m.GetEvents()) })
	until := "2029-01-31"
	same(t, "map", &lethev1.MapSubjectResponse{Events: 1, Footprint: &lethev1.Footprint{Krid: krid, Events: 1,
		Roles: map[string]uint64{"stream": 1}, Holdings: []*lethev1.Holding{
			{Group: "contact", Class: "three-years", Until: until, Boxes: 1, First: 3, Last: 3, Types: []string{"Registered"}},
			{Group: "finance", Boxes: 1, First: 3, Last: 3, Types: []string{"Registered"}},
		}}}, footprint)
	same(t, "told on the way", []uint64{1}, told)
	if err != nil {
		t.Fatal(err)
	}

	uses, err := w.ListUses(t.Context(), &lethev1.ListUsesRequest{Person: ada()})
	same(t, "uses", &lethev1.ListUsesResponse{Done: true, Uses: []*lethev1.Use{{Number: 1,
		At: timestamppb.New(w.clock.Now()), Actor: "token/t0", Purpose: "support", Reason: "ticket 7",
		Entries: []*lethev1.UseEntry{{Group: "reference", Count: 1}}}}}, uses)
	if err != nil {
		t.Fatal(err)
	}
	none, err := w.ListUses(t.Context(), &lethev1.ListUsesRequest{Person: ada(), Purpose: "scoring"})
	if err != nil || len(none.GetUses()) > 0 {
		t.Errorf("uses for another purpose: %v, %v", none, err)
	}
	_, err = w.ListUses(t.Context(), &lethev1.ListUsesRequest{Person: ada(), Limit: 1001})
	refused(t, "too many uses", err, event.ErrInvalid, "malformed_limit")
}

func TestStanding(t *testing.T) {
	w, krid := governed(t)
	id := event.ID{1, 2, 3}.String()
	record := &lethev1.RecordStandingRequest{Person: ada(), Type: "lethe.SubjectRestricted",
		Actor: "service/officer", Id: id,
		Data: `{"groups": ["contact"], "ground": "accuracy", "case": "case-7"}`}
	placed, err := w.RecordStanding(t.Context(), record)
	at := &lethev1.PlacedRecord{Id: id, Position: 4}
	same(t, "placed", &lethev1.RecordStandingResponse{Krid: krid, Placed: at}, placed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.RecordStanding(t.Context(), record) // the answer was lost
	same(t, "placed again", placed, again)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*lethev1.RecordStandingRequest{
		{Type: "lethe.ObjectionRecorded", Data: `{"purposes": ["scoring"], "at": "2026-01-01T10:00:00Z"}`},
		{Type: "lethe.ChildNoted", Data: `{"principal": "` + krid + `", "until": "2031-04"}`}, {Type: "lethe.ChildNoted"},
	} {
		m.Person = &lethev1.Person{Krid: krid}
		if _, err := w.RecordStanding(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", m.GetType(), err)
		}
	}
	shown, err := w.ShowSubject(t.Context(), &lethev1.ShowSubjectRequest{Person: ada()})
	if err != nil {
		t.Fatal(err)
	}
	var standing struct {
		Restrictions []struct {
			ID     string
			Groups []string
		}
		Objections []struct {
			Purposes []string
			Outcome  string
			At       time.Time
		}
		Minorities []struct{ Until *time.Time }
	}
	if err := json.Unmarshal([]byte(shown.GetStanding()), &standing); err != nil {
		t.Fatalf("%v: %s", err, shown.GetStanding())
	}
	if len(standing.Restrictions) != 1 || standing.Restrictions[0].ID != id ||
		standing.Restrictions[0].Groups[0] != "contact" ||
		len(standing.Objections) != 1 || standing.Objections[0].Outcome != "pending" || len(standing.Minorities) != 2 {
		t.Errorf("standing is %s", shown.GetStanding())
	}
	for name, m := range map[string]*lethev1.RecordStandingRequest{
		"principal_mismatch": {Type: "lethe.ChildNoted", Data: `{"principal": "` + event.KRID{7}.String() + `"}`},
		"record_refused":     {Type: "lethe.ConsentWithdrawn", Data: `{}`},
		"record_invalid":     {Type: "lethe.SubjectRestricted", Data: `{"ground": "ada@example.org"}`},
		"invalid_json":       {Type: "lethe.SubjectRestricted", Data: `"ada@example.org"`},
		"duplicate_name":     {Type: "lethe.SubjectRestricted", Data: `{"ground": 1, "ground": 2}`},
		"malformed_id":       {Type: "lethe.ChildNoted", Id: "ada@example.org"},
	} {
		m.Person = ada()
		_, err := w.RecordStanding(t.Context(), m)
		refused(t, name, err, event.ErrInvalid, name)
	}
	_, err = w.RecordStanding(t.Context(), &lethev1.RecordStandingRequest{Person: ada(), Type: "lethe.Other"})
	refused(t, "another type", err, event.ErrFormat, "unknown_format")
}

const consent = `{"controller": "bank", "purpose": "news", "basis": "consent", "notice": {"version": "3", "language": "en"},
  "method": "web-form", "at": "2026-01-01T10:00:00Z", "state": "given"}`

func TestConsents(t *testing.T) {
	w, krid := governed(t)
	given, err := w.RecordConsent(t.Context(), &lethev1.RecordConsentRequest{Person: ada(), Data: consent})
	if err != nil {
		t.Fatal(err)
	}
	if given.GetKrid() != krid || !strings.Contains(given.GetReceipt(), given.GetPlaced().GetId()) ||
		!strings.HasPrefix(given.GetText(), "Consent receipt\n") || !json.Valid([]byte(given.GetReceipt())) {
		t.Errorf("recorded: %v", given)
	}
	list := func(history bool) *lethev1.ListConsentsResponse {
		t.Helper()
		m, err := w.ListConsents(t.Context(), &lethev1.ListConsentsRequest{Person: ada(), History: history})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	same(t, "consents", `[{"id":"`+given.GetPlaced().GetId()+`","purpose":"news","notice":"3","at":"2026-01-01T10:00:00Z"}]`,
		list(false).GetConsents())
	withdrawn, err := w.WithdrawConsent(t.Context(), &lethev1.WithdrawConsentRequest{Person: ada(),
		Data: `{"purposes": ["news"], "at": "2026-01-01T11:00:00Z"}`})
	if err != nil || withdrawn.GetKrid() != krid ||
		withdrawn.GetPlaced().GetPosition() != given.GetPlaced().GetPosition()+1 {
		t.Fatalf("withdrawn: %v, %v", withdrawn, err)
	}
	after := list(true)
	var types []string
	for _, e := range after.GetEvents() {
		types = append(types, e.GetType())
	}
	same(t, "history", []string{"lethe.ConsentRecorded", "lethe.ConsentWithdrawn"}, types)
	same(t, "consents after the withdrawal", `[]`, after.GetConsents())
	_, err = w.RecordConsent(t.Context(), &lethev1.RecordConsentRequest{Person: ada(),
		Data: strings.Replace(consent, `"news"`, `"support"`, 1)})
	refused(t, "a consent to what needs none", err, event.ErrInvalid, "record_refused")
}

func TestKeys(t *testing.T) {
	w, _ := governed(t)
	status, err := w.KeyStatus(t.Context(), &lethev1.KeyStatusRequest{Count: true})
	if err != nil || len(status.GetEpochs()) != 1 || status.GetEpochs()[0].GetState() != "live" ||
		status.GetCurrent() != 1 || status.GetFault() != "" || status.GetKeyrings().GetLive() != 1 ||
		status.GetService() == "" || len(status.GetSizes()) < 4 ||
		!status.GetLeaseUntil().AsTime().After(w.clock.Now()) {
		t.Errorf("status: %v, %v", status, err)
	}
	rolled, err := w.RollKeys(t.Context(), nil, func(*lethev1.RollKeysResponse) {})
	if err != nil || rolled.GetEpoch() != 2 || rolled.GetDone() == 0 {
		t.Errorf("rolled: %v, %v", rolled, err)
	}
	w.service.Set(kmstest.Down)
	w.clock.Advance(time.Hour)
	status, err = w.KeyStatus(t.Context(), &lethev1.KeyStatusRequest{})
	if err != nil || status.GetFault() != "kms_unavailable" || len(status.GetEpochs()) != 2 ||
		status.GetKeyrings() != nil || status.GetLeaseUntil() != nil {
		t.Errorf("status without the key service: %v, %v", status, err)
	}
}

// TestNoKeys asks a store that holds nothing personal.
func TestNoKeys(t *testing.T) {
	store, err := lethe.Open(t.Context(), memory.Open(memory.Options{}), kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	d := desk.Desk{Store: store}
	_, err = d.KeyStatus(t.Context(), &lethev1.KeyStatusRequest{})
	refused(t, "status", err, event.ErrUnsupported, "unsupported")
	_, err = d.RollKeys(t.Context(), nil, func(*lethev1.RollKeysResponse) {})
	refused(t, "roll", err, event.ErrUnsupported, "unsupported")
	_, err = d.ShowSubject(t.Context(), &lethev1.ShowSubjectRequest{Person: &lethev1.Person{Krid: event.KRID{1}.String()}})
	refused(t, "show", err, event.ErrUnsupported, "unsupported")
	if m, err := d.ListSchemas(t.Context(), &lethev1.ListSchemasRequest{}); err != nil || len(m.GetSchemas()) > 0 {
		t.Errorf("schemas: %v, %v", m, err)
	}
}
