package privacy

import (
	"cmp"
	"context"
	"errors"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/storage"
)

// Schemas is what the log holds of schemas as of its head.
func (p *Privacy) Schemas(ctx context.Context) (*schema.Registry, error) {
	if _, err := p.follow(ctx); err != nil {
		return nil, err
	}
	return p.schemas, nil
}

// Pushed is a schema that was pushed, or would be.
type Pushed struct {
	*schema.Version
	Changes  []schema.Change // against the version before
	Repeated bool            // it is there already
}

// PushSchema makes a version of a type's schema the present one. Type, Notation, Text, Options and Upcaster of v count.
// What its declarations need of the policy must be there: event.ErrInvalid with code schema_unfit names the place. A
// change that would open a personal value, or that older data does not fit without an upcaster, is refused with code
// schema_incompatible. With dry nothing is changed.
func (p *Privacy) PushSchema(ctx context.Context, by event.Actor, v *schema.Version, dry bool) (Pushed, error) {
	for try := 0; ; try++ {
		pushed, err := p.pushSchema(ctx, by, v, dry)
		if !errors.Is(err, event.ErrConflict) || try == governTries { // somebody pushed meanwhile: this one is the next
			return pushed, err
		}
	}
}

func (p *Privacy) pushSchema(ctx context.Context, by event.Actor, v *schema.Version, dry bool) (Pushed, error) {
	st, err := p.follow(ctx)
	if err != nil {
		return Pushed{}, err
	}
	head, err := p.log.Streams(ctx, storage.StreamQuery{Kind: event.SystemKind,
		After: event.Stream(event.SystemKind, schema.StreamName[:len(schema.StreamName)-1]), Limit: 1})
	if err != nil {
		return Pushed{}, err
	}
	expected := event.None
	if len(head) > 0 && head[0].Stream == schemaStream() {
		expected = event.At(head[0].Version)
	}
	next, err := p.schemas.Next(v)
	if event.Code(err) == "schema_known" {
		return Pushed{Version: p.schemas.Version(v.Fingerprint()), Repeated: true}, nil
	}
	if err != nil {
		return Pushed{}, err
	}
	out := Pushed{Version: next}
	if current := p.schemas.Current(v.Type); current != nil {
		if out.Changes, err = schema.Compare(current, next); err != nil {
			return out, err
		}
	}
	for i := range out.Changes {
		c := &out.Changes[i]
		unread := c.Breaking && v.Upcaster == (schema.Script{})
		if (c.Refused || unread) && !dry {
			e := &event.Error{Sentinel: event.ErrInvalid, Code: "schema_incompatible",
				Message: "push schema of " + v.Type + ": " + c.String(),
				Next:    "check it first: lethe schema check FILE"}
			if !c.Refused {
				e.Next = "give an upcaster that makes the older data readable, or keep what was valid"
			}
			return out, e
		}
	}
	if err := st.fits(next, dry); err != nil || dry {
		return out, err
	}
	data, err := next.Pushed()
	if err != nil {
		return out, err
	}
	_, err = p.govern(ctx, by, &log.Request{Writes: []log.Write{{Stream: schemaStream(), Expected: expected,
		Events: []event.Draft{{Type: schema.TypePushed, Data: data}}}}, Sealing: &log.Sealing{Fence: st.fence}}, everybody)
	return out, err
}

// fits checks what the declarations of a schema need of the policy.
func (s *state) fits(v *schema.Version, dry bool) error {
	plan, err := v.Plan()
	if err != nil {
		return err
	}
	verb := "push"
	if dry {
		verb = "check"
	}
	unfit := func(path, why, next string) error {
		return &event.Error{Sentinel: event.ErrInvalid, Code: "schema_unfit",
			Message: verb + " schema of " + v.Type + ": " + path + ": " + why,
			Next:    cmp.Or(next, "declare it in the policy") + ": lethe purpose set"}
	}
	for _, place := range plan.Marks() {
		if place.Reference != "" && !s.policy.Person(place.Reference) {
			return unfit(place.Path, "it refers to a "+place.Reference+", and that kind is not declared a person", "")
		}
		if place.Mark == nil {
			continue
		}
		if err := s.policy.MayHold(place.Mark.Group, place.Mark.Category); err != nil {
			why, next := event.Split(err)
			return unfit(place.Path, why, next)
		}
		if _, ok := s.policy.Document().Retention[place.Mark.Retention]; !ok && place.Mark.Retention != "" {
			return unfit(place.Path, "retention class "+place.Mark.Retention+" is not declared", "")
		}
	}
	return nil
}

// DemandSchema says whether every type needs a schema to be appended.
func (p *Privacy) DemandSchema(ctx context.Context, by event.Actor, demand bool) error {
	if _, err := p.follow(ctx); err != nil || p.schemas.Demand() == demand {
		return err
	}
	data, err := schema.Demanded(demand)
	if err != nil {
		return err
	}
	_, err = p.govern(ctx, by, &log.Request{Writes: []log.Write{{Stream: schemaStream(), Expected: event.Any,
		Events: []event.Draft{{Type: schema.TypeDemanded, Data: data}}}}}, everybody)
	return err
}

// TypeCoverage is how the data of one event type is declared.
type TypeCoverage struct {
	Type       string
	Events     int // of this type in the log
	Checked    int // of them, those that were checked against a schema
	Personal   int // places of the present schema that are personal
	References int
	Open       int // declared not personal
	Undeclared int // nothing is said of them: the schema declares nothing
}

// Coverage walks the whole log, and says of every event type how its data is declared. Lethe's own types are left out.
func (p *Privacy) Coverage(ctx context.Context, progress func(done, head event.Position)) ([]TypeCoverage, error) {
	registry, err := p.Schemas(ctx)
	if err != nil {
		return nil, err
	}
	at := map[string]*TypeCoverage{}
	var order []*TypeCoverage
	of := func(typ string) *TypeCoverage {
		if at[typ] == nil {
			at[typ] = &TypeCoverage{Type: typ}
			order = append(order, at[typ])
		}
		return at[typ]
	}
	for _, typ := range registry.Types() {
		plan, err := registry.Current(typ).Plan()
		if err != nil {
			return nil, err
		}
		for _, place := range plan.Marks() {
			switch {
			case place.Mark != nil:
				of(typ).Personal++
			case place.Reference != "":
				of(typ).References++
			case place.Open != "":
				of(typ).Open++
			default:
				of(typ).Undeclared++
			}
		}
	}
	q := storage.Query{Limit: 1024}
	for {
		page, err := p.log.Page(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Records {
			if err := cover(&page.Records[i], of); err != nil {
				return nil, err
			}
		}
		if progress != nil {
			progress(event.Position(page.Scanned), page.Head)
		}
		if page.Done {
			break
		}
		q.From = page.Scanned + 1
	}
	out := make([]TypeCoverage, len(order))
	for i, c := range order {
		out[i] = *c
	}
	return out, nil
}

func cover(r *storage.Record, of func(typ string) *TypeCoverage) error {
	if r.Stream.Kind == event.SystemKind {
		return nil
	}
	e, err := r.Event()
	if err != nil {
		return err
	}
	c := of(r.Type)
	c.Events++
	if e.Schema != (event.SchemaID{}) {
		c.Checked++
	}
	return nil
}

func schemaStream() event.StreamID { return event.Stream(event.SystemKind, schema.StreamName) }
