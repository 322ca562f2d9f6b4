package server

import (
	"context"
	"net/http"
	"time"

	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/desk"
	"github.com/lethe-es/lethe/event"
)

// desks mounts the services about persons, schemas, purposes and keys.
func (s *Server) desks(mux *http.ServeMux) {
	unary(s, mux, lethev1connect.SchemaServicePushProcedure, atDesk(desk.Desk.PushSchema))
	unary(s, mux, lethev1connect.SchemaServiceListProcedure, atDesk(desk.Desk.ListSchemas))
	unary(s, mux, lethev1connect.SchemaServiceShowProcedure, atDesk(desk.Desk.ShowSchema))
	unary(s, mux, lethev1connect.SchemaServiceDemandProcedure, atDesk(desk.Desk.DemandSchema))
	unary(s, mux, lethev1connect.SchemaServiceCoverageProcedure, atDesk(desk.Desk.Coverage))

	unary(s, mux, lethev1connect.PolicyServiceSetProcedure, atDesk(desk.Desk.SetPolicy))
	unary(s, mux, lethev1connect.PolicyServiceShowProcedure, atDesk(desk.Desk.ShowPolicy))

	unary(s, mux, lethev1connect.SubjectServiceShowProcedure, atDesk(desk.Desk.ShowSubject))
	unary(s, mux, lethev1connect.SubjectServiceUsesProcedure, atDesk(desk.Desk.ListUses))
	unary(s, mux, lethev1connect.SubjectServiceRecordProcedure, atDesk(desk.Desk.RecordStanding))
	streaming(s, mux, lethev1connect.SubjectServiceMapProcedure, atDeskFor(desk.Desk.MapSubject))

	unary(s, mux, lethev1connect.ConsentServiceRecordProcedure, atDesk(desk.Desk.RecordConsent))
	unary(s, mux, lethev1connect.ConsentServiceWithdrawProcedure, atDesk(desk.Desk.WithdrawConsent))
	unary(s, mux, lethev1connect.ConsentServiceListProcedure, atDesk(desk.Desk.ListConsents))

	unary(s, mux, lethev1connect.KeyServiceStatusProcedure, atDesk(desk.Desk.KeyStatus))
	streaming(s, mux, lethev1connect.KeyServiceRollProcedure, atDeskFor(desk.Desk.RollKeys))
}

// desk is the store as the handlers of package desk see it. What they tell is about all kinds of streams, so tokens
// that are for some are refused.
func (c *caller) desk() (desk.Desk, error) {
	switch {
	case len(c.bearer.Kinds) > 0:
		return desk.Desk{}, event.Errorf(event.ErrDenied, "call %s: token %s is for some kinds of streams only",
			c.procedure.name, c.bearer.ID).Hint("use a token for all kinds")
	case c.Store.Privacy() == nil:
		return desk.Desk{}, event.Errorf(event.ErrUnsupported, "call %s: store %s is not in this process",
			c.procedure.name, c.Name).Hint("call the server that has it open")
	}
	return desk.Desk{Store: c.Store, Token: c.bearer.ID}, nil
}

// atDesk gives a call to a handler that answers once.
func atDesk[In, Out any](
	handler func(desk.Desk, context.Context, *In) (*Out, error),
) func(*caller, context.Context, *In) (*Out, error) {
	return func(c *caller, ctx context.Context, m *In) (*Out, error) {
		d, err := c.desk()
		if err != nil {
			return nil, err
		}
		return handler(d, ctx, m)
	}
}

// atDeskFor gives a call to a handler that tells how far it came.
func atDeskFor[In, Out any](
	handler func(desk.Desk, context.Context, *In, func(*Out)) (*Out, error),
) func(*caller, context.Context, *In, func(*Out) error) error {
	return func(c *caller, ctx context.Context, m *In, send func(*Out) error) error {
		d, err := c.desk()
		if err != nil {
			return err
		}
		return inTime(c, ctx, send, func(ctx context.Context, tell func(*Out)) (*Out, error) {
			return handler(d, ctx, m, tell)
		})
	}
}

// between is the least time between two messages that tell how far a call came.
const between = 200 * time.Millisecond

// inTime runs work that takes its time: it holds a place among the calls that stay open, tells now and then how far it
// came, and ends when its caller is gone. The last message is what it came to.
func inTime[Out any](c *caller, ctx context.Context, send func(*Out) error,
	work func(ctx context.Context, tell func(*Out)) (*Out, error),
) error {
	release, err := c.open()
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var told time.Time
	var gone error
	last, err := work(ctx, func(m *Out) {
		now := c.server.clock.Now()
		if gone != nil || !told.IsZero() && now.Sub(told) < between {
			return
		}
		told = now
		if gone = send(m); gone != nil {
			cancel()
		}
	})
	switch {
	case gone != nil:
		return gone
	case err != nil:
		return err
	}
	return send(last)
}
