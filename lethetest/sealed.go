package lethetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage/memory"
)

// RunSealed holds a store to what package lethe promises of personal data. open gives a new empty store with these keys
// and options, and the same store in the process that has it open, by which it is governed; where it is not reached
// over a network they are one. It closes both when the test ends. Sessions may do everything.
func RunSealed(t *testing.T, open func(t *testing.T, keys kms.KMS, o *lethe.Options) (store, home *lethe.Store)) {
	for _, c := range sealedCases() {
		t.Run(c.name, func(t *testing.T) {
			r := &sealedRig{clock: NewClock(), service: kmstest.NewFaulty(kmstest.New(t))}
			r.Store, r.home = open(t, r.service, &lethe.Options{
				Clock: r.clock, Keystore: memory.NewKeys(), Notations: []schema.Notation{jsonschema.New()},
				Languages: []schema.Language{upcasters()}, Code: "suite 1",
			})
			r.govern(t, policyText)
			for typ, text := range map[string]string{"CustomerRegistered": customerSchema, "AddressGiven": addressSchema} {
				v := &schema.Version{Type: typ, Notation: jsonschema.Name, Text: []byte(text)}
				if _, err := r.home.Privacy().PushSchema(t.Context(), officer(), v, false); err != nil {
					t.Fatalf("push the schema of %s: %v", typ, err)
				}
			}
			c.run(t, r)
		})
	}
}

func sealedCases() []sealedCase {
	return []sealedCase{
		{"SealedRead", sealedRead},
		{"OpenedRead", openedRead},
		{"OpenedPages", openedPages},
		{"OpenedAsAsked", openedAsAsked},
		{"OpeningDenied", openingDenied},
		{"ReferencesFound", referencesFound},
		{"SealedRepeated", sealedRepeated},
		{"SealedRefused", sealedRefused},
		{"RestrictedNext", restrictedNext},
		{"PolicyNext", policyNext},
		{"KeysAway", keysAway},
		{"UsesKept", usesKept},
		{"UpkeepAliased", upkeepAliased},
		{"HeldOpened", heldOpened},
		{"HeldByOtherRoads", heldByOtherRoads},
		{"HeldDenied", heldDenied},
		{"HeldAltered", heldAltered},
		{"HeldForeign", heldForeign},
		{"HeldWithheld", heldWithheld},
		{"HeldUsed", heldUsed},
		{"PresentForm", presentForm},
	}
}

type sealedCase struct {
	name string
	run  func(t *testing.T, r *sealedRig)
}

// sealedRig is a store under test that holds personal data.
type sealedRig struct {
	*lethe.Store
	home    *lethe.Store
	clock   *Clock
	service *kmstest.Faulty
}

func officer() event.Actor { return event.Actor{Kind: "service", ID: "governor"} }

func desk() event.Actor { return event.Actor{Kind: "service", ID: "desk"} }

func (r *sealedRig) govern(t *testing.T, text string) {
	t.Helper()
	if _, err := r.home.Privacy().SetPolicy(t.Context(), officer(), []byte(text), false); err != nil {
		t.Fatalf("set the policy: %v", err)
	}
}

// support reads as the desk does.
func (r *sealedRig) support() *lethe.Session { return r.As(desk()).For("support", "ticket 7") }

// sealing is a session of a clerk, who is a person too, without a purpose.
func (r *sealedRig) sealing() *lethe.Session { return r.As(clerk()) }

const policyText = `{
  "version": 1,
  "kinds": {
    "application": {}, "service": {}, "employee": {"person": true}, "customer": {"person": true, "normalise": "email"}
  },
  "groups": {"contact": {}, "finance": {"category": "financial"}, "rumour": {"undisclosed": true}},
  "purposes": {
    "support": {"basis": "contract", "groups": ["contact", "rumour", "reference"], "reasons": ["ticket"]},
    "scoring": {"basis": "contract", "groups": ["finance"]},
    "review": {"basis": "legal-obligation", "groups": ["rumour"], "undisclosed": true}
  },
  "metadata": {"x-auth-email": {"group": "contact", "subject": "issuer"}},
  "rules": "permit(principal == service::\"desk\", action == Action::\"open\", resource) when { context.purpose == \"support\" && resource != Group::\"rumour\" };\npermit(principal == service::\"scorer\", action == Action::\"open\", resource == Group::\"finance\") when { context.purpose == \"scoring\" };"
}`

