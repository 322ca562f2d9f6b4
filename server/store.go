package server

import (
	"context"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

func (c *caller) whoami(context.Context, *lethev1.WhoamiRequest) (*lethev1.WhoamiResponse, error) {
	scope := c.bearer.Scope
	if c.server.options.NoTokens {
		scope = token.Scope{Read: true, Append: true, Admin: true, Open: true}
	}
	return &lethev1.WhoamiResponse{
		Store: c.Name, Version: c.server.options.Version, Token: c.bearer.ID,
		Permissions: permissions(scope), Kinds: scope.Kinds,
	}, nil
}

func (c *caller) sizes(ctx context.Context, _ *lethev1.SizesRequest) (*lethev1.SizesResponse, error) {
	sizes, err := c.Store.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	m := &lethev1.SizesResponse{Sizes: make([]*lethev1.Size, len(sizes))}
	for i, s := range sizes {
		m.Sizes[i] = &lethev1.Size{Part: s.Part, Bytes: s.Bytes}
	}
	return m, nil
}

func (c *caller) importKey(ctx context.Context, _ *lethev1.ImportKeyRequest) (*lethev1.ImportKeyResponse, error) {
	key, err := c.Store.ImportKey(ctx)
	if err != nil {
		return nil, err
	}
	return &lethev1.ImportKeyResponse{Key: key[:]}, nil
}

func (c *caller) verify(ctx context.Context, _ *lethev1.VerifyRequest, send func(*lethev1.VerifyResponse) error) error {
	verify := func(ctx context.Context, tell func(*lethev1.VerifyResponse)) (*lethev1.VerifyResponse, error) {
		last := &lethev1.VerifyResponse{}
		report, err := c.Store.Verify(ctx, func(done, head event.Position) {
			last.Done, last.Head = uint64(done), uint64(head)
			tell(&lethev1.VerifyResponse{Done: last.Done, Head: last.Head})
		})
		last.Report = wire.Report(&report)
		return last, err
	}
	return inTime(c, ctx, send, verify)
}
