package server

import (
	"context"
	"maps"
	"slices"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

func (c *caller) listStreams(ctx context.Context, m *lethev1.ListStreamsRequest) (*lethev1.ListStreamsResponse, error) {
	after, err := wire.ParseStream(m.GetAfter())
	if err != nil {
		return nil, err
	}
	if m.GetLimit() > wire.MaxEvents { // a short list would say that there are no more
		return nil, event.Invalid("malformed_limit", "list streams: a limit of %d is above %d", m.GetLimit(), wire.MaxEvents)
	}
	q := storage.StreamQuery{Kind: m.GetKind(), After: after, Pending: m.GetPending(), Limit: most(m.GetLimit())}
	if q.Kind != "" {
		anyOf := event.Stream(q.Kind, "any")
		if err := anyOf.Validate(); err != nil {
			return nil, err
		}
		if err := c.kind("list", anyOf); err != nil {
			return nil, err
		}
	}
	states, err := c.streams(ctx, q)
	if err != nil {
		return nil, err
	}
	answer := &lethev1.ListStreamsResponse{Streams: make([]*lethev1.StreamState, len(states))}
	for i, state := range states {
		answer.Streams[i] = wire.StreamState(state)
	}
	return answer, nil
}

// streams goes through the kinds that the token is for, in the order in which all would be listed.
func (c *caller) streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	if q.Kind != "" || len(c.bearer.Kinds) == 0 {
		return c.Store.Streams(ctx, q)
	}
	var all []storage.StreamState
	for _, kind := range slices.Sorted(slices.Values(c.bearer.Kinds)) {
		of := q
		of.Kind, of.Limit = kind, q.Limit-len(all)
		if kind < q.After.Kind {
			continue
		}
		some, err := c.Store.Streams(ctx, of)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(all) == q.Limit {
			break
		}
	}
	return all, nil
}

func (c *caller) closeStream(ctx context.Context, m *lethev1.CloseStreamRequest) (*lethev1.CloseStreamResponse, error) {
	actor, stream, err := c.actAbout(m.GetActor(), m.GetStream())
	if err != nil {
		return nil, err
	}
	return &lethev1.CloseStreamResponse{}, c.Store.As(actor).CloseStream(ctx, stream)
}

func (c *caller) actAbout(actorText, streamText string) (actor event.Actor, stream event.StreamID, err error) {
	if stream, err = event.ParseEntity(streamText); err != nil {
		return actor, stream, err
	}
	actor, err = c.actor(actorText)
	return actor, stream, err
}

func (c *caller) truncateStream(ctx context.Context, m *lethev1.TruncateStreamRequest,
) (*lethev1.TruncateStreamResponse, error) {
	actor, stream, err := c.actAbout(m.GetActor(), m.GetStream())
	if err != nil {
		return nil, err
	}
	err = c.Store.As(actor).TruncateStream(ctx, stream, event.Version(m.GetBefore()))
	return &lethev1.TruncateStreamResponse{}, err
}

func (c *caller) listMaxAges(ctx context.Context, _ *lethev1.ListMaxAgesRequest) (*lethev1.ListMaxAgesResponse, error) {
	ages, err := c.Store.MaxAges(ctx)
	if err != nil {
		return nil, err
	}
	m := &lethev1.ListMaxAgesResponse{}
	for _, kind := range slices.Sorted(maps.Keys(ages)) {
		if c.bearer.AllowsKind(kind) {
			m.MaxAges = append(m.MaxAges, wire.MaxAge(kind, ages[kind]))
		}
	}
	return m, nil
}

func (c *caller) setMaxAge(ctx context.Context, m *lethev1.SetMaxAgeRequest) (*lethev1.SetMaxAgeResponse, error) {
	actor, err := c.actor(m.GetActor())
	if err != nil {
		return nil, err
	}
	if m.GetAge().CheckValid() != nil && m.Age != nil {
		return nil, event.Invalid("malformed_age", "set max age: the age is not a duration")
	}
	return &lethev1.SetMaxAgeResponse{}, c.Store.As(actor).SetMaxAge(ctx, m.GetKind(), m.GetAge().AsDuration())
}

func (c *caller) expire(ctx context.Context, m *lethev1.ExpireRequest) (*lethev1.ExpireResponse, error) {
	actor, err := c.actor(m.GetActor())
	if err != nil {
		return nil, err
	}
	n, err := c.Store.As(actor).Expire(ctx)
	if err != nil {
		return nil, err
	}
	return &lethev1.ExpireResponse{Streams: uint64(n)}, nil
}
