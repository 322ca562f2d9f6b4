package pglink

import (
	"context"
	"time"

	"github.com/lethe-es/lethe/event"
)

// Calls are the calls of a store: what ends them, and how long they wait for a database that is away.
type Calls struct {
	Context  context.Context // ends when the store is closed
	Clock    event.Clock
	Patience time.Duration
}

// Usable says whether a call may go on.
func (c *Calls) Usable(ctx context.Context) error {
	if c.Context.Err() != nil {
		return errClosed()
	}
	return ctx.Err()
}

func errClosed() error {
	return event.Errorf(event.ErrUnavailable, "use store: it is closed")
}

// Try calls do until it does not fail for want of a connection, the store's patience ends, or ctx does. What do does
// must be such that it may be done twice.
func (c *Calls) Try(ctx context.Context, do func(ctx context.Context) error) error {
	begin := c.Clock.Now()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second/2) {
		if err := c.Usable(ctx); err != nil {
			return err
		}
		err := do(ctx)
		if !Passing(err) {
			return c.explain(ctx, err)
		}
		if c.Clock.Now().Sub(begin)+pause > c.Patience {
			return c.explain(ctx, err)
		}
		select {
		case <-c.Clock.After(pause):
		case <-ctx.Done():
		case <-c.Context.Done():
		}
	}
}

// explain is Classify for calls that ended because the caller or the store ended.
func (c *Calls) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case c.Context.Err() != nil:
		return errClosed()
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return Classify(err)
}
