// Package demo is a seeded bank whose loan applications live their lives as events.
//
//	lives, err := demo.Generate(1, 500)                              // one seed, one world
//	played, err := demo.PlayAll(ctx, session, lives)                 // all of it, as fast as the store takes it
//	err = demo.Play(ctx, session, demo.Options{Seed: 1, Rate: 5})    // or without end, at a pace to watch
//
// Each application is a stream, application/SEED-NUMBER. It is registered, scored, looked at by clerks, offered,
// bargained over, and in the end accepted, declined or cancelled; some are left lying. Every event has an issuer,
// employee/NUMBER, names the event that caused it, and shares the correlation of its application.
//
// One seed always gives the same lives, ids of events included, so playing them into a store that holds them already
// adds nothing. No data of a person is in them: an application knows an amount, a purpose and a score.
//
// On a store with keys the bank has people: applicants with a name, a birth date, an e-mail address and an income, and
// employees whose numbers become aliases. Nothing of that is ever written in clear.
//
//	err = demo.Declare(ctx, store)                                   // policy and schemas, once
//	played, err = demo.PlayAll(ctx, session, demo.WithPeople(lives)) // or demo.Options{People: true}
package demo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lethe-es/lethe/event"
)

// Types of the events in the life of an application.
const (
	Registered = "ApplicationRegistered"
	Submitted  = "ApplicationSubmitted"
	Scored     = "CreditScored"
	Checked    = "DocumentsChecked"
	Offered    = "OfferMade"
	Called     = "CustomerCalled"
	Accepted   = "ApplicationAccepted"
	Declined   = "ApplicationDeclined"
	Cancelled  = "ApplicationCancelled"
)

// Kind is the kind of the streams, one for each application.
const Kind = "application"

// System is the employee number under which the bank's own programs act: what it decides, nobody looked at.
const System event.ActorID = "112"

// The clerks are employees with numbers that follow each other.
const (
	firstClerk = 10
	clerks     = 20
)

// Step is one event in a life, and what caused it.
type Step struct {
	Actor event.ActorID // the employee who issues it
	Cause int           // index of the step that caused it; -1: none
	Draft event.Draft
}

// Life is everything that happens to one application, in order.
type Life struct {
	Stream event.StreamID
	Steps  []Step

	peopled bool // WithPeople was here
}

// opening is when the first application comes in. Time in this bank is simulated: it is what the events claim in
// occurred_at, while the store dates them with its own clock.
var opening = time.Date(2026, time.January, 5, 8, 0, 0, 0, time.UTC)

// Generate makes the lives of n applications. One seed always gives the same lives, and more of them begin with the
// same ones.
func Generate(seed uint64, n int) ([]Life, error) {
	lives, bank := make([]Life, n), newBank(seed)
	for i := range lives {
		var err error
		if lives[i], err = bank.next(); err != nil {
			return nil, err
		}
	}
	return lives, nil
}

// bank makes one life after the other, without end.
type bank struct {
	seed    uint64
	source  *rand.ChaCha8
	arrival time.Time // of the last applicant
	count   int
}

func newBank(seed uint64) *bank {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &bank{seed: seed, source: rand.NewChaCha8(key), arrival: opening}
}

func (b *bank) next() (Life, error) {
	b.count++
	b.arrival = b.arrival.Add(time.Duration(b.source.Uint64()%40) * time.Minute)
	a := newApplicant(event.Stream(Kind, fmt.Sprintf("%d-%04d", b.seed, b.count)), b.arrival, b.source)
	a.live()
	if a.err != nil {
		return Life{}, fmt.Errorf("generate %s: %w", a.life.Stream, a.err)
	}
	return a.life, nil
}

// applicant lives one life. The first error ends all further steps.
type applicant struct {
	life  Life
	clock *simulated
	ids   *event.IDs
	dice  *rand.Rand
	clerk event.ActorID // who looks after the application
	err   error
}

// simulated is a clock that only moves when it is told to.
type simulated struct{ now time.Time }

func (c *simulated) Now() time.Time { return c.now }

// After passes the time at once.
func (c *simulated) After(d time.Duration) <-chan time.Time {
	c.now = c.now.Add(d)
	passed := make(chan time.Time, 1)
	passed <- c.now
	return passed
}

