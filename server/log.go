package server

import (
	"context"
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/wire"
)

// session is the store in nobody's hands: who issued an event, its producer says.
func (c *caller) session() *lethe.Session { return c.Store.As(event.Actor{}) }

func (c *caller) append(ctx context.Context, m *lethev1.AppendRequest) (*lethev1.AppendResponse, error) {
	req, err := c.request(m, c.traceparent(ctx))
	if err != nil {
		return nil, err
	}
	result, err := c.session().AppendAll(ctx, req)
	if err != nil {
		return nil, err
	}
	c.appended(len(result.Events), result.Repeated)
	return wire.Result(result), nil
}

// request reads an append, and refuses what reaches kinds that the token does not. A condition on other kinds is
// refused rather than narrowed: narrowed, it would let an append pass that its caller wanted refused.
func (c *caller) request(m *lethev1.AppendRequest, traceparent string) (log.Request, error) {
	req, err := wire.ParseRequest(m)
	if err != nil {
		return req, err
	}
	for i := range req.Writes {
		w := &req.Writes[i]
		if err := c.kind("append to", w.Stream); err != nil {
			return req, err
		}
		for j := range w.Events {
			if w.Events[j].Traceparent == "" {
				w.Events[j].Traceparent = traceparent
			}
		}
	}
	if req.Condition != nil && !c.bearer.Covers(req.Condition.Filter) {
		return req, event.Errorf(event.ErrDenied, "append: the condition asks about kinds that token %s is not for",
			c.bearer.ID).Hint("name in each alternative a stream or kinds that it is for")
	}
	return req, nil
}

// traceparent is the trace context of the call: of the span in ctx where calls are traced, else as it was sent; "" if
// there is none that is well-formed. An append's digest leaves it out, so a retry in another span is still the same.
func (c *caller) traceparent(ctx context.Context) string {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		id, parent, flags := span.TraceID(), span.SpanID(), span.TraceFlags()
		b := append(make([]byte, 0, 55), "00-"...)
		b = append(hex.AppendEncode(b, id[:]), '-')
		b = append(hex.AppendEncode(b, parent[:]), '-')
		return string(hex.AppendEncode(b, []byte{byte(flags)}))
	}
	sent := c.header["Traceparent"]
	if len(sent) != 1 {
		return ""
	}
	probe := event.Draft{Type: "Traced", Traceparent: sent[0]}
	if probe.ValidateEnvelope() != nil {
		return ""
	}
	return sent[0]
}

func (c *caller) appendEach(ctx context.Context, m *lethev1.AppendEachRequest) (*lethev1.AppendEachResponse, error) {
	if len(m.GetRequests()) > wire.MaxAppends {
		return nil, event.Invalid("oversized", "append each: %d requests are more than %d", len(m.GetRequests()),
			wire.MaxAppends).Hint("send them in several calls, in order")
	}
	traceparent := c.traceparent(ctx)
	answer := &lethev1.AppendEachResponse{Outcomes: make([]*lethev1.Outcome, len(m.GetRequests()))}
	good := make([]log.Request, 0, len(m.GetRequests()))
	places := make([]int, 0, len(m.GetRequests()))
	tell := func(err error) *lethev1.Error { return c.server.tell(c.procedure.name, err) }
	for i, r := range m.GetRequests() {
		req, err := c.request(r, traceparent)
		if err != nil {
			answer.Outcomes[i] = wire.Outcome(log.Outcome{Err: err}, tell)
			continue
		}
		good, places = append(good, req), append(places, i)
	}
	for i, outcome := range c.session().AppendEach(ctx, good) {
		c.appended(len(outcome.Result.Events), outcome.Result.Repeated)
		answer.Outcomes[places[i]] = wire.Outcome(outcome, tell)
	}
	return answer, nil
}

func (c *caller) find(ctx context.Context, m *lethev1.FindRequest) (*lethev1.FindResponse, error) {
	id, err := event.ParseID(m.GetId())
	if err != nil {
		return nil, err
	}
	v, err := c.view(m)
	if err != nil {
		return nil, err
	}
	e, err := c.session().Event(ctx, id)
	if err != nil {
		return nil, err
	}
	if !c.bearer.AllowsKind(e.Stream.Kind) { // to this token it is not there, word for word as the log says it
		return nil, event.Errorf(event.ErrNotFound, "find event %s: no such event", id)
	}
	if v != (lethe.View{}) { // only now: what opens is recorded
		if e, err = c.reader(v).Event(ctx, id); err != nil {
			return nil, err
		}
	}
	return &lethev1.FindResponse{Event: wire.Event(&e)}, nil
}

// openEvents opens events that the caller holds. What they say of themselves decides whether the token is for them, for
// the store opens none that the log knows otherwise.
func (c *caller) openEvents(ctx context.Context, m *lethev1.OpenRequest) (*lethev1.OpenResponse, error) {
	v, err := c.view(m)
	if err != nil {
		return nil, err
	}
	if len(m.GetEvents()) > wire.MaxEvents {
		return nil, event.Invalid("oversized", "open events: %d are more than %d", len(m.GetEvents()), wire.MaxEvents).
			Hint("send them in several calls")
	}
	events, err := wire.ParseHeld(m.GetEvents())
	if err != nil {
		return nil, err
	}
	for i := range events {
		if err := c.kind("open event of", events[i].Stream); err != nil {
			return nil, err
		}
	}
	if events, err = c.reader(v).Open(ctx, events); err != nil {
		return nil, err
	}
	return &lethev1.OpenResponse{Events: wire.Events(events)}, nil
}

func (c *caller) head(ctx context.Context, _ *lethev1.HeadRequest) (*lethev1.HeadResponse, error) {
	head, err := c.Store.Head(ctx)
	if err != nil {
		return nil, err
	}
	return wire.Head(&head), nil
}
