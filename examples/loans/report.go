package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

// Report is a read model in memory: what the events of the store say about the bank's work. It is a follower, so it
// keeps itself up to date; reading the whole store into a new one gives the same.
type Report struct {
	mu       sync.Mutex
	moved    chan struct{} // closed and replaced when position moves
	position event.Position
	lives    map[event.StreamID]*standing
	busy     map[string]int // events by employee, as the log names them
}

// standing is what the report knows of one application.
type standing struct {
	registered, decided time.Time
	outcome             string // type of the deciding event; empty: open
	decider             string // employee who decided
}

var _ follow.Follower = (*Report)(nil)

// NewReport is a report that has seen nothing.
func NewReport() *Report {
	return &Report{moved: make(chan struct{}), lives: make(map[event.StreamID]*standing), busy: make(map[string]int)}
}

// Name names the follower.
func (r *Report) Name() string { return "loans.report" }

// Filter takes what happens to applications.
func (r *Report) Filter() event.Filter { return event.Filter{{Kinds: []string{demo.Kind}}} }

// Apply takes events in. Those it has seen may come again.
func (r *Report) Apply(_ context.Context, b follow.Batch) error {
	r.Take(b.Events...)
	return nil
}

// Take takes events in, in order of position.
func (r *Report) Take(events ...event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range events {
		if e := &events[i]; e.Position > r.position {
			r.take(e)
			r.position = e.Position
		}
	}
	close(r.moved)
	r.moved = make(chan struct{})
}

func (r *Report) take(e *event.Event) {
	issuer := issuerOf(e)
	r.busy[issuer]++
	s := r.lives[e.Stream]
	if s == nil {
		s = new(standing)
		r.lives[e.Stream] = s
	}
	switch e.Type {
	case demo.Registered:
		s.registered = e.OccurredAt
	case demo.Accepted, demo.Declined, demo.Cancelled:
		s.decided, s.outcome, s.decider = e.OccurredAt, e.Type, issuer
	}
}

func issuerOf(e *event.Event) string {
	for _, r := range e.Relations {
		if r.Role == event.RoleIssuer {
			return r.ID
		}
	}
	return ""
}

// Reached waits until the report knows the event at position p.
func (r *Report) Reached(ctx context.Context, p event.Position) error {
	for {
		r.mu.Lock()
		reached, moved := r.position >= p, r.moved
		r.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for the report: %w", context.Cause(ctx))
		}
	}
}

// Summary is the report in figures. Equal summaries are equal reports.
type Summary struct {
	Applications int
	Outcomes     map[string]int           // by deciding event; "" are open
	Median       map[string]time.Duration // from registration to decision, by deciding event
	Automatic    int                      // decided by the system
	Busiest      []Employee
}

// Employee is how much one employee did.
type Employee struct {
	Number string
	Events int
}

// Summary adds up what the report knows. The bank's own program is the employee system, as the log names it.
func (r *Report) Summary(system string) Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Summary{
		Applications: len(r.lives), Outcomes: make(map[string]int), Median: make(map[string]time.Duration),
	}
	taken := make(map[string][]time.Duration)
	for _, l := range r.lives {
		s.Outcomes[l.outcome]++
		if l.outcome != "" && l.decider == system {
			s.Automatic++
		}
		if l.outcome != "" {
			taken[l.outcome] = append(taken[l.outcome], l.decided.Sub(l.registered))
		}
	}
	for outcome, times := range taken {
		slices.Sort(times)
		s.Median[outcome] = times[len(times)/2]
	}
	for _, number := range slices.Sorted(maps.Keys(r.busy)) {
		s.Busiest = append(s.Busiest, Employee{number, r.busy[number]})
	}
	slices.SortStableFunc(s.Busiest, func(a, b Employee) int { return cmp.Compare(b.Events, a.Events) })
	s.Busiest = s.Busiest[:min(len(s.Busiest), 5)]
	return s
}

// Print writes the report as a small table.
func (s Summary) Print(w io.Writer) {
	fmt.Fprintf(w, "  %-14s %6s %7s   %-24s %s\n", "outcome", "", "", "", "median time to decision")
	for _, o := range []struct{ typ, name string }{
		{demo.Accepted, "accepted"}, {demo.Declined, "declined"}, {demo.Cancelled, "cancelled"}, {"", "still open"},
	} {
		n := s.Outcomes[o.typ]
		share := float64(n) / float64(max(s.Applications, 1))
		took := ""
		if median, ok := s.Median[o.typ]; ok {
			took = spell(median)
		}
		line := fmt.Sprintf("  %-14s %6d %6.1f%%   %-24s %s", o.name, n, 100*share, bar(share, 48), took)
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	decided := s.Applications - s.Outcomes[""]
	fmt.Fprintf(w, "\n  busiest employees    %s\n", join(s.Busiest))
	fmt.Fprintf(w, "  nobody looked at     %d of %d decisions (issuer employee/%s is the bank's own program)\n",
		s.Automatic, decided, demo.System)
}

// bar draws a share of one as up to width half blocks.
func bar(share float64, halves int) string {
	n := int(share*float64(halves) + 0.5)
	return strings.Repeat("█", n/2) + strings.Repeat("▌", n%2)
}

func join(employees []Employee) string {
	var parts []string
	for _, e := range employees {
		parts = append(parts, fmt.Sprintf("%s (%d)", e.Number, e.Events))
	}
	return strings.Join(parts, " · ")
}

// spell writes a duration in the two units that matter.
func spell(d time.Duration) string {
	switch minutes := int(d.Minutes()); {
	case minutes >= 24*60:
		return fmt.Sprintf("%d d %d h", minutes/(24*60), minutes/60%24)
	case minutes >= 60:
		return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
	default:
		return fmt.Sprintf("%d min", minutes)
	}
}