func newApplicant(stream event.StreamID, arrival time.Time, source *rand.ChaCha8) *applicant {
	clock := &simulated{arrival}
	dice := rand.New(source)
	// Of twenty clerks some work more than others.
	clerk := event.ActorID(fmt.Sprint(firstClerk + min(dice.IntN(clerks), dice.IntN(clerks))))
	return &applicant{
		life: Life{Stream: stream}, clock: clock, ids: event.NewIDs(clock, source), dice: dice, clerk: clerk,
	}
}

// live plays the whole life. Each branch ends where nothing more happens.
func (a *applicant) live() {
	amount := 1000 * (2 + a.dice.IntN(20)*a.dice.IntN(4))
	purpose := []string{"car", "home", "travel", "studies", "debts"}[a.dice.IntN(5)]
	by := System // over the web site
	if a.chance(0.2) {
		by = a.clerk // at a branch
	}
	start := a.step(0, by, -1, Registered, fmt.Sprintf(`{"amount":%d,"purpose":%q}`, amount, purpose))
	if a.chance(0.03) {
		return // never handed in
	}
	submitted := a.step(a.between(2, 25), by, start, Submitted, `{}`)
	score := 300 + a.dice.IntN(300) + a.dice.IntN(300)
	scored := a.step(1, System, submitted, Scored, fmt.Sprintf(`{"score":%d}`, score))
	switch {
	case score < 450:
		a.step(1, System, scored, Declined, `{"reason":"score"}`)
	case score > 780 && amount <= 10_000:
		a.bargain(a.step(1, System, scored, Offered, offer(amount, "4.9")), amount)
	default:
		a.examine(scored, score, amount)
	}
}

// examine is what a clerk does with an application that is neither hopeless nor easy.
func (a *applicant) examine(scored, score, amount int) {
	complete := fmt.Sprintf(`{"complete":%t}`, a.chance(0.9))
	checked := a.step(a.between(60, 3000), a.clerk, scored, Checked, complete)
	if a.chance(0.45 - float64(score-450)/1000) {
		a.step(a.between(5, 200), a.clerk, checked, Declined, `{"reason":"documents"}`)
		return
	}
	a.bargain(a.step(a.between(10, 600), a.clerk, checked, Offered, offer(amount, "6.4")), amount)
}

// bargain goes on from an offer: calls until the customer is reached, who accepts, cancels or wants a better offer.
func (a *applicant) bargain(offered, amount int) {
	for round := 0; ; round++ {
		last := offered
		for reached := false; !reached; {
			if a.chance(0.1) {
				a.step(30*24*60, System, offered, Cancelled, `{"reason":"no_answer"}`)
				return
			}
			reached = a.chance(0.6)
			call := fmt.Sprintf(`{"reached":%t}`, reached)
			last = a.step(a.between(200, 4000), a.clerk, last, Called, call)
		}
		switch {
		case a.chance(0.6):
			a.step(a.between(10, 4000), a.clerk, last, Accepted, fmt.Sprintf(`{"amount":%d}`, amount))
			return
		case round == 2 || a.chance(0.4):
			a.step(a.between(10, 900), a.clerk, last, Cancelled, `{"reason":"customer"}`)
			return
		case a.chance(0.05):
			return // still thinking
		}
		amount = amount * 9 / 10
		offered = a.step(a.between(60, 1500), a.clerk, last, Offered, offer(amount, "5.9"))
	}
}

func offer(amount int, rate string) string {
	return fmt.Sprintf(`{"amount":%d,"rate":%q}`, amount, rate)
}

// step adds an event that happens some minutes after the one before, and returns its index.
func (a *applicant) step(minutes int, by event.ActorID, cause int, typ, data string) int {
	a.clock.now = a.clock.now.Add(time.Duration(minutes) * time.Minute)
	id, err := a.ids.Next()
	if a.err == nil {
		a.err = err
	}
	d := event.Draft{ID: id, Type: typ, OccurredAt: a.clock.now, Data: []byte(data)}
	if cause < 0 {
		d.Correlation = id.String() // the consequences inherit it
	}
	a.life.Steps = append(a.life.Steps, Step{Actor: by, Cause: cause, Draft: d})
	return len(a.life.Steps) - 1
}

func (a *applicant) chance(p float64) bool { return a.dice.Float64() < p }

func (a *applicant) between(low, high int) int { return low + a.dice.IntN(high-low) }
