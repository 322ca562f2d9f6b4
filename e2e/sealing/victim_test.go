package sealing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// A victim works in a folder until it is killed, and tells one line for each answer it gets, in one write each:
//
//	say WORD                             what it was told to say
//	opened                               the store is open, and what is personal declared
//	try NUMBER CUSTOMER SPOUSE GUEST     this card is about to be appended
//	ack NUMBER                           it was
//	used REASON                          an opening for this reason released something
//	restricted CUSTOMER RESTRICTION      identity of a customer is restricted
//	rolled                               another epoch holds
type speaker struct{ mu sync.Mutex }

func (s *speaker) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stdout.Write(fmt.Appendf(nil, format+"\n", args...)); err != nil {
		os.Exit(3)
	}
}

// worker is a victim at work.
type worker struct {
	*process
	speaker
	run int
}

// victim is the process that is killed.
func victim(ctx context.Context, _ string) int {
	run, err := strconv.Atoi(os.Getenv("LETHE_SEALING_RUN"))
	if err != nil {
		panic("a victim was started without its orders")
	}
	site, err := siteAt(ctx, os.Getenv("LETHE_SEALING_DIR"), os.Getenv("LETHE_SEALING_ADDRESS"), event.SystemClock{})
	w := &worker{run: run}
	w.tell("say %s", os.Getenv("LETHE_SEALING_SAY"))
	if err == nil {
		w.process, err = site.open(ctx, nil)
	}
	if err == nil {
		err = declare(ctx, w.process)
	}
	if err == nil {
		w.tell("opened")
		err = w.storm(ctx)
	}
	fmt.Fprintln(os.Stderr, err)
	return 9
}

// storm does everything at once.
func (w *worker) storm(ctx context.Context) error {
	ended := make(chan error)
	for n := range 3 {
		go func() { ended <- w.append(ctx, n) }()
	}
	go func() { ended <- w.restrict(ctx) }()
	return <-ended
}

// card is what a worker appends: about persons who are new to all workers at the same time, and such that are known.
func (w *worker) card(n, sequence int) card {
	fresh := 100 + w.run*300 + sequence/2
	return card{number: w.run<<20 | n<<16 | sequence, customer: fresh, spouse: sequence % 5, guest: fresh + 1}
}

// append appends cards one by one, and opens what it appended.
func (w *worker) append(ctx context.Context, n int) error {
	for sequence := 1; ; sequence++ {
		c := w.card(n, sequence%600)
		if err := w.submit(ctx, c); err != nil {
			return err
		}
		o := all(fmt.Sprintf("case %d-%d-%d", w.run, n, sequence))
		shown := 0
		for e, err := range w.For(o).Read(ctx, c.stream(), lethe.Range{}) {
			if err == nil {
				err = whole(&e)
			}
			if err != nil {
				return err
			}
			shown++
		}
		if shown == 0 {
			return errors.New("what was appended is not read")
		}
		w.tell("used %s", o.Reason)
		if n == 0 && sequence == 20 {
			if _, err := w.Keeper().Roll(ctx, nil); err != nil {
				return err
			}
			w.tell("rolled")
		}
	}
}

func (w *worker) submit(ctx context.Context, c card) error {
	w.tell("try %d %d %d %d", c.number, c.customer, c.spouse, c.guest)
	if _, err := w.As(event.Actor{}).AppendAll(ctx, one(c.stream(), c.draft())); err != nil {
		return err
	}
	w.tell("ack %d", c.number)
	return nil
}

// restrict restricts customers of its own, one after the other.
func (w *worker) restrict(ctx context.Context) error {
	for sequence := 1; ; sequence++ {
		c := card{number: w.run<<20 | 9<<16 | sequence%600, customer: 50_000 + w.run*100 + sequence%100, spouse: 1, guest: 2}
		if err := w.submit(ctx, c); err != nil {
			return err
		}
		krid, err := w.Privacy().Subject(ctx, "customer", who(c.customer))
		if err != nil {
			return err
		}
		result, err := w.Privacy().Record(ctx, event.Actor{}, event.ID{}, policy.SubjectRestricted{Principal: krid,
			Groups: []string{"identity"}, Ground: policy.AccuracyContested})
		if err != nil {
			return err
		}
		w.tell("restricted %d %s", c.customer, result.Events[0].ID)
	}
}
