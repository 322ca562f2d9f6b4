package kmstest

import (
	"sync"
	"time"
)

// Clock is a clock that a test moves. What waits on it waits until the test has moved it far enough.
type Clock struct {
	mu      sync.Mutex
	now     time.Time
	waiting map[chan time.Time]time.Time
	asked   chan time.Duration
}

// NewClock makes a clock that stands still.
func NewClock(now time.Time) *Clock {
	return &Clock{now: now, waiting: map[chan time.Time]time.Time{}, asked: make(chan time.Duration, 1024)}
}

// Now is where the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After is sent once the clock has been moved by d.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	c.waiting[ch] = c.now.Add(d)
	select {
	case c.asked <- d:
	default:
	}
	return ch
}

// Asked gives each duration that somebody began to wait for.
func (c *Clock) Asked() <-chan time.Duration { return c.asked }

// Move moves the clock, forward or back, and wakes who has waited long enough.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for ch, until := range c.waiting {
		if !until.After(c.now) {
			ch <- c.now
			delete(c.waiting, ch)
		}
	}
}