const customerSchema = `{
  "type": "object", "additionalProperties": false, "required": ["customer"],
  "properties": {
    "customer": {"type": "string", "x-person": "customer"},
    "email": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}},
    "phones": {"type": "array", "items": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}}},
    "income": {"type": "number", "x-personal": {"group": "finance", "subject": "/customer"}},
    "rumour": {"type": "string", "x-personal": {"group": "rumour", "subject": "/customer"}},
    "amount": {"type": "number", "x-not-personal": "business-fact"}
  }
}`

const addressSchema = `{
  "type": "object", "additionalProperties": false, "required": ["customer", "home"],
  "properties": {
    "customer": {"type": "string", "x-person": "customer"},
    "home": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "street": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}},
        "lines": {"type": "array", "items": {
          "type": "object", "additionalProperties": false,
          "properties": {"text": {"type": "string", "x-personal": {"group": "contact", "subject": "/customer"}}}
        }}
      }
    }
  }
}`

// person is somebody whose data is appended.
type person struct{ email, phone, street string }

func ada() person { return person{"Ada@Example.org", "+49 111 CANARY", "Canary Lane 1"} }

func bob() person { return person{"bob@example.org", "+49 222 CANARY", "Canary Lane 2"} }

func (p person) markers() []string {
	return []string{p.email, strings.ToLower(p.email), p.phone, p.street, "canary-rumour", "31415926535897.92",
		"clerk@example.org"}
}

// registered is an event about a person, with everything that can be personal in it.
func (p person) registered() event.Draft {
	return event.Draft{
		Type: "CustomerRegistered", Metadata: map[string]string{"x-auth-email": "clerk@example.org"},
		Relations: []event.Relation{{Role: "affected", Kind: "customer", ID: p.email}},
		Data: []byte(fmt.Sprintf(`{ "customer": %q,  "email": %q, "phones": [%q, "+0"], "income": 31415926535897.92000,`+
			` "rumour": "canary-rumour", "amount": 1e2 }`, p.email, p.email, p.phone)),
	}
}

func (p person) moved() event.Draft {
	return event.Draft{Type: "AddressGiven", Data: []byte(fmt.Sprintf(
		`{"customer": %q, "home": {"street": %q, "lines": [{"text": %q}, {}]}}`, p.email, p.street, p.street))}
}

// data is what of registered a session may see: the person's alias, and of the values those that are not hidden.
func (p person) data(alias string, hidden ...string) string {
	text := string(p.registered().Data)
	text = strings.Replace(text, `"customer": `+quoted(p.email), `"customer": `+quoted(alias), 1)
	values := map[string][]string{
		"contact": {`"email": ` + quoted(p.email), quoted(p.phone), `"+0"`}, "finance": {`31415926535897.92000`},
		"rumour": {`"canary-rumour"`},
	}
	for _, group := range hidden {
		for _, value := range values[group] {
			name, _, member := strings.Cut(value, ": ")
			with := "null"
			if member {
				with = name + ": null"
			}
			text = strings.Replace(text, value, with, 1)
		}
	}
	return text
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// append is by a clerk.
func (r *sealedRig) append(t *testing.T, s event.StreamID, list ...event.Draft) []event.StreamID {
	t.Helper()
	res, err := r.sealing().Append(t.Context(), s, event.Any, list...)
	if err != nil {
		t.Fatalf("append to kind %s: %v", s.Kind, err)
	}
	var streams []event.StreamID
	for _, placed := range res.Events {
		streams = append(streams, placed.Stream)
	}
	return streams
}

// hides holds that nothing of a person can be read in what was given out.
func hides(t *testing.T, what string, text string, people ...person) {
	t.Helper()
	for _, p := range people {
		for _, marker := range p.markers() {
			if strings.Contains(text, marker) {
				t.Errorf("%s tells %q", what, marker)
			}
		}
	}
}

// shown is everything an event says.
func shown(t *testing.T, e *event.Event) string {
	t.Helper()
	text, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withheld are the reasons by group, and paths, sorted.
func withheld(e *event.Event) (list []string) {
	for _, w := range e.Withheld {
		list = append(list, w.Path+" "+w.Group+" "+string(w.Reason))
	}
	slices.Sort(list)
	return list
}

// aliasOf is what stands for the person of a stream.
func aliasOf(t *testing.T, s event.StreamID) event.KRID {
	t.Helper()
	krid, err := event.ParseKRID(s.ID)
	if err != nil {
		t.Fatalf("the stream of a person is named by no alias: %v", err)
	}
	return krid
}
