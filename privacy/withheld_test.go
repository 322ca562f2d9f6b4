package privacy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
)

// rounds is how often a test appends what is stored in an order that is chance: of boxes that differ by their owners
// only, and of relations by alias.
const rounds = 12

func (r *rig) push(typ, text string) {
	r.t.Helper()
	v := &schema.Version{Type: typ, Notation: jsonschema.Name, Text: []byte(text)}
	if _, err := r.PushSchema(context.Background(), event.Actor{}, v, false); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) restrictRef(ref string) {
	r.t.Helper()
	ctx := context.Background()
	krid, err := r.Subject(ctx, "customer", ref)
	if err != nil {
		r.t.Fatal(err)
	}
	restricted := policy.SubjectRestricted{Principal: krid, Ground: policy.Unlawful}
	if _, err := r.Record(ctx, event.Actor{}, event.ID{}, restricted); err != nil {
		r.t.Fatal(err)
	}
}

// wantWithheld reads an event, and compares what is withheld ("path reason").
func (r *rig) wantWithheld(o event.Opening, id event.ID, want ...string) {
	r.t.Helper()
	page, err := r.log.Page(context.Background(), storage.Query{ID: id, Limit: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	events, err := r.Open(context.Background(), o, page.Records)
	if err != nil {
		r.t.Fatal(err)
	}
	if diff := cmp.Diff(want, withheld(&events[0])); diff != "" {
		r.t.Errorf("%s, withheld:\n%s", events[0].Data, diff)
	}
}

// TestOwnValueBesideJointOne: a value of one person alone is not judged by what becomes of one that is jointly theirs
// and another's, nor the other way round.
func TestOwnValueBesideJointOne(t *testing.T) {
	r := newRig(t)
	r.declare()
	r.push("Moved", `{"type":"object","additionalProperties":false,"properties":{
		"customer":{"type":"string","x-person":"customer"},"spouse":{"type":"string","x-person":"customer"},
		"phone":{"type":"string","x-personal":{"group":"contact","subject":"/customer"}},
		"home":{"type":"string","x-personal":{"group":"contact","subject":["/customer","/spouse"]}}}}`)
	var ids []event.ID
	for n := range rounds {
		result := r.mustAppend(event.Stream("case", "c1"), event.Draft{Type: "Moved", Data: fmt.Appendf(nil,
			`{"customer":"a%d","spouse":"b%d","phone":"555","home":"Main Street 1"}`, n, n)})
		ids = append(ids, result.Events[0].ID)
	}
	for n, id := range ids {
		r.wantWithheld(contract, id)
		r.restrictRef(fmt.Sprint("b", n))
		r.wantWithheld(contract, id, "/home restricted")
		r.restrictRef(fmt.Sprint("a", n))
		r.wantWithheld(contract, id, "/home restricted", "/phone restricted")
	}
}

// TestPeriodsOfOneClass: of two values whose boxes differ by their last day only, each has its own reason.
func TestPeriodsOfOneClass(t *testing.T) {
	r := newRig(t)
	r.declare()
	r.push("Reached", `{"type":"object","additionalProperties":false,"properties":{
		"customer":{"type":"string","x-person":"customer"},
		"since":{"type":"string","format":"date","x-not-personal":"timing"},
		"fax":{"type":"string",
			"x-personal":{"group":"contact","subject":"/customer","retention":"short","from":"/since"}},
		"mail":{"type":"string","x-personal":{"group":"contact","subject":"/customer","retention":"short"}},
		"post":{"type":"string",
			"x-personal":{"group":"contact","subject":"/customer","retention":"short","from":"occurred"}}}}`)
	result := r.mustAppend(event.Stream("case", "c1"), event.Draft{Type: "Reached",
		OccurredAt: r.clock.now.AddDate(0, -3, 0),
		Data:       []byte(`{"customer":"a","since":"2025-06-15","fax":"1","mail":"2","post":"3"}`)})
	id := result.Events[0].ID
	r.wantWithheld(contract, id)
	end := func(bucket int64) {
		err := r.keeper.DestroyPeriod(context.Background(), "short", bucket, keyring.Ending{Receipt: "1/9"})
		if err != nil {
			t.Fatal(err)
		}
	}
	end(2026_06_30)
	r.wantWithheld(contract, id, "/fax erased")
	r.restrictRef("a")
	r.wantWithheld(contract, id, "/fax erased", "/mail restricted", "/post restricted")
	end(2026_12_31)
	r.wantWithheld(contract, id, "/fax erased", "/mail restricted", "/post erased")
}

// TestRoleSubject: a value of the person in the role that sealing gives to others too is withheld, or open, by what
// becomes of that person, and is never left out.
func TestRoleSubject(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	r.declare()
	by := strings.Replace(document, `"subject": "issuer"`, `"subject": "subject"`, 1)
	if _, err := r.SetPolicy(ctx, event.Actor{}, []byte(by), false); err != nil {
		t.Fatal(err)
	}
	r.push("Called", `{"type":"object","additionalProperties":false,"properties":{
		"spouse":{"type":"string","x-person":"customer"},
		"note":{"type":"string","x-personal":{"group":"contact","subject":"/spouse"}},
		"phone":{"type":"string","x-personal":{"group":"contact","subject":"relation:subject"}}}}`)
	for n := range rounds {
		a, b := fmt.Sprint("a", n), fmt.Sprint("b", n)
		result := r.mustAppend(event.Stream("case", "c1"), event.Draft{Type: "Called",
			Data:      []byte(`{"spouse":"` + b + `","note":"after six","phone":"555"}`),
			Metadata:  map[string]string{"x-auth-email": []string{"", "clerk@bank.example"}[n%2]},
			Relations: []event.Relation{{Role: event.RoleSubject, Kind: "customer", ID: a}}})
		id := result.Events[0].ID
		r.wantWithheld(event.Opening{}, id, "metadata/x-auth-email sealed", "/note sealed", "/phone sealed")
		r.wantWithheld(contract, id)
		r.restrictRef(b)
		r.wantWithheld(contract, id, "/note restricted")
		r.restrictRef(a)
		r.wantWithheld(contract, id, "metadata/x-auth-email restricted", "/note restricted", "/phone restricted")
	}
}
