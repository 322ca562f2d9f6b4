package client

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// silence is how long a subscription may say nothing: three heartbeats of a server. Then its connection is dead.
const silence = 45 * time.Second

// Batches follows the log over as many connections as it takes.
func (b *backend) Batches(ctx context.Context, q lethe.BatchQuery) iter.Seq2[lethe.Batch, error] {
	return func(yield func(lethe.Batch, error) bool) {
		w := &watch{backend: b, filter: wire.Filter(q.Filter), view: q.View, at: q.After, yield: yield}
		if err := w.run(ctx); err != nil {
			yield(lethe.Batch{}, fmt.Errorf("subscribe: %w", err))
		}
	}
}

// watch is one loop over Batches.
type watch struct {
	backend *backend
	filter  []*lethev1.Match
	view    lethe.View
	at      event.Cursor // of the last batch that was given out
	yield   func(lethe.Batch, error) bool

	heard bool // the present connection brought something
	begun bool // a batch was given out
	live  bool // it was live
	left  bool // the caller has left the loop
}

// run opens one connection after the other. Its error is the last word; none: the caller has left.
func (w *watch) run(ctx context.Context) error {
	b := w.backend
	var until time.Time // zero: it is not down
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if err := b.open(ctx); err != nil {
			return err
		}
		w.heard = false
		v := w.follow(ctx)
		switch {
		case w.left:
			return nil
		case !v.again:
			return v.err
		case w.heard || until.IsZero():
			until, pause = b.clock.Now().Add(b.retry), firstPause
		}
		if !b.pause(ctx, pause, until) {
			if err := b.open(ctx); err != nil {
				return err
			}
			return event.Errorf(event.ErrUnavailable, "%s", v.err.Error()).Hint("resume from cursor %q", w.at.String())
		}
	}
}

// follow gives out what one connection brings.
func (w *watch) follow(ctx context.Context) (v verdict) {
	streaming, cancel := context.WithCancel(ctx)
	messages := make(chan *lethev1.SubscribeResponse, 1)
	var failure error
	go func() {
		defer close(messages)
		failure = w.receive(streaming, messages)
	}()
	defer func() { // the connection is given back before the caller goes on
		cancel()
		for range messages {
		}
	}()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return w.judge(ctx, failure)
			}
			if v = w.give(m); w.left || v.err != nil {
				return v
			}
		case <-w.backend.clock.After(silence):
			return verdict{again: true, err: event.Errorf(event.ErrUnavailable, "reach %s: the subscription was silent for %s",
				w.backend.host, silence)}
		case <-w.backend.closed:
			return verdict{again: true, err: w.backend.open(ctx)}
		}
	}
}

func (w *watch) judge(ctx context.Context, failure error) verdict {
	if failure == nil { // a server ends a subscription only with an error
		return verdict{again: true, err: event.Errorf(event.ErrUnavailable, "reach %s: the subscription was ended on the way",
			w.backend.host)}
	}
	return w.backend.judge(ctx, failure)
}

func (w *watch) receive(ctx context.Context, messages chan<- *lethev1.SubscribeResponse) error {
	q := &lethev1.SubscribeRequest{Filter: w.filter, After: w.at.String(), Limit: wire.MaxEvents,
		Opening: w.backend.opening(w.view.Opening), Present: w.view.Present}
	stream, err := w.backend.log.Subscribe(ctx, connect.NewRequest(q))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		select {
		case messages <- stream.Msg():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return stream.Err()
}

// give hands one message to the caller, unless it says nothing new.
func (w *watch) give(m *lethev1.SubscribeResponse) verdict {
	events, err := wire.ParseEvents(m.GetEvents())
	cursor, malformed := event.ParseCursor(m.GetCursor())
	if err != nil || malformed != nil {
		return w.backend.notLethe("a subscription that cannot be read")
	}
	w.heard = true
	if id := w.backend.identity; cursor.Store != id.Store || cursor.Incarnation != id.Incarnation {
		return verdict{err: event.Errorf(event.ErrForked, "the store was restored while it was open here").
			Hint("open it again and resume from cursor %q", w.at.String())}
	}
	events = slices.DeleteFunc(events, func(e event.Event) bool { return e.Position <= w.at.Position })
	if w.begun && len(events) == 0 && cursor == w.at && m.GetLive() == w.live {
		return verdict{} // a sign of life
	}
	w.at, w.live, w.begun = cursor, m.GetLive(), true
	w.left = !w.yield(lethe.Batch{Events: events, Cursor: cursor, Live: w.live}, nil)
	return verdict{}
}
