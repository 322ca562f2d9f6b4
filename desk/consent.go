package desk

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/wire"
)

// RecordConsent records what a person answered when asked for consent.
func (d Desk) RecordConsent(ctx context.Context, m *lethev1.RecordConsentRequest,
) (*lethev1.RecordConsentResponse, error) {
	r := record{typ: policy.TypeConsentRecorded, data: m.GetData(), actor: m.GetActor(), id: m.GetId()}
	krid, placed, err := d.record(ctx, m.GetPerson(), r)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.RecordConsentResponse{Krid: krid.String(), Placed: placed}
	id, err := event.ParseID(placed.GetId())
	if err != nil {
		return nil, err
	}
	e, err := d.Store.As(event.Actor{}).Event(ctx, id)
	if err != nil {
		return nil, err
	}
	receipt, err := policy.NewReceipt(&e)
	if err != nil {
		return nil, err
	}
	text, err := receipt.JSON()
	answer.Receipt, answer.Text = string(text), receipt.Text()
	return answer, err
}

// WithdrawConsent ends consents.
func (d Desk) WithdrawConsent(ctx context.Context, m *lethev1.WithdrawConsentRequest,
) (*lethev1.WithdrawConsentResponse, error) {
	r := record{typ: policy.TypeConsentWithdrawn, data: m.GetData(), actor: m.GetActor(), id: m.GetId()}
	krid, placed, err := d.record(ctx, m.GetPerson(), r)
	if err != nil {
		return nil, err
	}
	return &lethev1.WithdrawConsentResponse{Krid: krid.String(), Placed: placed}, nil
}

// ListConsents gives the consents of a person that count now, and if asked for all that was ever recorded of them.
func (d Desk) ListConsents(ctx context.Context, m *lethev1.ListConsentsRequest,
) (*lethev1.ListConsentsResponse, error) {
	krid, err := d.person(ctx, m.GetPerson())
	if err != nil {
		return nil, err
	}
	p, err := d.Store.Privacy().Person(ctx, event.Opening{}, krid)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.ListConsentsResponse{Krid: krid.String()}
	text, err := json.Marshal(consents(p.Consents))
	if answer.Consents = string(text); err != nil || !m.GetHistory() {
		return answer, err
	}
	answer.Events, err = d.consentHistory(ctx, krid)
	return answer, err
}

// consentHistory is every record of consents of a person, oldest first: the newest, where there are more than fit.
func (d Desk) consentHistory(ctx context.Context, krid event.KRID) ([]*lethev1.Event, error) {
	q := lethe.Query{Backward: true, Limit: wire.MaxEvents, Filter: event.Filter{{Stream: policy.Stream(krid),
		Types: []string{policy.TypeConsentRecorded, policy.TypeConsentWithdrawn}}}}
	var list []*lethev1.Event
	for e, err := range d.Store.As(event.Actor{}).Query(ctx, q) {
		if err != nil {
			return nil, err
		}
		list = append(list, wire.Event(&e))
	}
	slices.Reverse(list)
	return list, nil
}
