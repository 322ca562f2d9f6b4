package kmstest

import (
	"context"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Fault is what happens to calls of a Faulty service.
type Fault uint8

// The faults.
const (
	Well       Fault = iota // calls reach the service
	Down                    // the service cannot be asked; nothing was done
	Held                    // calls wait until another fault is set or their context ends: a service that is slow
	Denying                 // the service refuses this caller
	NoMount                 // there is no such service at this place
	Elsewhere               // calls reach another service of the same kind, which has none of the keys
	AnswerLost              // the service does what it is told, and the answer does not arrive
)

// Faulty is a key service between a caller and a real one, with the faults a test asks for. It is for many goroutines.
type Faulty struct {
	service, other kms.KMS

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed when the fault is set anew
	lost    map[string]bool
	counts  map[string]int
	arrived chan struct{}
}

// NewFaulty puts faults in front of a service; there are none at first.
func NewFaulty(service kms.KMS) *Faulty {
	return &Faulty{
		service: service, other: newMemory(), changed: make(chan struct{}), lost: map[string]bool{},
		counts: map[string]int{}, arrived: make(chan struct{}, 1024),
	}
}

// Set is what all calls meet from now on. Calls that are held meet it as well.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	close(f.changed)
	f.changed = make(chan struct{})
}

// Lose makes the service forget a key, or remember it again. It is then missing, not destroyed.
func (f *Faulty) Lose(name string, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[name] = lost
}

// Calls counts the calls of a method so far, such as "Unwrap", whatever became of them.
func (f *Faulty) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[method]
}

// Arrived gives one value for each call that is being held.
func (f *Faulty) Arrived() <-chan struct{} { return f.arrived }

// meet counts a call and gives the service it reaches, or its error. after turns the outcome into what arrives.
func (f *Faulty) meet(ctx context.Context, method, name string) (to kms.KMS, after func(error) error, err error) {
	what := "call key service (" + method + ")"
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[method]++
	for f.fault == Held {
		changed := f.changed
		f.mu.Unlock()
		select {
		case f.arrived <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		f.mu.Lock()
		if ctx.Err() != nil {
			return nil, nil, ended(what, ctx)
		}
	}
	after = func(err error) error { return err }
	switch f.fault {
	case Down:
		return nil, nil, kms.Unavailable(what, "the service is down")
	case Denying:
		return nil, nil, kms.Denied(what, "the service refuses this caller")
	case NoMount:
		return nil, nil, kms.MountMissing(what, "there is no such mount")
	case Elsewhere:
		return f.other, after, nil
	case AnswerLost:
		after = func(error) error { return kms.Unavailable(what, "the answer was lost") }
	}
	if f.lost[name] {
		return nil, nil, kms.Missing(name)
	}
	return f.service, after, nil
}

// Create passes on.
func (f *Faulty) Create(ctx context.Context, name string) error {
	to, after, err := f.meet(ctx, "Create", name)
	if err != nil {
		return err
	}
	return after(to.Create(ctx, name))
}

// Wrap passes on.
func (f *Faulty) Wrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	to, after, err := f.meet(ctx, "Wrap", name)
	if err != nil {
		return nil, err
	}
	out, err := to.Wrap(ctx, name, items)
	if err = after(err); err != nil {
		return nil, err
	}
	return out, nil
}

// Unwrap passes on.
func (f *Faulty) Unwrap(ctx context.Context, name string, items []kms.Item) ([][]byte, error) {
	to, after, err := f.meet(ctx, "Unwrap", name)
	if err != nil {
		return nil, err
	}
	out, err := to.Unwrap(ctx, name, items)
	if err = after(err); err != nil {
		return nil, err
	}
	return out, nil
}

// State passes on.
func (f *Faulty) State(ctx context.Context, name string) (kms.State, error) {
	to, after, err := f.meet(ctx, "State", name)
	if err != nil {
		return 0, err
	}
	state, err := to.State(ctx, name)
	if err = after(err); err != nil {
		return 0, err
	}
	return state, nil
}

// Destroy passes on.
func (f *Faulty) Destroy(ctx context.Context, name string) (kms.Destruction, error) {
	to, after, err := f.meet(ctx, "Destroy", name)
	if err != nil {
		return kms.Destruction{}, err
	}
	d, err := to.Destroy(ctx, name)
	if err = after(err); err != nil {
		return kms.Destruction{}, err
	}
	return d, nil
}

// Describe passes on.
func (f *Faulty) Describe() string { return f.service.Describe() }

var _ = []kms.KMS{(*Faulty)(nil), (*Memory)(nil)}

var _ event.Clock = (*Clock)(nil)
