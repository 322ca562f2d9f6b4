package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lethe-es/lethe/keyring"
)

// KeysOptions say how many people a keystore holds. Zero means the default.
type KeysOptions struct {
	People    int           // 0: 1,000,000
	Clients   int           // who append before and while the epoch is rolled; 0: 64
	Duration  time.Duration // of the appends before; 0: 5 s
	Payload   int           // bytes of data in each event
	Relations int
}

// KeysResult is how a keystore does with many people.
type KeysResult struct {
	Bench string `json:"bench"`
	Machine
	People      int     `json:"people"`
	PeoplePer   float64 `json:"people_per_second"` // made known, by 500, with a key for each of two groups
	PersonBytes float64 `json:"bytes_per_person"`
	Warm        float64 `json:"warm_key_us"` // for a key that is in memory, in calls of 1,000; median of five passes
	Cold        float64 `json:"cold_key_us"` // of people whose keyrings are on disk, anywhere in it
	Before      Latency `json:"append"`      // of one event with two sealed values
	BeforePer   float64 `json:"append_events_per_second"`
	During      Latency `json:"append_during_roll"`
	DuringPer   float64 `json:"append_during_roll_events_per_second"`
	Roll        float64 `json:"roll_seconds"` // of the epoch, while others append
	Moved       int     `json:"roll_people"`  // moved by it
	Interrupted bool    `json:"interrupted"`
}

// warmPeople are as many as a keeper has in memory, and some less.
const warmPeople = 20_000

// Keys makes many people known in a new store, asks for their keys, and begins a new epoch while others append.
func (b *Bench) Keys(ctx context.Context, k KeysOptions) (*KeysResult, error) {
	o := Options{Clients: positive(k.Clients, 64), Payload: k.Payload, Relations: k.Relations, Personal: len(groups()),
		Subjects: positive(k.People, 1_000_000), Duration: k.Duration}.defaults()
	o.Streams = max(o.Streams, o.Clients)
	if err := o.check(b); err != nil {
		return nil, err
	}
	r := &KeysResult{Bench: "keys", Machine: machine(), People: o.Subjects}
	err := b.with(ctx, &o, func(t *target) error {
		people, err := b.people(ctx, t, &o)
		if err != nil {
			return err
		}
		r.PeoplePer, r.PersonBytes = people.PeoplePer, people.PersonBytes
		if err := b.lookUp(ctx, t, &o, r); err != nil {
			return err
		}
		if r.Interrupted = ctx.Err() != nil; r.Interrupted {
			return nil
		}
		return b.roll(ctx, t, &o, r)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// lookUp measures how long a key takes that is in memory, and one that is not.
func (b *Bench) lookUp(ctx context.Context, t *target, o *Options, r *KeysResult) error {
	dice := rand.New(rand.NewPCG(1, 3))
	var wants []keyring.OpenWant
	first := dice.IntN(max(1, o.Subjects-warmPeople))
	for at := first; at < min(o.Subjects, first+warmPeople); at += atOnce {
		more, err := t.keys(ctx, at, min(o.Subjects, at+atOnce))
		if err != nil {
			return err
		}
		wants = append(wants, more...)
	}
	var err error
	t.Keeper().Forget(nil)
	if r.Cold, err = b.ask(ctx, t, wants); err != nil {
		return err
	}
	var passes [5]float64
	for i := range passes {
		dice.Shuffle(len(wants), func(i, j int) { wants[i], wants[j] = wants[j], wants[i] })
		if passes[i], err = b.ask(ctx, t, wants); err != nil {
			return err
		}
	}
	slices.Sort(passes[:])
	r.Warm = passes[len(passes)/2]
	return nil
}

// ask asks for keys in calls of 1,000, and returns the µs that each takes.
func (b *Bench) ask(ctx context.Context, t *target, wants []keyring.OpenWant) (float64, error) {
	opened := make([]keyring.Opened, 1000)
	defer clear(opened)
	begin := b.Clock.Now()
	for rest := wants; len(rest) > 0; {
		n := min(len(rest), len(opened))
		if err := t.Keeper().ForOpening(ctx, rest[:n], opened); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return per(float64(b.Clock.Now().Sub(begin).Nanoseconds())/1e3, float64(len(wants))), nil
}

// roll lets clients append, then begins an epoch while they go on until it is there.
func (b *Bench) roll(ctx context.Context, t *target, o *Options, r *KeysResult) error {
	m, err := b.appendAll(ctx, t, o)
	if err != nil {
		return err
	}
	r.Before, r.BeforePer = m.latency.latency(), per(float64(m.events), m.elapsed.Seconds())
	head, err := t.Head(ctx)
	if err != nil {
		return err
	}
	t.start = head.Position // streams begin anew
	var rolled keyring.Rolled
	done := make(chan error, 1)
	whole, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		begin := b.Clock.Now()
		var err error
		rolled, err = t.Keeper().Roll(ctx, nil)
		r.Roll = b.Clock.Now().Sub(begin).Seconds()
		stop()
		done <- err
	}()
	long := *o
	long.Duration = 24 * time.Hour
	m, err = b.appendAll(whole, t, &long)
	if rolling := <-done; err == nil {
		err = rolling
	}
	if ctx.Err() != nil {
		r.Interrupted, err = true, nil
	}
	if err != nil {
		return err
	}
	r.During, r.DuringPer, r.Moved = m.latency.latency(), per(float64(m.events), m.elapsed.Seconds()), rolled.Keyrings
	return nil
}
