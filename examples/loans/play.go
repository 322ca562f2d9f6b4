package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
)

// desks is how many applications are worked on at the same time. Each append is durable before the next one of its
// application begins; appends of different desks share commits.
const desks = 32

// Played is what playing lives came to.
type Played struct {
	Events   int            // appended, or in the store already
	Repeated int            // of them, those that were in the store already
	Last     event.Position // of the last event
}

// Play appends every step of every life, each as an append of its own, and each conditional on the version of its
// stream.
func Play(ctx context.Context, store *lethe.Store, lives []Life) (Played, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := make(chan *Life)
	var mu sync.Mutex
	var total Played
	var wg sync.WaitGroup
	for range desks {
		wg.Go(func() {
			for life := range waiting {
				played, err := playLife(ctx, store, life)
				if err != nil {
					cancel(fmt.Errorf("play %s: %w", life.Stream, err))
				}
				mu.Lock()
				total.Events += played.Events
				total.Repeated += played.Repeated
				total.Last = max(total.Last, played.Last)
				mu.Unlock()
			}
		})
	}
	for i := range lives {
		select {
		case waiting <- &lives[i]:
		case <-ctx.Done():
		}
	}
	close(waiting)
	wg.Wait()
	return total, context.Cause(ctx)
}

func playLife(ctx context.Context, store *lethe.Store, life *Life) (p Played, err error) {
	for i, step := range life.Steps {
		session := store.As(event.Actor{Kind: "employee", ID: step.Actor})
		if step.Cause >= 0 {
			session = session.CausedBy(life.event(step.Cause))
		}
		res, err := session.Append(ctx, life.Stream, event.At(event.Version(i)), step.Draft)
		if err != nil {
			return p, err
		}
		p.Events++
		if res.Repeated {
			p.Repeated++
		}
		p.Last = max(p.Last, res.Last())
	}
	return p, nil
}

// event is as much of an appended step as its consequences inherit.
func (l *Life) event(i int) event.Event {
	return event.Event{Stream: l.Stream, Draft: event.Draft{
		ID: l.Steps[i].Draft.ID, Type: l.Steps[i].Draft.Type, Correlation: l.Steps[0].Draft.Correlation,
	}}
}
