package server

import (
	"context"
	"iter"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// openings counts what is open for long.
type openings struct {
	mu    sync.Mutex
	total int
	of    map[string]int // by token
}

// open takes one of the places for calls that stay open. event.ErrUnavailable, too_many_streams, if there is none.
func (c *caller) open() (release func(), err error) {
	o, limits := &c.server.openings, c.server.limits
	key := c.Name + "/" + c.bearer.ID
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]int)
	}
	switch {
	case o.total >= limits.Streams:
		return nil, tooMany("this server has", limits.Streams)
	case c.bearer.ID != "" && o.of[key] >= limits.StreamsOfToken:
		return nil, tooMany("token "+c.bearer.ID+" has", limits.StreamsOfToken)
	}
	o.total++
	o.of[key]++
	return sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.total--
		if o.of[key]--; o.of[key] == 0 {
			delete(o.of, key)
		}
	}), nil
}

func tooMany(who string, limit int) error {
	e := event.Errorf(event.ErrUnavailable, "open stream: %s %d open already", who, limit)
	e.Code = "too_many_streams"
	return e.Hint("close some, or try again later")
}

// subscription is one caller's, while it runs.
type subscription struct {
	filter event.Filter
	after  event.Cursor
	reads  lethe.View
	send   func(lethe.Batch) error // to the caller
	once   bool                    // ends where it has caught up
	done   bool                    // ends now, without an error

	// Filled in by follow.
	server    *Server
	token     string           // id; "": tokens are off
	revoked   <-chan struct{}  // nil: nobody can
	expiry    <-chan time.Time // nil: the token does not expire
	heartbeat <-chan time.Time
	hurried   bool        // the heartbeat comes early, since there is something to tell
	seen      lethe.Batch // how far it looked, without events
	caughtUp  bool
}

func (c *caller) subscribe(
	ctx context.Context, m *lethev1.SubscribeRequest, send func(*lethev1.SubscribeResponse) error,
) error {
	var s subscription
	if err := s.ask(c, m); err != nil {
		return err
	}
	s.send = func(b lethe.Batch) error {
		for part := range c.parts(b, most(m.GetLimit())) {
			if err := s.over(); err != nil {
				return err
			}
			if err := send(part); err != nil {
				return err
			}
		}
		return nil
	}
	return c.follow(ctx, &s)
}

// ask reads what a caller asks for.
func (s *subscription) ask(c *caller, m *lethev1.SubscribeRequest) (err error) {
	if s.filter, err = wire.ParseFilter(m.GetFilter()); err != nil {
		return err
	}
	if s.after, err = event.ParseCursor(m.GetAfter()); err != nil {
		return err
	}
	s.reads, err = c.view(m)
	return err
}

// parts splits a batch into messages by number and bytes. Each has the cursor from which what follows it is resumed.
func (c *caller) parts(b lethe.Batch, limit int) iter.Seq[*lethev1.SubscribeResponse] {
	return func(yield func(*lethev1.SubscribeResponse) bool) {
		part, bytes := &lethev1.SubscribeResponse{}, 0
		for i := range b.Events {
			m := wire.Event(&b.Events[i])
			size := proto.Size(m)
			if n := len(part.Events); n > 0 && (n == limit || bytes+size > wire.PageBytes) {
				part.Cursor = c.Store.Cursor(b.Events[i-1].Position).String()
				if !yield(part) {
					return
				}
				part, bytes = &lethev1.SubscribeResponse{}, 0
			}
			part.Events = append(part.Events, m)
			bytes += size
		}
		part.Cursor, part.Live = b.Cursor.String(), b.Live
		yield(part)
	}
}

