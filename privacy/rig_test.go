package privacy_test

import (
	"context"
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
)

// clock is a clock that tests set.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) After(time.Duration) <-chan time.Time {
	passed := make(chan time.Time, 1)
	passed <- c.now
	return passed
}

// rig is a log with its privacy room on memory.
type rig struct {
	t       testing.TB
	clock   *clock
	engine  *memory.Store
	keys    storage.Keystore
	service kms.KMS
	log     *log.Log
	keeper  *keyring.Keeper
	*privacy.Privacy
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, engine: memory.Open(memory.Options{}),
		keys: memory.NewKeys(), service: kmstest.New(t)}
	r.open(r.keys)
	return r
}

// open opens log, keeper and room on what the rig keeps.
func (r *rig) open(uses storage.Uses) {
	r.t.Helper()
	ctx := context.Background()
	var err error
	if r.log, err = log.Open(ctx, r.engine, log.Options{Clock: r.clock}); err != nil {
		r.t.Fatal(err)
	}
	r.keeper, err = keyring.Open(ctx, r.keys, r.service,
		keyring.Options{Store: r.log.Identity().Store, Clock: r.clock, Rand: rand.Reader})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Privacy, err = privacy.New(ctx, r.log, r.keeper, uses, privacy.Options{Clock: r.clock, Rand: io.Reader(rand.Reader),
		Notations: []schema.Notation{jsonschema.New()}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// faulty puts faults in front of the key service, and opens anew.
func (r *rig) faulty() *kmstest.Faulty {
	r.t.Helper()
	service := kmstest.NewFaulty(r.service)
	r.service = service
	r.open(r.keys)
	return service
}

const document = `{"version": 1,
	"kinds": {"customer": {"person": true, "normalise": "lower"}, "employee": {"person": true}, "case": {}, "service": {}},
	"groups": {"identity": {}, "contact": {}, "finance": {"category": "financial"}, "secret": {"undisclosed": true},
		"store-only": {}},
	"retention": {"short": {"period": "P1Y"}, "long": {"period": "P10Y", "granularity": "year"}},
	"controllers": {"bank": {"name": "The bank"}},
	"collections": {"web-form": {"purposes": ["contract"], "source": "person", "controller": "bank"}},
	"purposes": {
		"contract": {"basis": "contract", "groups": ["identity", "contact", "finance", "store-only", "reference"]},
		"support": {"basis": "contract", "groups": ["contact"], "reasons": ["ticket"]},
		"newsletter": {"basis": "consent", "groups": ["contact"], "marketing": true, "controller": "bank"},
		"suspicion": {"basis": "legal-obligation", "groups": ["secret"], "undisclosed": true}
	},
	"metadata": {"x-auth-email": {"group": "identity", "subject": "issuer"}},
	"rules": "permit(principal is service, action == Action::\"open\", resource);"
}`

const registered = `{
	"type": "object", "additionalProperties": false, "required": ["customer", "name"],
	"properties": {
		"customer": {"type": "string", "x-person": "customer"},
		"name": {"type": "string", "x-personal": {"group": "identity", "subject": "/customer"}},
		"email": {"type": ["string", "null"],
			"x-personal": {"group": "contact", "subject": "/customer", "retention": "short"}},
		"income": {"type": "number", "x-personal": {"group": "finance", "subject": "/customer"}},
		"secret": {"type": "string", "x-personal": {"group": "secret", "subject": "/customer"}},
		"house": {"type": "string", "x-personal": {"group": "store-only", "subject": "store"}},
		"spouse": {"type": "string", "x-person": "customer"},
		"home": {"type": "string", "x-personal": {"group": "contact", "subject": ["/customer", "/spouse"]}},
		"guests": {"type": "array", "items": {"type": "object", "additionalProperties": false, "required": ["who"],
			"properties": {
				"who": {"type": "string", "x-person": "customer"},
				"dish": {"type": "string", "x-personal": {"group": "identity", "subject": "1/who"}}
			}}},
		"amount": {"type": "number", "x-not-personal": "business-fact"}
	}
}`

// declare sets the policy and the schema of Registered.
func (r *rig) declare() {
	r.t.Helper()
	ctx := context.Background()
	if _, err := r.SetPolicy(ctx, event.Actor{}, []byte(document), false); err != nil {
		r.t.Fatal(err)
	}
	v := &schema.Version{Type: "Registered", Notation: jsonschema.Name, Text: []byte(registered)}
	if _, err := r.PushSchema(ctx, event.Actor{}, v, false); err != nil {
		r.t.Fatal(err)
	}
}

// append seals and appends, as a store does.
func (r *rig) append(stream event.StreamID, drafts ...event.Draft) (log.Result, error) {
	ctx := context.Background()
	out, errs := r.Seal(ctx, []log.Request{{Writes: []log.Write{{Stream: stream, Expected: event.Any, Events: drafts}}}})
	if errs[0] != nil {
		return log.Result{}, errs[0]
	}
	return r.log.Append(ctx, &out[0])
}

func (r *rig) mustAppend(stream event.StreamID, drafts ...event.Draft) log.Result {
	r.t.Helper()
	result, err := r.append(stream, drafts...)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// records are the events at positions.
func (r *rig) records(result log.Result) (list []storage.Record) {
	r.t.Helper()
	for _, p := range result.Events {
		page, err := r.log.Page(context.Background(), storage.Query{ID: p.ID, Limit: 1})
		if err != nil || len(page.Records) != 1 {
			r.t.Fatalf("read event %s: %v", p.ID, err)
		}
		list = append(list, page.Records...)
	}
	return list
}

// read opens what was appended.
func (r *rig) read(o event.Opening, result log.Result) []event.Event {
	r.t.Helper()
	events, err := r.Open(context.Background(), o, r.records(result))
	if err != nil {
		r.t.Fatal(err)
	}
	return events
}

// contract is an opening that may see nearly everything.
var contract = event.Opening{Actor: event.Actor{Kind: "service", ID: "crm"}, Purpose: "contract", Reason: "case 7"}
