package client

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// Head asks for the state of the log.
func (b *backend) Head(ctx context.Context) (storage.Head, error) {
	m, err := ask(ctx, b, asking, b.log.Head, new(lethev1.HeadRequest))
	if err != nil {
		return storage.Head{}, err
	}
	head, err := wire.ParseHead(m)
	if err != nil {
		return storage.Head{}, b.notLethe("a state that cannot be read").err
	}
	return head, nil
}

// opening is the message of an opening, by this program.
func (b *backend) opening(o event.Opening) *lethev1.Opening {
	if o.Code == "" {
		o.Code = b.code
	}
	return wire.Opening(o)
}

// Event looks one event up.
func (b *backend) Event(ctx context.Context, id event.ID, v lethe.View) (event.Event, error) {
	q := &lethev1.FindRequest{Id: id.String(), Opening: b.opening(v.Opening), Present: v.Present}
	m, err := ask(ctx, b, asking, b.log.Find, q)
	if err != nil {
		return event.Event{}, err
	}
	e, err := wire.ParseEvent(m.GetEvent())
	if err != nil {
		return event.Event{}, b.notLethe("an event that cannot be read").err
	}
	return e, nil
}

// Open has events opened, in calls of as many as fit into a message.
func (b *backend) Open(ctx context.Context, events []event.Event, v lethe.View) ([]event.Event, error) {
	all := make([]*lethev1.Event, len(events))
	for i := range events {
		all[i] = wire.Event(&events[i])
		all[i].Withheld, all[i].Names = nil, nil // are the server's to say
	}
	opened := make([]event.Event, 0, len(events))
	for len(all) > 0 {
		n := messageful(all)
		q := &lethev1.OpenRequest{Events: all[:n], Opening: b.opening(v.Opening), Present: v.Present}
		m, err := ask(ctx, b, asking, b.log.Open, q)
		if err != nil {
			return nil, err
		}
		part, err := wire.ParseEvents(m.GetEvents())
		if err != nil || len(part) != n {
			return nil, b.notLethe("events that are not those it was to open").err
		}
		opened, all = append(opened, part...), all[n:]
	}
	return opened, nil
}

// messageful is how many events fit into a message: one at least.
func messageful(events []*lethev1.Event) int {
	n, size := 0, 0
	for n < len(events) && n < wire.MaxEvents {
		if size += proto.Size(events[n]); n > 0 && size > wire.PageBytes {
			break
		}
		n++
	}
	return n
}

// Page asks for one page of a stream or of the whole log.
func (b *backend) Page(ctx context.Context, q lethe.PageQuery) (lethe.Page, error) {
	if q.Limit < 1 {
		return lethe.Page{}, event.Invalid("malformed_limit", "read page: a limit of %d is below 1", q.Limit)
	}
	switch {
	case !q.ID.IsZero():
		return b.pageOfOne(ctx, &q)
	case q.Stream.IsZero():
		return b.pageOfLog(ctx, &q)
	}
	return b.pageOfStream(ctx, &q)
}

func (b *backend) pageOfOne(ctx context.Context, q *lethe.PageQuery) (lethe.Page, error) {
	head, err := b.Head(ctx)
	if err != nil {
		return lethe.Page{}, err
	}
	page := lethe.Page{Done: true, Head: head.Position}
	e, err := b.Event(ctx, q.ID, q.View)
	switch {
	case errors.Is(err, event.ErrNotFound):
		return page, nil
	case err != nil:
		return lethe.Page{}, err
	}
	page.Events, page.Scanned, page.Head = []event.Event{e}, uint64(e.Position), max(page.Head, e.Position)
	return page, nil
}

func (b *backend) pageOfLog(ctx context.Context, q *lethe.PageQuery) (lethe.Page, error) {
	m := &lethev1.QueryRequest{
		Filter: wire.Filter(q.Filter), From: q.From, To: q.To, Backward: q.Backward, Pruned: q.Pruned,
		Limit: uint32(min(q.Limit, wire.MaxEvents)), Opening: b.opening(q.Opening),
		Since: stamp(q.Since), Until: stamp(q.Until), Present: q.Present,
	}
	got, err := ask(ctx, b, asking, b.log.Query, m)
	if err != nil {
		return lethe.Page{}, err
	}
	return b.page(q, got)
}

// stamp is a time in microseconds; 0 is unset.
func stamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return wire.Timestamp(event.FromMicros(micros))
}

func (b *backend) pageOfStream(ctx context.Context, q *lethe.PageQuery) (lethe.Page, error) {
	m := &lethev1.ReadRequest{
		Stream: q.Stream.String(), From: q.From, To: q.To, Backward: q.Backward, Pruned: q.Pruned,
		Limit: uint32(min(q.Limit, wire.MaxEvents)), Opening: b.opening(q.Opening),
		Filter: wire.Filter(q.Filter), Since: stamp(q.Since), Until: stamp(q.Until),
		Present: q.Present,
	}
	got, err := ask(ctx, b, asking, b.log.Read, m)
	switch {
	case errors.Is(err, event.ErrNotFound):
		head, err := b.Head(ctx)
		return lethe.Page{Done: true, Head: head.Position}, err
	case err != nil:
		return lethe.Page{}, err
	}
	return b.page(q, got)
}

// pageMessage is an answer that holds a page.
type pageMessage interface {
	GetEvents() []*lethev1.Event
	GetNext() uint64
	GetDone() bool
	GetHead() uint64
}

func (b *backend) page(q *lethe.PageQuery, m pageMessage) (lethe.Page, error) {
	events, err := wire.ParseEvents(m.GetEvents())
	if err != nil {
		return lethe.Page{}, b.notLethe("events that cannot be read").err
	}
	page := lethe.Page{Events: events, Done: m.GetDone(), Head: event.Position(m.GetHead())}
	switch {
	case page.Done:
		page.Scanned = end(q, &page)
	case q.Backward:
		page.Scanned = m.GetNext() + 1
	default:
		page.Scanned = m.GetNext() - 1
	}
	return page, nil
}

// end is how far a page looked that is the last one, as far as the answer says.
func end(q *lethe.PageQuery, page *lethe.Page) uint64 {
	switch {
	case len(page.Events) > 0:
		last := page.Events[len(page.Events)-1]
		if !q.Stream.IsZero() {
			return uint64(last.Version)
		}
		return uint64(last.Position)
	case q.Stream.IsZero() && !q.Backward && q.From <= uint64(page.Head):
		return uint64(page.Head)
	}
	return 0
}
