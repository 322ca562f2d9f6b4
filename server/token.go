package server

import (
	"context"
	"time"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

// keeping is the keeper of a store that keeps tokens.
func (c *caller) keeping() (*token.Keeper, error) {
	if c.keeper == nil {
		return nil, event.Errorf(event.ErrUnsupported, "keep tokens: store %s keeps none", c.Name)
	}
	return c.keeper, nil
}

func (c *caller) createToken(ctx context.Context, m *lethev1.CreateTokenRequest) (*lethev1.CreateTokenResponse, error) {
	keeper, err := c.keeping()
	if err != nil {
		return nil, err
	}
	scope, err := scopeOf(m)
	if err != nil {
		return nil, err
	}
	if m.ExpiresAt != nil && m.GetExpiresAt().CheckValid() != nil {
		return nil, event.Invalid("malformed_time", "create token: the time it expires is out of range")
	}
	secret, made, err := keeper.Create(ctx, token.Grant{
		Label: m.GetLabel(), Scope: scope, Expires: wire.Time(m.GetExpiresAt()),
	})
	if err != nil {
		return nil, err
	}
	return &lethev1.CreateTokenResponse{Secret: secret.Reveal(), Token: tokenMessage(made)}, nil
}

func scopeOf(m *lethev1.CreateTokenRequest) (token.Scope, error) {
	scope := token.Scope{Kinds: m.GetKinds()}
	for _, p := range m.GetPermissions() {
		switch p {
		case lethev1.Permission_PERMISSION_READ:
			scope.Read = true
		case lethev1.Permission_PERMISSION_APPEND:
			scope.Append = true
		case lethev1.Permission_PERMISSION_ADMIN:
			scope.Admin = true
		case lethev1.Permission_PERMISSION_OPEN:
			scope.Open = true
		default:
			return scope, event.Invalid("malformed_scope", "create token: permission %d is not known", int32(p)).
				Hint("give it read, append, admin or open")
		}
	}
	return scope, nil
}

func (c *caller) listTokens(ctx context.Context, _ *lethev1.ListTokensRequest) (*lethev1.ListTokensResponse, error) {
	keeper, err := c.keeping()
	if err != nil {
		return nil, err
	}
	list, err := keeper.List(ctx)
	if err != nil {
		return nil, err
	}
	m := &lethev1.ListTokensResponse{Tokens: make([]*lethev1.Token, len(list))}
	for i, t := range list {
		m.Tokens[i] = tokenMessage(t)
	}
	return m, nil
}

func (c *caller) revokeToken(ctx context.Context, m *lethev1.RevokeTokenRequest) (*lethev1.RevokeTokenResponse, error) {
	keeper, err := c.keeping()
	if err != nil {
		return nil, err
	}
	revoked, err := keeper.Revoke(ctx, m.GetId())
	if err != nil {
		return nil, err
	}
	return &lethev1.RevokeTokenResponse{Token: tokenMessage(revoked)}, nil
}

// tokenMessage is what may be known of a token: all but its hash.
func tokenMessage(t storage.Token) *lethev1.Token {
	m := &lethev1.Token{
		Id: t.ID, Label: t.Label, Kinds: t.Kinds,
		Permissions: permissions(token.ScopeOf(t)),
	}
	m.CreatedAt, m.ExpiresAt = wire.Timestamp(timeOf(t.Created)), wire.Timestamp(timeOf(t.Expires))
	m.RevokedAt, m.UsedAt = wire.Timestamp(timeOf(t.Revoked)), wire.Timestamp(timeOf(t.Used))
	return m
}

func timeOf(micros int64) (at time.Time) {
	if micros != 0 {
		at = event.FromMicros(micros)
	}
	return at
}
