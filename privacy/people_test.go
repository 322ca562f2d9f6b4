package privacy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-es/lethe/event"
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
