package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// Desks is how many applications PlayAll works on at the same time. Each append is durable before the next one of its
// application begins; appends of different desks share commits.
const Desks = 32

// Played is what playing lives came to.
type Played struct {
	Events   int            // appended, or in the store already
	Repeated int            // of them, those that were in the store already
	Last     event.Position // of the last event
}

// PlayAll appends every step of every life, each as an append of its own, and each conditional on the version of its
// stream. The first error ends it: Played is then what was done until there. Lives WithPeople are refused by a store
// that was not given to Declare.
func PlayAll(ctx context.Context, session *lethe.Session, lives []Life) (Played, error) {
	if slices.ContainsFunc(lives, func(l Life) bool { return l.peopled }) {
		if err := declared(ctx, session); err != nil {
			return Played{}, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := make(chan *Life)
	var mu sync.Mutex
	var total Played
	var wg sync.WaitGroup
	for range Desks {
		wg.Go(func() {
			for life := range waiting {
				played, err := playLife(ctx, session, life)
				if err != nil {
					cancel(err)
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

func playLife(ctx context.Context, session *lethe.Session, life *Life) (p Played, err error) {
	for i := range life.Steps {
		res, err := life.play(ctx, session, i)
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

// play appends one step: issued by its employee, caused by the step before it, as the next version of the stream.
func (l *Life) play(ctx context.Context, session *lethe.Session, i int) (log.Result, error) {
	step := l.Steps[i]
	if step.Cause >= 0 {
		session = session.CausedBy(l.event(step.Cause))
	}
	step.Draft.Relations = []event.Relation{event.Actor{Kind: Employee, ID: step.Actor}.Issuer()}
	res, err := session.Append(ctx, l.Stream, event.At(event.Version(i)), step.Draft)
	if err != nil {
		return res, fmt.Errorf("play %s: %w", l.Stream, err)
	}
	return res, nil
}

// event is as much of an appended step as its consequences inherit.
func (l *Life) event(i int) event.Event {
	return event.Event{Stream: l.Stream, Draft: event.Draft{
		ID: l.Steps[i].Draft.ID, Type: l.Steps[i].Draft.Type, Correlation: l.Steps[0].Draft.Correlation,
	}}
}
