package server

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

func (c *caller) read(ctx context.Context, m *lethev1.ReadRequest) (*lethev1.ReadResponse, error) {
	stream, err := event.ParseEntity(m.GetStream())
	if err != nil {
		return nil, err
	}
	if err := c.kind("read", stream); err != nil {
		return nil, err
	}
	q := lethe.PageQuery{Pruned: m.GetPruned(), Query: storage.Query{
		Stream: stream, From: m.GetFrom(), To: m.GetTo(), Backward: m.GetBackward(), Limit: most(m.GetLimit()),
		Since: micros(m.Since), Until: micros(m.Until),
	}}
	if q.Filter, err = wire.ParseFilter(m.GetFilter()); err != nil {
		return nil, err
	}
	if q.View, err = c.view(m); err != nil {
		return nil, err
	}
	p, err := c.page(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(p.events) == 0 && p.done { // out of range, truncated, or no such stream
		if err := c.checkStream(ctx, stream); err != nil {
			return nil, err
		}
	}
	return &lethev1.ReadResponse{Events: p.events, Next: p.next, Done: p.done, Head: uint64(p.head)}, nil
}

// checkStream is event.ErrNotFound for a stream without events, in the words of lethe.Session.Read. One whose events
// are all truncated has headers left.
func (c *caller) checkStream(ctx context.Context, stream event.StreamID) error {
	found, err := c.session().Page(ctx, lethe.PageQuery{Query: storage.Query{Stream: stream, Limit: 1}, Pruned: true})
	if err == nil && len(found.Events) == 0 {
		return event.Errorf(event.ErrNotFound, "read %s: no such stream", c.called(ctx, stream)).
			Hint("list streams by kind")
	}
	return err
}

func (c *caller) query(ctx context.Context, m *lethev1.QueryRequest) (*lethev1.QueryResponse, error) {
	filter, err := wire.ParseFilter(m.GetFilter())
	if err != nil {
		return nil, err
	}
	if filter, err = c.narrow(filter); err != nil {
		return nil, err
	}
	q := lethe.PageQuery{Pruned: m.GetPruned(), Query: storage.Query{
		Filter: filter, From: m.GetFrom(), To: m.GetTo(), Backward: m.GetBackward(), Limit: most(m.GetLimit()),
		Since: micros(m.Since), Until: micros(m.Until),
	}}
	if q.View, err = c.view(m); err != nil {
		return nil, err
	}
	p, err := c.page(ctx, q)
	if err != nil {
		return nil, err
	}
	return &lethev1.QueryResponse{Events: p.events, Next: p.next, Done: p.done, Head: uint64(p.head)}, nil
}

// micros is a time as a query has it; unset is 0.
func micros(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return event.Micros(wire.Time(t))
}

// narrow is what the token may see of what a filter means.
func (c *caller) narrow(filter event.Filter) (event.Filter, error) {
	if err := filter.Validate(); err != nil {
		return nil, err
	}
	narrow, some := c.bearer.Narrow(filter)
	if some {
		return narrow, nil
	}
	// Nothing is left, and no filter says that by itself: a stream outside of the kinds it must be in does. It is one
	// that no token for kinds reaches and that has no events, so engines answer without looking far.
	return event.Filter{{Kinds: c.bearer.Kinds[:1], Stream: event.Stream(event.SystemKind, "none")}}, nil
}

// most is how many events a page holds; a page may hold fewer than asked for, so what is too many is not refused.
func most(limit uint32) int {
	if limit == 0 {
		return wire.PageEvents
	}
	return int(min(limit, wire.MaxEvents))
}

// page is a page on its way to a caller.
type page struct {
	events []*lethev1.Event
	bytes  int
	next   uint64
	done   bool
	head   event.Position
}

// steps: an event may be large, so a page is read in parts. Only the first is read without knowing how large events
// are here.
const firstStep = 64

// page reads until the page is full, in number or in bytes, or there is nothing beyond. A part that the engine gave
// back short ends it too: the engine had looked for long enough.
func (c *caller) page(ctx context.Context, q lethe.PageQuery) (page, error) {
	var p page
	session, limit := c.reader(q.View), q.Limit
	for step := firstStep; ; step = p.step() {
		q.Limit = min(step, limit-len(p.events))
		part, err := session.Page(ctx, q)
		if err != nil {
			return p, err
		}
		if p.head == 0 || !q.Backward { // backward nothing is looked at that came after the first part
			p.head = part.Head
		}
		if full := p.take(part.Events, q); full {
			return p, nil
		}
		if part.Done {
			p.next, p.done = 0, true
			return p, nil
		}
		p.next = part.Next(q.Backward)
		if len(p.events) == limit || len(part.Events) < q.Limit {
			return p, nil
		}
		q.From = p.next
	}
}

// take adds events until the page is full in bytes; full: some did not fit, and the next page begins with them.
func (p *page) take(events []event.Event, q lethe.PageQuery) (full bool) {
	for i := range events {
		m := wire.Event(&events[i])
		size := proto.Size(m)
		if len(p.events) > 0 && p.bytes+size > wire.PageBytes {
			p.next = uint64(events[i].Position)
			if !q.Stream.IsZero() {
				p.next = uint64(events[i].Version)
			}
			return true
		}
		p.events = append(p.events, m)
		p.bytes += size
	}
	return false
}

// step is how many more events will about fill the page.
func (p *page) step() int {
	if len(p.events) == 0 {
		return firstStep
	}
	return max(1, (wire.PageBytes-p.bytes)*len(p.events)/p.bytes)
}
