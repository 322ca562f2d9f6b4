package demo

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
)

// Options of Play; the zero Options work.
type Options struct {
	Seed   uint64
	Rate   float64     // events per second, from 0.001 to 10,000; 0: 5
	Alive  int         // applications that go on at the same time, up to 10,000; 0: 12
	People bool        // as in WithPeople: the store was given to Declare
	Clock  event.Clock // nil: the machine's
}

// Play appends the lives of a seed, one event after the other at an even pace, without end: it returns the cause of
// ctx's end, or the first error. Several applications are alive at once, and chance, which the seed decides too, says
// which of them goes on, so that who watches the log or one stream sees it move.
//
// What the store holds of the seed's lives already, Play does not append again: it goes on with the lives that are
// unfinished there, then with new ones. To find them it reads the events of kind application once. A life that somebody
// else meddles with, by appending to its stream or closing it, is left as it is.
//
// A store that is slower than the pace is appended to as fast as it goes, and what was missed is not made up for. Times
// in the lives are the bank's own: a week of them may pass in a minute.
func Play(ctx context.Context, session *lethe.Session, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	p := &play{
		session: session, bank: newBank(o.Seed), dice: rand.New(rand.NewPCG(o.Seed, 0)), alive: make([]started, o.Alive),
		people: o.People,
	}
	if err := p.begin(ctx); err != nil {
		return ended(ctx, err)
	}
	pace := pace{clock: o.Clock, due: o.Clock.Now(), interval: time.Duration(float64(time.Second) / o.Rate)}
	for {
		if err := p.next(ctx); err != nil {
			return ended(ctx, err)
		}
		if err := pace.wait(ctx); err != nil {
			return err
		}
	}
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	if o.Rate == 0 {
		o.Rate = 5
	}
	if o.Alive == 0 {
		o.Alive = 12
	}
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if !(o.Rate >= 0.001 && o.Rate <= 10_000) { // in this form it refuses what is no number, too
		return event.Invalid("malformed_number", "play applications: want 0.001 to 10,000 events per second, got %g", o.Rate)
	}
	if o.Alive < 1 || o.Alive > 10_000 {
		return event.Invalid("malformed_number", "play applications: want 1 to 10,000 at once, got %d", o.Alive)
	}
	return nil
}

// ended is how a play ended: by the end of ctx, which calls report in their own words, or by an error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// play is a play in progress.
type play struct {
	session *lethe.Session
	bank    *bank
	dice    *rand.Rand
	held    map[event.StreamID]last // what was in the store of lives that the bank has not made yet
	alive   []started
	people  bool
}

// started is a life of which the steps before done are in the store.
type started struct {
	life Life
	done int
}

// last is the last event of a stream.
type last struct {
	version event.Version
	id      event.ID
}

// begin looks what the store holds, and brings as many lives in as shall be alive.
func (p *play) begin(ctx context.Context) (err error) {
	if p.people {
		if err := declared(ctx, p.session); err != nil {
			return err
		}
	}
	p.held = make(map[event.StreamID]last)
	applications := lethe.Query{Filter: event.Filter{{Kinds: []string{Kind}}}, Pruned: true}
	for e, err := range p.session.Query(ctx, applications) {
		if err != nil {
			return err
		}
		p.held[e.Stream] = last{e.Version, e.ID}
	}
	for i := range p.alive {
		if p.alive[i], err = p.arrive(); err != nil {
			return err
		}
	}
	return nil
}

// arrive is the next life of the bank that is not over in the store. One whose stream holds anything else than its own
// steps is passed over.
func (p *play) arrive() (started, error) {
	for {
		life, err := p.bank.next()
		if err != nil {
			return started{}, err
		}
		if p.people {
			life = WithPeople([]Life{life})[0]
		}
		there, some := p.held[life.Stream]
		if !some {
			return started{life: life}, nil
		}
		delete(p.held, life.Stream)
		done := int(there.version)
		if done < len(life.Steps) && life.Steps[done-1].Draft.ID == there.id {
			return started{life, done}, nil
		}
	}
}

// next appends one step of one life. Where that ends the life, another one arrives in its place.
func (p *play) next(ctx context.Context) error {
	s := &p.alive[p.dice.IntN(len(p.alive))]
	_, err := s.life.play(ctx, p.session, s.done)
	switch {
	case err == nil:
		s.done++
	case meddled(err):
		s.done = len(s.life.Steps)
	default:
		return err
	}
	if s.done == len(s.life.Steps) {
		*s, err = p.arrive()
		return err
	}
	return nil
}

// meddled tells whether an append failed because its stream is not what the play left it as.
func meddled(err error) bool {
	return errors.Is(err, event.ErrConflict) || errors.Is(err, event.ErrClosed) || errors.Is(err, event.ErrDuplicate)
}

// pace spreads events evenly over time.
type pace struct {
	clock    event.Clock
	due      time.Time // of the last event
	interval time.Duration
}

// patience is how far a play may fall behind its pace and still catch up; what is beyond it is missed.
const patience = time.Second

// wait returns when the next event is due, or with the cause of ctx's end.
func (p *pace) wait(ctx context.Context) error {
	p.due = p.due.Add(p.interval)
	now := p.clock.Now()
	if now.Sub(p.due) > patience { // a slow store, or a machine that slept: no burst
		p.due = now
	}
	if left := p.due.Sub(now); left > 0 {
		select {
		case <-p.clock.After(left):
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}
