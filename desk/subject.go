package desk

import (
	"context"
	"strings"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// ShowSubject tells about a person's keyring, and what was said and decided.
func (d Desk) ShowSubject(ctx context.Context, m *lethev1.ShowSubjectRequest) (*lethev1.ShowSubjectResponse, error) {
	opening, err := d.opening(m.GetOpening())
	if err != nil {
		return nil, err
	}
	krid, err := d.person(ctx, m.GetPerson())
	if err != nil {
		return nil, err
	}
	p, err := d.Store.Privacy().Person(ctx, opening, krid)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.ShowSubjectResponse{
		Krid: krid.String(), State: "erased", Names: wire.Names(p.Names), Receipt: p.Receipt, Epoch: p.Epoch,
	}
	if p.State == keyring.Live {
		answer.State = "live"
	}
	for _, g := range p.Groups {
		answer.Groups = append(answer.Groups,
			&lethev1.GroupKeys{Group: g.Group, Generations: g.Generations, Receipt: g.Receipt})
	}
	answer.Standing, err = standingText(p.Standing, p.Consents)
	return answer, err
}

// MapSubject says what the log holds of a person, where, and until when.
func (d Desk) MapSubject(ctx context.Context, m *lethev1.MapSubjectRequest, tell func(*lethev1.MapSubjectResponse),
) (*lethev1.MapSubjectResponse, error) {
	krid, err := d.person(ctx, m.GetPerson())
	if err != nil {
		return nil, err
	}
	f, err := d.Store.Privacy().Map(ctx, krid, func(events int) {
		tell(&lethev1.MapSubjectResponse{Events: uint64(events)})
	})
	if err != nil {
		return nil, err
	}
	found := &lethev1.Footprint{Krid: krid.String(), Events: uint64(f.Events), Roles: map[string]uint64{}}
	for role, n := range f.Roles {
		found.Roles[role] = uint64(n)
	}
	for i := range f.Holdings {
		h := &f.Holdings[i]
		found.Holdings = append(found.Holdings, &lethev1.Holding{
			Group: h.Group, Class: h.Class, Until: date(h.Until), Boxes: uint64(h.Boxes), First: uint64(h.First),
			Last: uint64(h.Last), Types: h.Types, Joint: h.Joint,
		})
	}
	return &lethev1.MapSubjectResponse{Events: uint64(f.Events), Footprint: found}, nil
}

// Uses in one answer.
const (
	usesListed = 100
	mostUses   = 1000
)

// ListUses lists who read what of a person.
func (d Desk) ListUses(ctx context.Context, m *lethev1.ListUsesRequest) (*lethev1.ListUsesResponse, error) {
	krid, err := d.person(ctx, m.GetPerson())
	if err != nil {
		return nil, err
	}
	q := storage.UseQuery{KRID: krid, Purpose: m.GetPurpose(), Before: m.GetBefore(), Limit: int(m.GetLimit())}
	switch {
	case q.Limit == 0:
		q.Limit = usesListed
	case m.GetLimit() > mostUses:
		return nil, event.Invalid("malformed_limit", "list uses: a limit of %d is above %d", m.GetLimit(), mostUses)
	}
	page, err := d.Store.Privacy().Uses(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.ListUsesResponse{Next: page.Scanned, Done: page.Done}
	for i := range page.Uses {
		answer.Uses = append(answer.Uses, useMessage(&page.Uses[i]))
	}
	return answer, nil
}

func useMessage(u *storage.Use) *lethev1.Use {
	m := &lethev1.Use{
		Number: u.Number, At: stamp(u.At), Purpose: u.Purpose, Reason: u.Reason, Code: u.Code, Words: len(u.Words) > 0,
	}
	if !u.Actor.IsZero() {
		m.Actor = u.Actor.String()
	}
	for _, e := range u.Entries {
		m.Entries = append(m.Entries,
			&lethev1.UseEntry{Group: e.Group, Count: e.Count, First: uint64(e.First), Last: uint64(e.Last)})
	}
	return m
}

// RecordStanding records what a person said, or what was decided for them; consents are RecordConsent's.
func (d Desk) RecordStanding(ctx context.Context, m *lethev1.RecordStandingRequest,
) (*lethev1.RecordStandingResponse, error) {
	if m.GetType() == policy.TypeConsentRecorded || m.GetType() == policy.TypeConsentWithdrawn {
		return nil, event.Invalid("record_refused", "record: consents are recorded by ConsentService").
			Hint("its answer holds the receipt that the person gets")
	}
	r := record{typ: m.GetType(), data: m.GetData(), actor: m.GetActor(), id: m.GetId()}
	krid, placed, err := d.record(ctx, m.GetPerson(), r)
	if err != nil {
		return nil, err
	}
	return &lethev1.RecordStandingResponse{Krid: krid.String(), Placed: placed}, nil
}

// record is what is to be recorded, as messages have it.
type record struct{ typ, data, actor, id string }

func (d Desk) record(ctx context.Context, about *lethev1.Person, r record,
) (krid event.KRID, placed *lethev1.PlacedRecord, err error) {
	actor, err := d.actor(r.actor)
	if err != nil {
		return krid, nil, err
	}
	id, err := parseID(r.id)
	if err != nil {
		return krid, nil, err
	}
	if krid, err = d.person(ctx, about); err != nil {
		return krid, nil, err
	}
	data, err := aboutPerson(krid, r.data)
	if err != nil {
		return krid, nil, err
	}
	parsed, err := policy.ParseRecord(r.typ, data)
	if err != nil {
		return krid, nil, err
	}
	result, err := d.Store.Privacy().Record(ctx, actor, id, parsed)
	if err != nil {
		return krid, nil, err
	}
	at := result.Events[0]
	return krid, &lethev1.PlacedRecord{Id: at.ID.String(), Position: uint64(at.Position)}, nil
}

// aboutPerson is the data of a record with the person in it; where it names one, it must be the same.
func aboutPerson(krid event.KRID, data string) ([]byte, error) {
	members, principal := 0, ""
	err := event.Properties([]byte(data), func(name string, value []byte) {
		if members++; name == "principal" {
			principal = string(value)
		}
	})
	own := `"` + krid.String() + `"`
	switch {
	case err != nil:
		return nil, err
	case principal == own:
		return []byte(data), nil
	case principal != "":
		return nil, event.Invalid("principal_mismatch", "record: its data names another principal than the call").
			Hint("leave principal out of the data")
	case members == 0:
		return []byte(`{"principal":` + own + `}`), nil
	}
	_, rest, _ := strings.Cut(data, "{")
	return []byte(`{"principal":` + own + "," + rest), nil
}
