package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/wire"
)

// Limits of one message of appends. A server takes 20 MiB, what the largest single append needs; several travel in
// smaller messages, so that none waits long for the others.
const (
	largestAppend = 20<<20 - 64<<10
	callBytes     = 4 << 20
	callRequests  = 2000
)

// Append has the message made by the caller's own goroutine, once for all tries.
func (b *backend) Append(ctx context.Context, req log.Request) (result log.Result, err error) {
	body, minted, err := b.encode(ctx, &req)
	if err != nil {
		return log.Result{}, err
	}
	err = b.try(ctx, repeatable, func(ctx context.Context) (v verdict) {
		result, v = b.gatherer.send(ctx, body)
		return v
	})
	if err != nil {
		return log.Result{}, inAppend(err)
	}
	result.Repeated = result.Repeated && !minted
	return result, nil
}

// inAppend names the call in an error that did not come from the log, which names it itself.
func inAppend(err error) error {
	if strings.HasPrefix(err.Error(), "append") {
		return err
	}
	if errors.Is(err, event.ErrUnavailable) || errors.Is(err, event.ErrUnknown) || event.Code(err) == wire.KindInternal {
		return fmt.Errorf("append: %w", err)
	}
	return err
}

// AppendEach sends requests in order, in calls below the limits of a message. The call after one that failed, or in
// which an append failed for a reason that is not its own, is not made.
func (b *backend) AppendEach(ctx context.Context, requests []log.Request) []log.Outcome {
	outcomes := make([]log.Outcome, len(requests))
	c := call{backend: b, outcomes: outcomes}
	for i := range requests {
		body, minted, err := b.encode(ctx, &requests[i])
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		if len(c.bodies) > 0 && (c.size+len(body) > callBytes || len(c.bodies) == callRequests) {
			c.send(ctx)
		}
		c.bodies, c.size = append(c.bodies, body), c.size+len(body)
		c.sent = append(c.sent, sent{i, minted})
	}
	c.send(ctx)
	return outcomes
}

// call is the part of an AppendEach that travels in one message.
type call struct {
	backend  *backend
	outcomes []log.Outcome
	bodies   [][]byte
	sent     []sent // what the bodies are of
	size     int
	failed   error // nothing more is sent
}

// sent is which request was sent, and whether ids were minted for it: then it repeats no append but its own lost try.
type sent struct {
	index  int
	minted bool
}

func (c *call) send(ctx context.Context) {
	if len(c.bodies) == 0 {
		return
	}
	var got []log.Outcome
	err := c.failed
	if err == nil {
		err = c.backend.try(ctx, repeatable, func(ctx context.Context) (v verdict) {
			got, v = c.backend.appendEach(ctx, c.bodies)
			return v
		})
		if err != nil {
			err = inAppend(err)
		}
	}
	for n, s := range c.sent {
		o := log.Outcome{Err: err}
		if err == nil {
			o = got[n]
			o.Result.Repeated = o.Result.Repeated && !s.minted
		}
		if c.failed == nil && o.Err != nil && !refused(o.Err) {
			c.failed = o.Err
		}
		c.outcomes[s.index] = o
	}
	c.bodies, c.sent, c.size = c.bodies[:0], c.sent[:0], 0
}

// refused tells whether an append was turned down for its own sake, so that others may go on.
func refused(err error) bool {
	for _, own := range []error{
		event.ErrInvalid, event.ErrNotFound, event.ErrConflict, event.ErrDuplicate, event.ErrClosed, event.ErrDenied,
	} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// encode makes the message of a request. Events get their ids and trace context in it; the caller's drafts stay as
// they are. Whether ids were minted comes back too.
func (b *backend) encode(ctx context.Context, req *log.Request) (body []byte, minted bool, err error) {
	if err := check(req); err != nil {
		return nil, false, err
	}
	m := wire.Request(req)
	parent := traceparent(trace.SpanContextFromContext(ctx))
	for _, w := range m.Writes {
		for _, d := range w.Events {
			if d.Id == "" {
				id, err := b.ids.Next()
				if err != nil {
					return nil, false, fmt.Errorf("append: %w", err)
				}
				d.Id, minted = id.String(), true
			}
			if d.Traceparent == "" {
				d.Traceparent = parent
			}
		}
	}
	if body, err = proto.Marshal(m); err != nil {
		return nil, false, unspeakable(req)
	}
	if len(body) > largestAppend {
		return nil, false, event.Invalid("oversized", "append: %d bytes are more than fit into a message", len(body)).
			Hint("append less at once")
	}
	return body, minted, nil
}

// check refuses what could not be said in a message, or would be something else there. The rest is the log's to check.
func check(req *log.Request) error {
	events := 0
	for i := range req.Writes {
		events += len(req.Writes[i].Events)
	}
	if events == 0 || events > log.MaxRequestEvents {
		return event.Invalid("empty_or_oversized", "append: want 1 to %d events, got %d", log.MaxRequestEvents, events)
	}
	for i := range req.Writes {
		if err := req.Writes[i].Stream.ValidateForm(); err != nil { // references become aliases at the server
			return err
		}
	}
	if req.Condition != nil {
		return req.Condition.Filter.Validate()
	}
	return nil
}

// unspeakable names what is wrong with a request whose texts are not UTF-8.
func unspeakable(req *log.Request) error {
	for i := range req.Writes {
		for j := range req.Writes[i].Events {
			if err := req.Writes[i].Events[j].Validate(); err != nil {
				return err
			}
		}
	}
	return event.Invalid("malformed_message", "append: a text in it is not UTF-8")
}

// appendOne sends one append. A message that is made already stands in for its fields: the bytes are the same.
func (b *backend) appendOne(ctx context.Context, body []byte) (log.Result, verdict) {
	m := new(lethev1.AppendRequest)
	m.ProtoReflect().SetUnknown(body)
	answer, err := b.log.Append(ctx, connect.NewRequest(m))
	if err != nil {
		return log.Result{}, b.judge(ctx, err)
	}
	result, err := wire.ParseResult(answer.Msg)
	if err != nil {
		return log.Result{}, b.notLethe("a result that cannot be read")
	}
	return result, verdict{}
}

// appendEach sends several, each a unit of its own.
func (b *backend) appendEach(ctx context.Context, bodies [][]byte) ([]log.Outcome, verdict) {
	size := 0
	for _, body := range bodies {
		size += len(body) + 8
	}
	all := make([]byte, 0, size)
	for _, body := range bodies {
		all = protowire.AppendTag(all, 1, protowire.BytesType) // field requests
		all = protowire.AppendBytes(all, body)
	}
	m := new(lethev1.AppendEachRequest)
	m.ProtoReflect().SetUnknown(all)
	answer, err := b.log.AppendEach(ctx, connect.NewRequest(m))
	if err != nil {
		return nil, b.judge(ctx, err)
	}
	if len(answer.Msg.GetOutcomes()) != len(bodies) {
		return nil, b.notLethe("%d answers to %d appends", len(answer.Msg.GetOutcomes()), len(bodies))
	}
	outcomes := make([]log.Outcome, len(bodies))
	for i, o := range answer.Msg.GetOutcomes() {
		outcomes[i] = wire.ParseOutcome(o)
	}
	return outcomes, verdict{}
}
