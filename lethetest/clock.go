package lethetest

import (
	"slices"
	"sync"
	"time"
)

// Clock is an event.Clock that moves only by Advance. It begins on 1 January 2026, 12:00 UTC. Safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	alarms []alarm
}

type alarm struct {
	at time.Time
	c  chan time.Time
}

// NewClock is a clock that stands still.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the time it was advanced to.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After sends once the clock was advanced by d; at once when d is not above 0.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := alarm{at: c.now.Add(d), c: make(chan time.Time, 1)}
	c.alarms = append(c.alarms, a)
	c.ring()
	return a.c
}

// Advance moves the clock on, or back for a negative d, and wakes who waited for less.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.ring()
}

func (c *Clock) ring() {
	c.alarms = slices.DeleteFunc(c.alarms, func(a alarm) bool {
		due := !a.at.After(c.now)
		if due {
			a.c <- c.now
		}
		return due
	})
}
