package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

// FollowResult is how fast followers catch up, and how soon they have what is appended. Events, seconds and
// events_per_second are of catching up, over all followers.
type FollowResult struct {
	Run
	Machine
	Latency           // of one live event: from before its append until a follower applies it
	Live      uint64  `json:"live_events"` // that were appended while the followers were live
	LivePer   float64 `json:"live_events_per_second"`
	Rate      int     `json:"rate"` // appends per second that were asked for
	Batch     int     `json:"batch"`
	Delivered uint64  `json:"live_delivered"` // over all followers
	LogEvents uint64  `json:"log_events"`     // to catch up with
}

// Follow lets o.Clients followers catch up with the log, then appends at a fixed rate until o.Duration is over and
// measures how long each event takes to reach them.
func (b *Bench) Follow(ctx context.Context, o Options) (*FollowResult, error) {
	o.Personal, o.Purpose = 0, ""
	o = o.defaults()
	if err := o.check(b); err != nil {
		return nil, err
	}
	var result *FollowResult
	err := b.with(ctx, &o, func(t *target) error {
		err := b.mayAppend(ctx, t)
		if err == nil {
			err = b.fill(ctx, t, &o, streamEvents)
		}
		if err != nil {
			return err
		}
		head, err := t.Head(ctx)
		if err != nil {
			return err
		}
		t.start = head.Position // streams of a run begin anew, behind what it was filled with
		result, err = b.follow(ctx, t, &o)
		return err
	})
	return result, err
}

func (b *Bench) follow(ctx context.Context, t *target, o *Options) (*FollowResult, error) {
	tails := make([]*tail, o.Clients)
	for c := range tails {
		name := fmt.Sprintf("%s.%d.%d", Kind, t.start, c)
		tails[c] = &tail{name: name, clock: b.Clock, start: t.start, moved: make(chan struct{}, 1)}
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, len(tails))
	var wg sync.WaitGroup
	begin, cpu := b.Clock.Now(), cpuSeconds()
	for _, f := range tails {
		wg.Go(func() {
			if err := t.follow(running, f, o.Plain); running.Err() == nil {
				failed <- err
			}
		})
	}
	r := &FollowResult{Machine: machine(), Rate: o.Rate, Batch: o.Batch, LogEvents: uint64(t.start)}
	err := b.reach(ctx, tails, t.start, failed)
	caught := &measured{elapsed: b.Clock.Now().Sub(begin), interrupted: ctx.Err() != nil}
	for _, f := range tails {
		caught.events += min(f.events.Load(), uint64(t.start))
	}
	if err == nil {
		err = b.live(ctx, t, o, tails, failed, r)
	}
	caught.cpu = cpuSeconds() - cpu
	caught.interrupted = ctx.Err() != nil
	stop()
	wg.Wait()
	var all histogram
	for _, f := range tails {
		all.merge(&f.lag)
	}
	r.Run, r.Latency, r.Delivered = caught.run("follow", o.Clients), all.latency(), all.n
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // ended early
	}
	return r, err
}

// follow runs one follower, or where it is plain only its subscription.
func (t *target) follow(ctx context.Context, f *tail, plain bool) error {
	if !plain {
		return follow.Run(ctx, t.session, t.Cursors(), f, &follow.Options{Clock: f.clock})
	}
	for batch, err := range t.session.Batches(ctx, f.Filter(), event.Cursor{}) {
		if err != nil {
			return err
		}
		if err := f.Apply(ctx, follow.Batch{Events: batch.Events, Cursor: batch.Cursor}); err != nil {
			return err
		}
	}
	return nil
}

// hands is how many appends may be under way at once while the rate is held: over a network one alone could not.
const hands = 16

// live appends at the fixed rate, then waits until every follower has everything.
func (b *Bench) live(ctx context.Context, t *target, o *Options, tails []*tail, failed <-chan error, r *FollowResult,
) error {
	one := *o
	one.Clients, one.Condition = hands, None
	idle := make(chan *appender, hands)
	for n := range hands {
		idle <- newAppender(t, &one, n)
	}
	begin := b.Clock.Now()
	elapsed := time.Duration(0)
	var group sync.WaitGroup
	broken := make(chan error, hands)
	for n := 0; elapsed < o.Duration && ctx.Err() == nil && len(broken) == 0; n++ {
		if wait := time.Duration(n)*time.Second/time.Duration(o.Rate) - elapsed; wait > 0 {
			<-b.Clock.After(wait)
		}
		a := <-idle
		a.maker.occurred = b.Clock.Now()
		group.Go(func() {
			if err := a.append(context.WithoutCancel(ctx)); err != nil {
				select {
				case broken <- err:
				default: // enough have failed
				}
			}
			idle <- a
		})
		r.Live += uint64(o.Batch)
		elapsed = b.Clock.Now().Sub(begin)
		if n%o.Rate == 0 {
			b.report(Progress{Phase: "live", Events: r.Live, Elapsed: elapsed})
		}
	}
	group.Wait()
	if len(broken) > 0 {
		return <-broken
	}
	r.LivePer = per(float64(r.Live), elapsed.Seconds())
	return b.reach(context.WithoutCancel(ctx), tails, t.start+event.Position(r.Live), failed)
}

// reach waits until every follower has the event at position p.
func (b *Bench) reach(ctx context.Context, tails []*tail, p event.Position, failed <-chan error) error {
	begin := b.Clock.Now()
	for _, f := range tails {
		for f.position.Load() < uint64(p) {
			select {
			case <-f.moved:
			case err := <-failed:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
			b.report(Progress{
				Phase: "catch up", Events: f.position.Load(), Total: uint64(p), Elapsed: b.Clock.Now().Sub(begin),
			})
		}
	}
	return nil
}

// tail is a follower that only looks when events come.
type tail struct {
	name  string
	clock event.Clock
	start event.Position // what lies behind it is live

	lag      histogram // only its own goroutine adds
	events   atomic.Uint64
	position atomic.Uint64
	moved    chan struct{}
}

func (f *tail) Name() string         { return f.name }
func (f *tail) Filter() event.Filter { return nil }

// Apply takes the time at which live events arrive. Their producer says when it began to append them.
func (f *tail) Apply(_ context.Context, batch follow.Batch) error {
	now := f.clock.Now()
	for i := range batch.Events {
		e := &batch.Events[i]
		if e.Position > f.start && !e.OccurredAt.IsZero() {
			f.lag.add(now.Sub(e.OccurredAt))
		}
	}
	f.events.Add(uint64(len(batch.Events)))
	f.position.Store(uint64(batch.Cursor.Position))
	select {
	case f.moved <- struct{}{}:
	default:
	}
	return nil
}
