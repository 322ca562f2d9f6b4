package desk

import (
	"context"
	"encoding/hex"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// SetPolicy sets the policy.
func (d Desk) SetPolicy(ctx context.Context, m *lethev1.SetPolicyRequest) (*lethev1.SetPolicyResponse, error) {
	actor, err := d.actor(m.GetActor())
	if err != nil {
		return nil, err
	}
	privacy := d.Store.Privacy()
	before, err := privacy.Policy(ctx)
	if err != nil {
		return nil, err
	}
	changes, err := privacy.SetPolicy(ctx, actor, m.GetDocument(), m.GetDryRun())
	if err != nil {
		return nil, err
	}
	after, err := privacy.Policy(ctx)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.SetPolicyResponse{Digest: digest(after.Digest())}
	if after.Position != before.Position {
		answer.Position = uint64(after.Position)
	}
	for _, c := range changes {
		answer.Changes = append(answer.Changes, &lethev1.PolicyChange{Path: c.Place, Text: c.Text, Effect: string(c.Effect)})
	}
	return answer, nil
}

func digest(d [32]byte) string { return hex.EncodeToString(d[:]) }

// ShowPolicy gives the policy as it is now.
func (d Desk) ShowPolicy(ctx context.Context, _ *lethev1.ShowPolicyRequest) (*lethev1.ShowPolicyResponse, error) {
	now, err := d.Store.Privacy().Policy(ctx)
	if err != nil || now.Position == 0 {
		return &lethev1.ShowPolicyResponse{}, err
	}
	text, err := now.Document().Canonical()
	return &lethev1.ShowPolicyResponse{
		Document: text, Digest: digest(now.Digest()), Position: uint64(now.Position), SetAt: wire.Timestamp(now.At),
	}, err
}

// noKeys is why a store without a key service does not do it.
func noKeys(what string) error {
	return event.Errorf(event.ErrUnsupported, "%s: the store was opened without a key service", what).
		Hint("open it with one to hold personal data: --kms")
}
