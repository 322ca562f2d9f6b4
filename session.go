package lethe

import (
	"context"
	"slices"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// Session is a store in the hands of one actor, for one purpose if For names one.
type Session struct {
	store           *Store
	actor           event.Actor
	cause           *event.Event
	purpose, reason string
	code            string // what reads
	present         bool   // events are given in their present form
}

// For is a session that opens as o says, for who speaks for others: a server for its callers, whose code it is that
// reads. Session.For is for everybody else.
func (s *Store) For(o event.Opening) *Session {
	return &Session{store: s, actor: o.Actor, purpose: o.Purpose, reason: o.Reason, code: o.Code}
}

// For is a session that reads personal data for a purpose and a reason: a code and a case or ticket id, such as
// "ticket 7". Each batch it opens is recorded, durably, before it is given out. What the purpose, the rules of the
// policy or the person does not allow is withheld: Event.Withheld says what and why. Without a purpose everything
// personal is.
func (s *Session) For(purpose, reason string) *Session {
	copied := *s
	copied.purpose, copied.reason = purpose, reason
	return &copied
}

func (s *Session) view() View {
	v := View{Present: s.present}
	if s.purpose != "" {
		v.Opening = event.Opening{Actor: s.actor, Purpose: s.purpose, Reason: s.reason, Code: s.code}
	}
	return v
}

// CausedBy is a session whose appends are consequences of e: they inherit its correlation and trace context and name
// it as their cause, unless a draft says otherwise. An event without correlation begins one under its own id.
func (s *Session) CausedBy(e event.Event) *Session {
	copied := *s
	copied.cause = &e
	return &copied
}

// Append appends events to one stream, all or none.
func (s *Session) Append(ctx context.Context, stream event.StreamID, expected event.Expected, events ...event.Draft,
) (log.Result, error) {
	return s.AppendAll(ctx, log.Request{Writes: []log.Write{{Stream: stream, Expected: expected, Events: events}}})
}

// AppendAll appends to several streams under an optional condition, all or none.
func (s *Session) AppendAll(ctx context.Context, req log.Request) (log.Result, error) {
	s.inherit(&req)
	return s.store.backend.Append(ctx, req)
}

// AppendEach appends every request as a unit of its own, in order and in few commits. Outcome i is that of request i.
func (s *Session) AppendEach(ctx context.Context, requests []log.Request) []log.Outcome {
	requests = slices.Clone(requests)
	for i := range requests {
		s.inherit(&requests[i])
	}
	return s.store.backend.AppendEach(ctx, requests)
}

// inherit fills in what the session knows. It copies before it changes: the caller's drafts stay as they are.
func (s *Session) inherit(req *log.Request) {
	if s.actor.IsZero() && s.cause == nil {
		return
	}
	req.Writes = slices.Clone(req.Writes)
	for i := range req.Writes {
		w := &req.Writes[i]
		w.Events = slices.Clone(w.Events)
		for j := range w.Events {
			s.fill(&w.Events[j])
		}
	}
}

func (s *Session) fill(d *event.Draft) {
	issued := func(r event.Relation) bool { return r.Role == event.RoleIssuer }
	if !s.actor.IsZero() && !slices.ContainsFunc(d.Relations, issued) {
		d.Relations = append(slices.Clip(d.Relations), s.actor.Issuer())
	}
	if s.cause == nil {
		return
	}
	if d.Causation.IsZero() {
		d.Causation = s.cause.ID
	}
	if d.Correlation == "" {
		if d.Correlation = s.cause.Correlation; d.Correlation == "" {
			d.Correlation = s.cause.ID.String()
		}
	}
	if d.Traceparent == "" {
		d.Traceparent = s.cause.Traceparent
	}
}

// CloseStream ends a stream for good: no later append to it is accepted.
func (s *Session) CloseStream(ctx context.Context, stream event.StreamID) error {
	return s.store.backend.CloseStream(ctx, s.actor, stream)
}

// TruncateStream prunes the events of a stream below version before: bodies go, header and leaf stay.
func (s *Session) TruncateStream(ctx context.Context, stream event.StreamID, before event.Version) error {
	return s.store.backend.TruncateStream(ctx, s.actor, stream, before)
}

// SetMaxAge limits how long bodies of events in streams of a kind are kept, counted from when they were recorded;
// 0 lifts the limit. Expire enforces it.
func (s *Session) SetMaxAge(ctx context.Context, kind string, age time.Duration) error {
	return s.store.backend.SetMaxAge(ctx, s.actor, kind, age)
}

// Expire prunes what is older than its kind's max age, and returns how many streams it truncated.
func (s *Session) Expire(ctx context.Context) (int, error) {
	return s.store.backend.Expire(ctx, s.actor)
}
