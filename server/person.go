package server

import (
	"context"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// viewing is a message that says how events are read.
type viewing interface {
	GetOpening() *lethev1.Opening
	GetPresent() bool
}

// view is how a call reads events.
func (c *caller) view(m viewing) (v lethe.View, err error) {
	v.Present = m.GetPresent()
	v.Opening, err = c.opening(m.GetOpening())
	return v, err
}

// reader is the session that reads so.
func (c *caller) reader(v lethe.View) *lethe.Session {
	s := c.Store.For(v.Opening)
	if v.Present {
		return s.Present()
	}
	return s
}

// opening is what a call opens, which its token must allow; with nobody named the token acts. The zero Opening reads
// sealed.
func (c *caller) opening(m *lethev1.Opening) (event.Opening, error) {
	o, err := wire.ParseOpening(m)
	if err != nil || o.IsZero() {
		return event.Opening{}, err
	}
	if !c.server.allows(c.bearer.Scope, lethev1.Permission_PERMISSION_OPEN) {
		return event.Opening{}, event.Errorf(event.ErrDenied, "open personal data: token %s does not allow it", c.bearer.ID).
			Hint("use a token with the permission open, or read sealed: without an opening")
	}
	if o.Actor.IsZero() {
		o.Actor, err = c.actor("")
	}
	return o, err
}

// codeUsePost is that of a call whose message stands in its address and must not.
const codeUsePost = "use_post"

// inAddress refuses a message that came in the address of its call if it opens personal data or refers to a person:
// proxies, browsers and logs keep addresses. An alias may stand there, it names nobody.
func (c *caller) inAddress(ctx context.Context, m any) error {
	usePost := func(why string) error {
		return event.Invalid(codeUsePost, "read request: %s, and stands in the address of the call", why).
			Hint("send the message in the body of a POST")
	}
	if r, ok := m.(interface{ GetOpening() *lethev1.Opening }); ok && r.GetOpening() != nil {
		return usePost("it opens personal data")
	}
	var f event.Filter
	if r, ok := m.(interface{ GetFilter() []*lethev1.Match }); ok {
		f, _ = wire.ParseFilter(r.GetFilter()) // what is malformed its method refuses
	}
	if r, ok := m.(interface{ GetStream() string }); ok {
		stream, _ := wire.ParseStream(r.GetStream())
		f = append(f, event.Match{Stream: stream})
	}
	if r, ok := m.(*lethev1.ListStreamsRequest); ok {
		stream, _ := wire.ParseStream(r.GetAfter())
		f = append(f, event.Match{Stream: stream})
	}
	personal, err := c.personal(ctx, f)
	if err == nil && personal {
		err = usePost("it refers to a person")
	}
	return err
}

// personal tells whether a filter holds a direct identifier, a reference to an entity of a kind that is declared a
// person, or a value of metadata that is.
func (c *caller) personal(ctx context.Context, f event.Filter) (bool, error) {
	var entities []event.StreamID
	var keys []string
	for i := range f {
		m := &f[i]
		if m.Correlation != "" {
			entities = append(entities, event.Stream("correlation", m.Correlation))
		}
		if !m.Stream.IsZero() {
			entities = append(entities, m.Stream)
		}
		for _, r := range m.Relations {
			entities = append(entities, event.Stream(r.Kind, r.ID))
		}
		for key := range m.Metadata {
			keys = append(keys, key)
		}
	}
	for _, e := range entities {
		if event.Code(e.Validate()) == "personal_reference" {
			return true, nil
		}
	}
	room := c.Store.Privacy()
	if room == nil || len(entities)+len(keys) == 0 {
		return false, nil
	}
	policy, err := room.Policy(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range entities {
		if policy.Person(e.Kind) && !event.IsKRID(e.ID) {
			return true, nil
		}
	}
	for _, key := range keys {
		if _, personal := policy.Metadata(key); personal {
			return true, nil
		}
	}
	return false, nil
}

// called is a stream as an error may name it: of a person only the kind.
func (c *caller) called(ctx context.Context, stream event.StreamID) string {
	if personal, err := c.personal(ctx, event.Filter{{Stream: stream}}); err != nil || personal {
		return "stream of kind " + stream.Kind
	}
	return stream.String()
}
