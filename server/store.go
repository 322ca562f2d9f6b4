package server

import (
	"context"
	"time"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

func (c *caller) whoami(context.Context, *lethev1.WhoamiRequest) (*lethev1.WhoamiResponse, error) {
	scope := c.bearer.Scope
	if c.server.options.NoTokens {
		scope = token.Scope{Read: true, Append: true, Admin: true}
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

// between is the least time between two messages that tell how far a verification came.
const between = 200 * time.Millisecond

// verify holds a place among the calls that stay open, and ends when its caller is gone.
func (c *caller) verify(ctx context.Context, _ *lethev1.VerifyRequest, send func(*lethev1.VerifyResponse) error) error {
	release, err := c.open()
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var told time.Time
	var gone error
	last := &lethev1.VerifyResponse{}
	report, err := c.Store.Verify(ctx, func(done, head event.Position) {
		last = &lethev1.VerifyResponse{Done: uint64(done), Head: uint64(head)}
		now := c.server.clock.Now()
		if gone != nil || !told.IsZero() && now.Sub(told) < between {
			return
		}
		told = now
		if gone = send(last); gone != nil {
			cancel()
		}
	})
	switch {
	case gone != nil:
		return gone
	case err != nil:
		return err
	}
	return send(&lethev1.VerifyResponse{Done: last.Done, Head: last.Head, Report: wire.Report(&report)})
}
