package postgres

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/lethe-es/lethe/event"
)

// poll is how often the head is asked for while someone waits and nothing is heard.
const poll = 500 * time.Millisecond

// waiting wakes who waits for the head to move.
type waiting struct {
	mu       sync.Mutex
	position event.Position // the furthest head this process heard of
	moved    chan struct{}  // closed when the head moves or the store closes, then replaced
	closed   bool
}

func newWaiting() *waiting { return &waiting{moved: make(chan struct{})} }

// reached says that the head is at least at a position.
func (w *waiting) reached(p event.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p <= w.position || w.closed {
		return
	}
	w.position = p
	close(w.moved)
	w.moved = make(chan struct{})
}

func (w *waiting) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		close(w.moved)
	}
}

func (w *waiting) state() (event.Position, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position, w.moved
}

// Wait returns when the head is beyond after. It hears of this process's commits at once, of others' by a notification
// or, if that is lost, by asking.
func (s *Store) Wait(ctx context.Context, after event.Position) error {
	for {
		if err := s.usable(ctx); err != nil {
			return fmt.Errorf("wait for position %d: %w", after+1, err)
		}
		position, moved := s.waiting.state()
		if position > after {
			return nil
		}
		select {
		case <-moved:
		case <-s.clock.After(poll):
			if _, err := s.refresh(ctx); err != nil {
				return fmt.Errorf("wait for position %d: %w", after+1, err)
			}
		case <-ctx.Done():
		}
	}
}

// channel is the name under which commits of a store are notified.
func (s *Store) channel() string { return "lethe_" + s.address.schema }

// listen hears of other processes' commits until the store closes. It does without while there is no connection.
func (s *Store) listen() {
	for s.ctx.Err() == nil {
		_ = s.hear(s.ctx) // the head is asked for meanwhile
		select {
		case <-s.clock.After(poll):
		case <-s.ctx.Done():
		}
	}
}

// hear listens on a connection of its own until it breaks.
func (s *Store) hear(ctx context.Context) error {
	conn, err := dial(ctx, s.address, nil)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+s.channel()); err != nil {
		return err
	}
	if _, err := s.refresh(ctx); err != nil { // what came before the connection was there
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		heard, err := strconv.ParseUint(n.Payload, 10, 64)
		if known, _ := s.waiting.state(); err != nil || event.Position(heard) <= known {
			continue // of this process, or nothing we say
		}
		if _, err := s.refresh(ctx); err != nil { // what is heard is a hint: anyone who may connect can notify
			return err
		}
	}
}
