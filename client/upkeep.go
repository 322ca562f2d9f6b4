package client

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// Streams asks as often as it takes to fill q.Limit.
func (b *backend) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	if q.Limit < 1 {
		return nil, event.Invalid("malformed_limit", "list streams: a limit of %d is below 1", q.Limit)
	}
	var all []storage.StreamState
	for len(all) < q.Limit {
		limit := min(q.Limit-len(all), wire.MaxEvents)
		m, err := ask(ctx, b, asking, b.streams.List, &lethev1.ListStreamsRequest{
			Kind: q.Kind, After: wire.Stream(q.After), Limit: uint32(limit), Pending: q.Pending,
		})
		if err != nil {
			return nil, err
		}
		for _, s := range m.GetStreams() {
			state, err := wire.ParseStreamState(s)
			if err != nil {
				return nil, b.notLethe("streams that cannot be read").err
			}
			all = append(all, state)
			q.After = state.Stream
		}
		if len(m.GetStreams()) < limit {
			break
		}
	}
	return all, nil
}

// MaxAges asks for the limits in force.
func (b *backend) MaxAges(ctx context.Context) (map[string]time.Duration, error) {
	m, err := ask(ctx, b, asking, b.streams.ListMaxAges, new(lethev1.ListMaxAgesRequest))
	if err != nil {
		return nil, err
	}
	ages := make(map[string]time.Duration, len(m.GetMaxAges()))
	for _, a := range m.GetMaxAges() {
		ages[a.GetKind()] = a.GetAge().AsDuration()
	}
	return ages, nil
}

// CloseStream is not repeated: the second time it would be told that the stream is closed.
func (b *backend) CloseStream(ctx context.Context, actor event.Actor, stream event.StreamID) error {
	by, err := sayActor(actor, stream)
	if err == nil {
		_, err = ask(ctx, b, once, b.streams.Close, &lethev1.CloseStreamRequest{Stream: stream.String(), Actor: by})
	}
	return err
}

// TruncateStream is not repeated: the second time it would be told that the stream is truncated.
func (b *backend) TruncateStream(ctx context.Context, actor event.Actor, stream event.StreamID, before event.Version,
) error {
	by, err := sayActor(actor, stream)
	if err == nil {
		_, err = ask(ctx, b, once, b.streams.Truncate,
			&lethev1.TruncateStreamRequest{Stream: stream.String(), Before: uint64(before), Actor: by})
	}
	return err
}

// SetMaxAge may be repeated: the same limit twice is the same limit.
func (b *backend) SetMaxAge(ctx context.Context, actor event.Actor, kind string, age time.Duration) error {
	by, err := sayActor(actor, event.Stream(kind, "any"))
	if err == nil {
		_, err = ask(ctx, b, repeatable, b.streams.SetMaxAge,
			&lethev1.SetMaxAgeRequest{Kind: kind, Age: durationpb.New(age), Actor: by})
	}
	return err
}

// Expire is not repeated: the second time it would count other streams.
func (b *backend) Expire(ctx context.Context, actor event.Actor) (int, error) {
	by, err := sayActor(actor, event.Stream("any", "any"))
	if err != nil {
		return 0, err
	}
	m, err := ask(ctx, b, once, b.streams.Expire, &lethev1.ExpireRequest{Actor: by})
	return int(m.GetStreams()), err
}

// sayActor is kind/id; nobody named is nothing. Names that would read as others are refused, the stream's too.
func sayActor(actor event.Actor, stream event.StreamID) (string, error) {
	if err := stream.ValidateForm(); err != nil || actor.IsZero() {
		return "", err
	}
	return actor.String(), event.Stream(actor.Kind, string(actor.ID)).ValidateForm()
}
