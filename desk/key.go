package desk

import (
	"context"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/wire"
)

// KeyStatus tells which epochs there are, and whether keys can be used. That they cannot is an answer, too.
func (d Desk) KeyStatus(ctx context.Context, m *lethev1.KeyStatusRequest) (*lethev1.KeyStatusResponse, error) {
	keeper := d.Store.Keeper()
	if keeper == nil {
		return nil, noKeys("show keys")
	}
	answer := &lethev1.KeyStatusResponse{}
	status, err := keeper.Status(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		answer.Fault = event.Code(err)
	}
	answer.Service, answer.Current, answer.Behind = status.Service, status.Current, status.Behind
	answer.LeaseUntil = wire.Timestamp(status.Lease)
	for _, e := range status.Epochs {
		m := &lethev1.KeyEpoch{
			Number: e.Number, State: "destroyed", CreatedAt: wire.Timestamp(e.Created), Name: e.Name, Open: e.Open,
		}
		if e.State == keyring.Live {
			m.State = "live"
		}
		answer.Epochs = append(answer.Epochs, m)
	}
	sizes, err := d.Store.KeySizes(ctx)
	if err != nil {
		return nil, err
	}
	answer.Sizes = make(map[string]int64, len(sizes))
	for _, s := range sizes {
		answer.Sizes[s.Part] = s.Bytes
	}
	if !m.GetCount() {
		return answer, nil
	}
	live, destroyed, err := keeper.Count(ctx)
	answer.Keyrings = &lethev1.KeyringCount{Live: uint64(live), Destroyed: uint64(destroyed)}
	return answer, err
}

// RollKeys moves everything under a new epoch.
func (d Desk) RollKeys(ctx context.Context, _ *lethev1.RollKeysRequest, tell func(*lethev1.RollKeysResponse),
) (*lethev1.RollKeysResponse, error) {
	keeper := d.Store.Keeper()
	if keeper == nil {
		return nil, noKeys("roll keys")
	}
	rolled, err := keeper.Roll(ctx, func(done, total int) {
		tell(&lethev1.RollKeysResponse{Done: uint64(done), Total: uint64(total)})
	})
	n := uint64(rolled.Keyrings)
	return &lethev1.RollKeysResponse{Done: n, Total: n, Epoch: rolled.Epoch}, err
}
