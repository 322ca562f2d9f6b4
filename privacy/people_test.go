package privacy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
)

// TestAliasesWithoutKeys: who opens a store without keys may ask for a person by alias, for which no key is needed, and
// not by reference.
func TestAliasesWithoutKeys(t *testing.T) {
	r := newRig(t)
	r.declare()
	ctx := context.Background()
	stream := r.records(r.mustAppend(event.Stream("customer", applicant), registration()))[0].Stream
	bare, err := privacy.New(ctx, r.log, nil, nil, privacy.Options{Clock: r.clock,
		Notations: []schema.Notation{jsonschema.New()}})
	if err != nil {
		t.Fatal(err)
	}
	q, _, err := bare.Query(ctx, storage.Query{Stream: stream, Limit: 1})
	if err != nil || q.Stream != stream {
		t.Errorf("by alias: %v, %v", q.Stream, err)
	}
	_, _, err = bare.Query(ctx, storage.Query{Stream: event.Stream("customer", applicant)})
	if !errors.Is(err, event.ErrUnsupported) {
		t.Errorf("by reference: %v", err)
	}
}

// TestNobodyIsTheStore: what is sealed under the store's own keyring can never be erased, so that its alias names no
// person; what the schema declares the store's own is sealed under it all the same.
func TestNobodyIsTheStore(t *testing.T) {
	r := newRig(t)
	r.declare()
	ctx := context.Background()
	own := keyring.OfStore(r.log.Identity().Store).String()
	about := func(ref, rest string) event.Draft {
		return event.Draft{Type: "Registered", Data: []byte(`{"customer":"` + ref + `","name":"Ada Lovelace"` + rest + `}`)}
	}
	related := about(applicant, "")
	related.Relations = []event.Relation{{Role: "affected", Kind: "customer", ID: own}}
	for range 2 { // before the store has a keyring of its own, and after
		for name, c := range map[string]struct {
			stream event.StreamID
			draft  event.Draft
		}{
			"stream":                {event.Stream("customer", own), about(applicant, "")},
			"data":                  {event.Stream("case", "c1"), about(own, "")},
			"data, and the store's": {event.Stream("case", "c1"), about(own, `,"house":"by the lake"`)},
			"relation":              {event.Stream("case", "c1"), related},
		} {
			if result, err := r.append(c.stream, c.draft); event.Code(err) != "unknown_person" {
				t.Errorf("%s: appended %v, %v", name, result.Events, err)
			}
		}
		result := r.mustAppend(event.Stream("case", "c1"), about(applicant, `,"house":"by the lake"`))
		if e := r.read(contract, result)[0]; len(e.Withheld) > 0 {
			t.Errorf("the store's own is withheld: %v", e.Withheld)
		}
	}
	if _, _, err := r.Query(ctx, storage.Query{Stream: event.Stream("customer", own)}); err != nil {
		t.Errorf("who asks for it finds nothing, and got %v", err)
	}
}

// TestAliasOfAnotherKind: the alias of an employee names no customer, in a stream, a relation or the data.
func TestAliasOfAnotherKind(t *testing.T) {
	r := newRig(t)
	r.declare()
	result := r.mustAppend(event.Stream("employee", "7"), event.Draft{Type: "Plain"})
	alias := r.alias(result).String()
	drafts := map[string]event.Draft{
		"relation": {Type: "Plain", Relations: []event.Relation{{Role: "owner", Kind: "customer", ID: alias}}},
		"data":     {Type: "Registered", Data: []byte(`{"customer": "` + alias + `", "name": "Ada Lovelace"}`)},
	}
	for what, draft := range drafts {
		if _, err := r.append(event.Stream("case", "1"), draft); event.Code(err) != "not_a_person" {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := r.append(event.Stream("customer", alias), event.Draft{Type: "Plain"})
	if event.Code(err) != "not_a_person" {
		t.Errorf("stream: %v", err)
	}
	both := event.Draft{Type: "Plain", Relations: []event.Relation{{Role: "owner", Kind: "customer", ID: alias}}}
	if _, err := r.append(event.Stream("employee", alias), both); event.Code(err) != "not_a_person" {
		t.Errorf("as both at once: %v", err)
	}
	r.mustAppend(event.Stream("employee", alias), event.Draft{Type: "Plain"})
}