// follow runs a subscription until something ends it, and says what. s.send gets batches with events, the first that
// is live, and when nothing else was sent for a heartbeat, an empty one that tells how far the server looked.
func (c *caller) follow(ctx context.Context, s *subscription) (err error) {
	release, err := c.open()
	if err != nil {
		return err
	}
	defer release()
	c.server.meter.streams.WithLabelValues(c.Name).Inc()
	defer func() {
		c.server.meter.streams.WithLabelValues(c.Name).Dec()
		c.server.meter.cut.WithLabelValues(c.Name, endCode(err)).Inc()
	}()
	if s.filter, err = c.narrow(s.filter); err != nil {
		return err
	}
	s.server, s.token = c.server, c.bearer.ID
	if c.bearer.ID != "" {
		var unwatch func()
		s.revoked, unwatch = c.keeper.Watch(c.bearer.ID)
		defer unwatch()
	}
	if !c.bearer.Expires.IsZero() {
		s.expiry = c.server.clock.After(c.bearer.Expires.Sub(c.server.clock.Now()))
	}
	ctx, cancel := context.WithCancel(ctx)
	batches, ended := handOver(ctx, c.reader(s.reads).Batches(ctx, s.filter, s.after))
	defer func() {
		cancel()
		<-ended // it may hold something of the engine
	}()
	return s.run(ctx, batches)
}

// handed is a batch, or why there are no more. Its giver waits for taken before it goes on, so that a subscription
// holds one batch, however slow its caller is: the rest waits in the log.
type handed struct {
	batch lethe.Batch
	err   error
	taken chan<- struct{}
}

// handOver lets a loop over batches be waited for together with other things. It ends with ctx.
func handOver(ctx context.Context, batches iter.Seq2[lethe.Batch, error]) (<-chan handed, <-chan struct{}) {
	out, ended := make(chan handed), make(chan struct{})
	go func() {
		defer close(ended)
		taken := make(chan struct{}, 1)
		for batch, err := range batches {
			select {
			case out <- handed{batch, err, taken}:
			case <-ctx.Done():
				return
			}
			select {
			case <-taken:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, ended
}

// run waits for the first of everything that can happen to a subscription.
func (s *subscription) run(ctx context.Context, batches <-chan handed) (err error) {
	s.seen.Cursor = s.after
	s.rest()
	for err == nil && !s.done {
		select {
		case h := <-batches:
			err = s.take(h)
		case <-s.heartbeat:
			s.rest()
			err = s.send(s.seen)
		case <-s.revoked:
			err = s.ended("token_revoked")
		case <-s.expiry:
			err = s.ended("token_expired")
		case <-s.server.ending:
			err = draining()
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return err
}

// rest begins the time in which nothing needs to be sent. It is called before something is, so that who has received it
// knows that the time runs.
func (s *subscription) rest() {
	s.heartbeat, s.hurried = s.server.clock.After(s.server.limits.Heartbeat), false
}

// glance is after how long a caller is told that the server looked further, and found nothing that matches.
const glance = time.Second

func (s *subscription) hurry() {
	if !s.hurried && len(s.heartbeat) == 0 { // one that is due is not put off
		s.heartbeat, s.hurried = s.server.clock.After(min(glance, s.server.limits.Heartbeat)), true
	}
}

// take sends a batch if it holds events, or says that the past is done; where nothing matched, an early heartbeat tells
// how far that is.
func (s *subscription) take(h handed) error {
	if h.err != nil {
		return h.err
	}
	s.seen = lethe.Batch{Cursor: h.batch.Cursor, Live: h.batch.Live}
	if len(h.batch.Events) > 0 || h.batch.Live && !s.caughtUp {
		s.rest()
		if err := s.send(h.batch); err != nil {
			return err
		}
	} else {
		s.hurry()
	}
	s.caughtUp = s.caughtUp || h.batch.Live
	s.done = s.done || s.once && s.caughtUp
	h.taken <- struct{}{}
	return nil
}

// over is what has ended the subscription, if anything did: who goes on sending asks before each message.
func (s *subscription) over() error {
	select {
	case <-s.revoked:
		return s.ended("token_revoked")
	case <-s.expiry:
		return s.ended("token_expired")
	case <-s.server.ending:
		return draining()
	default:
		return nil
	}
}

func (s *subscription) ended(code string) error {
	return &event.Error{Sentinel: event.ErrDenied, Code: code,
		Message: "subscribe: token " + s.token + " is not good any more", Next: "resume with another token"}
}

func draining() error {
	return &event.Error{Sentinel: event.ErrUnavailable, Code: "draining",
		Message: "subscribe: this server ends", Next: "resume with the last cursor received"}
}

// endCode is under which code an end is counted.
func endCode(err error) string {
	if err == nil {
		return codeOK
	}
	return wire.Error(err).Code
}
