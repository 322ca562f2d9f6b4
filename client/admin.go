package client

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"
)

// admin stands around the services whose generated clients are handed out: it tries calls again where that is safe, and
// makes their errors those of package event.
type admin struct{ *backend }

// manner is what it means to make a call again. A record of a person under an id of its own is there once.
func (admin) manner(r connect.AnyRequest) manner {
	if r.Spec().IdempotencyLevel == connect.IdempotencyNoSideEffects {
		return asking
	}
	record, ok := r.Any().(interface {
		GetId() string
		GetData() string
	})
	if ok && record.GetId() != "" {
		return repeatable
	}
	return once
}

// WrapUnary is for calls with one answer.
func (a admin) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (answer connect.AnyResponse, err error) {
		err = a.try(ctx, a.manner(r), func(ctx context.Context) verdict {
			var failure error
			if answer, failure = next(ctx, r); failure != nil {
				return a.judge(ctx, failure)
			}
			return verdict{}
		})
		if err != nil {
			return nil, err
		}
		return answer, nil
	}
}

// WrapStreamingClient is for calls that tell how far they came.
func (a admin) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return &adminConn{next(ctx, spec), ctx, a.backend}
	}
}

// WrapStreamingHandler is not for clients.
func (admin) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

type adminConn struct {
	connect.StreamingClientConn
	ctx     context.Context
	backend *backend
}

// Receive is io.EOF at the end.
func (c *adminConn) Receive(m any) error {
	err := c.StreamingClientConn.Receive(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return c.backend.judge(c.ctx, err).err
}
