package bench

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Run is what every measurement says about itself.
type Run struct {
	Bench       string  `json:"bench"`
	Clients     int     `json:"clients"`
	Events      uint64  `json:"events"`
	Seconds     float64 `json:"seconds"`
	EventsPer   float64 `json:"events_per_second"`
	CPU         float64 `json:"cpu_seconds"` // of the whole process, user and system
	Interrupted bool    `json:"interrupted"` // it was ended before its time
}

// Machine is what it was measured on.
type Machine struct {
	Go    string `json:"go"`
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Cores int    `json:"cores"`
}

func machine() Machine {
	return Machine{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0)}
}

// errDone ends a client that has nothing left to do.
var errDone = errors.New("done")

// measured is what clients did.
type measured struct {
	latency     histogram
	steps       uint64
	events      uint64
	elapsed     time.Duration
	cpu         float64
	interrupted bool
}

func (m *measured) run(name string, clients int) Run {
	return Run{
		Bench: name, Clients: clients, Events: m.events, Seconds: m.elapsed.Seconds(), CPU: m.cpu,
		EventsPer: per(float64(m.events), m.elapsed.Seconds()), Interrupted: m.interrupted,
	}
}

// per is n/d, and 0 where nothing was measured.
func per(n, d float64) float64 {
	if d <= 0 {
		return 0
	}
	return n / d
}

// race is clients at work at the same time.
type race struct {
	bench    *Bench
	phase    string
	clients  int
	duration time.Duration
	total    int // events at which they end by themselves; for the progress only

	// step is one piece of work, and how many events it was; errDone ends the client.
	step func(ctx context.Context, client int) (events int, err error)

	events atomic.Uint64 // for the progress only
	ended  atomic.Bool
}

// went shows that n events are done, and reports whether the time is up; a long step calls it now and then.
func (r *race) went(n int) (over bool) {
	r.events.Add(uint64(n))
	return r.ended.Load()
}

// run lets the clients work until the time is up, ctx ends, all are done, or one fails. A step that was begun is
// finished: its context does not end.
func (r *race) run(ctx context.Context) (*measured, error) {
	all, begin, cpu := new(measured), r.bench.Clock.Now(), cpuSeconds()
	errs, each := make([]error, r.clients), make([]measured, r.clients)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for c := range r.clients {
		wg.Go(func() { errs[c] = r.client(context.WithoutCancel(ctx), c, &each[c]) })
	}
	go func() {
		defer close(done)
		wg.Wait()
	}()
	all.interrupted = r.watch(ctx, begin, done)
	all.elapsed, all.cpu = r.bench.Clock.Now().Sub(begin), cpuSeconds()-cpu
	for c := range each {
		all.latency.merge(&each[c].latency)
		all.steps += each[c].steps
		all.events += each[c].events
	}
	return all, errors.Join(errs...)
}

func (r *race) client(ctx context.Context, c int, m *measured) error {
	clock := r.bench.Clock
	last := clock.Now()
	for !r.ended.Load() {
		n, err := r.step(ctx, c)
		if errors.Is(err, errDone) {
			return nil
		}
		if err != nil {
			r.ended.Store(true)
			return err
		}
		now := clock.Now()
		m.latency.add(now.Sub(last))
		last = now
		m.steps++
		m.events += uint64(n)
	}
	return nil
}

// glance is how often progress is reported.
const glance = 200 * time.Millisecond

// watch ends the race in time and reports its progress. It returns when all clients are done, and whether ctx ended
// them.
func (r *race) watch(ctx context.Context, begin time.Time, done <-chan struct{}) (interrupted bool) {
	clock, canceled := r.bench.Clock, ctx.Done()
	for {
		left := r.duration - clock.Now().Sub(begin)
		if left <= 0 {
			r.ended.Store(true)
			left = glance
		}
		select {
		case <-done:
			return interrupted
		case <-canceled:
			interrupted, canceled = true, nil
			r.ended.Store(true)
		case <-clock.After(min(left, glance)):
			r.bench.report(Progress{
				Phase: r.phase, Events: r.events.Load(), Total: uint64(r.total), Elapsed: clock.Now().Sub(begin),
			})
		}
	}
}
