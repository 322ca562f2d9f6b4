package desk

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/wire"
)

// PushSchema adds a version of a type's schema.
func (d Desk) PushSchema(ctx context.Context, m *lethev1.PushSchemaRequest) (*lethev1.PushSchemaResponse, error) {
	actor, err := d.actor(m.GetActor())
	if err != nil {
		return nil, err
	}
	v := &schema.Version{
		Type: m.GetType(), Notation: m.GetNotation(), Text: m.GetText(),
		Options:  schema.Options{Kind: m.GetKind(), Message: m.GetMessage()},
		Upcaster: schema.Script{Language: m.GetUpcaster().GetLanguage(), Text: m.GetUpcaster().GetText()},
	}
	pushed, err := d.Store.Privacy().PushSchema(ctx, actor, v, m.GetDryRun())
	if err != nil {
		return nil, err
	}
	answer := &lethev1.PushSchemaResponse{Repeated: pushed.Repeated}
	if answer.Schema, err = describe(pushed.Version); err != nil {
		return nil, err
	}
	for _, c := range pushed.Changes {
		answer.Changes = append(answer.Changes, &lethev1.SchemaChange{Path: c.Path, Text: c.Text, Breaking: c.Breaking})
	}
	if m.GetDryRun() && !pushed.Repeated {
		return answer, nil
	}
	places, err := d.pushed(ctx)
	places.show(answer.Schema)
	return answer, err
}

// describe is what a version is, but for where it lies in the log.
func describe(v *schema.Version) (*lethev1.Schema, error) {
	m := &lethev1.Schema{
		Type: v.Type, Number: uint32(v.Number), Id: v.ID.String(), Notation: v.Notation, Kind: v.Options.Kind,
		Message: v.Options.Message,
	}
	if v.Upcaster != (schema.Script{}) {
		m.Upcaster = &lethev1.Upcaster{Language: v.Upcaster.Language, Text: v.Upcaster.Text}
	}
	plan, err := v.Plan()
	if err != nil {
		return nil, err
	}
	for _, place := range plan.Marks() {
		if place.Mark != nil && !slices.Contains(m.Groups, place.Mark.Group) {
			m.Groups = append(m.Groups, place.Mark.Group)
		}
	}
	slices.Sort(m.Groups)
	return m, nil
}

// places is where versions lie in the log, by id.
type places map[string]event.Event

// pushed finds where every version lies.
func (d Desk) pushed(ctx context.Context) (places, error) {
	found := places{}
	stream := event.Stream(event.SystemKind, schema.StreamName)
	for e, err := range d.Store.As(event.Actor{}).Query(ctx, lethe.Query{
		Filter: event.Filter{{Stream: stream, Types: []string{schema.TypePushed}}},
	}) {
		if err != nil {
			return nil, err
		}
		v, err := schema.ParsePushed(e.Data)
		if err != nil {
			return nil, err
		}
		e.Data = nil
		found[v.ID.String()] = e
	}
	return found, nil
}

func (p places) show(m *lethev1.Schema) {
	if e, ok := p[m.GetId()]; ok {
		m.Position, m.PushedAt = uint64(e.Position), wire.Timestamp(e.RecordedAt)
	}
}

// ListSchemas lists every version of one type, or of all.
func (d Desk) ListSchemas(ctx context.Context, m *lethev1.ListSchemasRequest) (*lethev1.ListSchemasResponse, error) {
	registry, err := d.Store.Privacy().Schemas(ctx)
	if err != nil {
		return nil, err
	}
	places, err := d.pushed(ctx)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.ListSchemasResponse{Demanded: registry.Demand()}
	for _, typ := range registry.Types() {
		if m.GetType() != "" && m.GetType() != typ {
			continue
		}
		for _, v := range registry.Versions(typ) {
			described, err := describe(v)
			if err != nil {
				return nil, err
			}
			places.show(described)
			answer.Schemas = append(answer.Schemas, described)
		}
	}
	return answer, nil
}

// ShowSchema gives one version with its text and its declarations.
func (d Desk) ShowSchema(ctx context.Context, m *lethev1.ShowSchemaRequest) (*lethev1.ShowSchemaResponse, error) {
	registry, err := d.Store.Privacy().Schemas(ctx)
	if err != nil {
		return nil, err
	}
	v := registry.Current(m.GetType())
	if number := int(m.GetNumber()); number > 0 {
		versions := registry.Versions(m.GetType())
		if v = nil; number <= len(versions) {
			v = versions[number-1]
		}
	}
	if v == nil {
		return nil, event.Errorf(event.ErrNotFound, "show schema: there is none of this type and number").
			Hint("list them: lethe schema ls")
	}
	answer := &lethev1.ShowSchemaResponse{Text: v.Text}
	if answer.Schema, err = describe(v); err != nil {
		return nil, err
	}
	plan, err := v.Plan()
	if err != nil {
		return nil, err
	}
	for _, place := range plan.Marks() {
		answer.Places = append(answer.Places, placeMessage(&place))
	}
	places, err := d.pushed(ctx)
	places.show(answer.Schema)
	return answer, err
}

func placeMessage(p *schema.Place) *lethev1.SchemaPlace {
	m := &lethev1.SchemaPlace{Path: p.Path, Type: p.Type, Subjects: p.Subjects, Reference: p.Reference, Open: p.Open}
	if p.Mark != nil {
		m.Group, m.Retention = p.Mark.Group, p.Mark.Retention
		m.Category, m.Origin = string(p.Mark.Category), string(p.Mark.Origin)
	}
	return m
}

// DemandSchema says whether every type needs a schema.
func (d Desk) DemandSchema(ctx context.Context, m *lethev1.DemandSchemaRequest) (*lethev1.DemandSchemaResponse, error) {
	actor, err := d.actor(m.GetActor())
	if err == nil {
		err = d.Store.Privacy().DemandSchema(ctx, actor, m.GetDemand())
	}
	return &lethev1.DemandSchemaResponse{}, err
}

// Coverage says of every type in the log how its data is declared.
func (d Desk) Coverage(ctx context.Context, _ *lethev1.CoverageRequest) (*lethev1.CoverageResponse, error) {
	types, err := d.Store.Privacy().Coverage(ctx, nil)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.CoverageResponse{}
	for _, t := range types {
		answer.Types = append(answer.Types, &lethev1.TypeCoverage{
			Type: t.Type, Events: uint64(t.Events), Checked: uint64(t.Checked), Personal: uint32(t.Personal),
			References: uint32(t.References), Open: uint32(t.Open), Undeclared: uint32(t.Undeclared),
		})
	}
	return answer, nil
}
