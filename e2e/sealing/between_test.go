package sealing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// between is what another process does before one call of an append or opening, and what must come of it.
type between struct {
	name  string
	other func(ctx context.Context, p *process) error
	act   func(ctx context.Context, p *process) ([]event.Event, error)
	last  string // the last call before which the other counts
	obeys func(e *event.Event) bool
}

func betweens() []between {
	opens := func(ctx context.Context, p *process) ([]event.Event, error) { return p.opened(ctx, all("case 1")) }
	late := card{2, 4, 1, 5}
	appends := func(ctx context.Context, p *process) ([]event.Event, error) {
		d := late.draft()
		d.Metadata["m-1"] = stem
		if _, err := p.As(event.Actor{}).AppendAll(ctx, one(late.stream(), d)); err != nil {
			return nil, err
		}
		return p.opened(ctx, event.Opening{})
	}
	shows := func(e *event.Event, n int) bool { return bytes.Contains(e.Data, []byte(cardOf(e.ID).fields()[n].text)) }
	return []between{
		{"restriction while opening", restrictFirst, opens, "Head",
			func(e *event.Event) bool { return !shows(e, 0) && shows(e, 1) }},
		{"policy while opening", setAgain(`"contact", "finance", "store-only"`, `"contact", "store-only"`), opens, "Head",
			func(e *event.Event) bool { return !shows(e, 2) && shows(e, 1) }},
		{"policy while appending", setAgain(`"metadata": {`, `"metadata": {"m-1": {"group": "identity", "subject": "issuer"}, `),
			appends, "Commit", func(e *event.Event) bool { return cardOf(e.ID) != late || e.Metadata["m-1"] == "" }},
		{"schema while appending", pushAgain, appends, "Commit", func(e *event.Event) bool {
			return cardOf(e.ID) != late || e.Schema.String() == again().Fingerprint().String()
		}},
		{"roll while appending", rollFirst, appends, "Commit", func(*event.Event) bool { return true }},
		{"roll while opening", rollFirst, opens, "Head", func(e *event.Event) bool { return shows(e, 0) }},
	}
}

func restrictFirst(ctx context.Context, p *process) error {
	krid, err := p.Privacy().Subject(ctx, "customer", who(1))
	if err != nil {
		return err
	}
	_, err = p.Privacy().Record(ctx, event.Actor{}, event.ID{}, policy.SubjectRestricted{Principal: krid,
		Groups: []string{"identity"}, Ground: policy.AccuracyContested})
	return err
}

// setAgain sets the policy with a change.
func setAgain(old, by string) func(context.Context, *process) error {
	return func(ctx context.Context, p *process) error {
		text := []byte(strings.Replace(document, old, by, 1))
		if !json.Valid(text) || string(text) == document {
			return fmt.Errorf("the policy is not changed")
		}
		_, err := p.Privacy().SetPolicy(ctx, event.Actor{}, text, false)
		return err
	}
}

// again is the second version of the schema.
func again() *schema.Version {
	text := strings.Replace(cardSchema, `"amount"`, `"more": {"type": "number", "x-not-personal": "business-fact"}, "amount"`, 1)
	return &schema.Version{Type: "Carded", Notation: jsonschema.Name, Text: []byte(text)}
}

func pushAgain(ctx context.Context, p *process) error {
	_, err := p.Privacy().PushSchema(ctx, event.Actor{}, again(), false)
	return err
}

func rollFirst(ctx context.Context, p *process) error {
	_, err := p.Keeper().Roll(ctx, nil)
	return err
}

// TestBetween lets another process restrict, set a policy, push a schema or roll before every single call that an
// append or an opening makes: what comes to the head after it, or is released after the head was asked a last time,
// obeys.
func TestBetween(t *testing.T) {
	t.Parallel()
	for _, b := range betweens() {
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			calls := len(b.run(t, 0))
			for at := 1; at <= calls; at++ {
				b.run(t, at)
			}
			t.Logf("%d calls", calls)
		})
	}
}

// run does the act of one process, and before its call at the other's; 0: never. It returns the calls.
func (b *between) run(t *testing.T, at int) []string {
	t.Helper()
	ctx := t.Context()
	place, dump := memorySite(t)
	other := place.mustOpen(t)
	f := &faults{at: at}
	p, err := place.open(ctx, f)
	if err == nil {
		err = declare(ctx, other)
	}
	if err == nil {
		_, err = p.As(event.Actor{}).AppendAll(ctx, one(card{1, 1, 2, 3}.stream(), card{1, 1, 2, 3}.draft()))
	}
	if err != nil {
		t.Fatal(err)
	}
	place.clock.(*stepClock).step(time.Hour) // nothing is remembered
	f.first = func() {
		if err := b.other(ctx, other); err != nil {
			t.Errorf("before call %d: %v", at, err)
		}
	}
	f.arm()
	events, err := b.act(ctx, p)
	f.end()
	if err != nil {
		t.Fatalf("before call %d of %v: %v", at, f.calls, err)
	}
	last := len(f.calls) - 1
	for last >= 0 && f.calls[last] != b.last {
		last--
	}
	for i := range events {
		if at > 0 && at <= last+1 && !b.obeys(&events[i]) {
			t.Errorf("before call %d of %v, and event %s does not obey", at, f.calls, events[i].ID)
		}
	}
	if b.last == "Commit" && !slices.Contains(f.calls, "Commit") || len(events) == 0 {
		t.Errorf("%d events, after %v", len(events), f.calls)
	}
	if err := silent(dump()); err != nil && !strings.Contains(b.name, "append") { // m-1 is in clear until it is declared
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return f.calls
}

// TestSchemaFromElsewhere reads sealed what another process appended under a schema that it pushed.
func TestSchemaFromElsewhere(t *testing.T) {
	t.Parallel()
	place, _ := memorySite(t)
	other := place.mustOpen(t)
	if err := declare(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	p := place.mustOpen(t)
	c := card{1, 1, 2, 3}
	err := pushAgain(t.Context(), other)
	if err == nil {
		_, err = other.As(event.Actor{}).AppendAll(t.Context(), one(c.stream(), c.draft()))
	}
	if err != nil {
		t.Fatal(err)
	}
	events, err := p.opened(t.Context(), event.Opening{})
	if err != nil || len(events) != 1 || len(events[0].Withheld) != len(c.fields())+1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}
