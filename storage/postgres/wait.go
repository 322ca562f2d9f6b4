package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/event"
)

// poll is how often the head is asked for while someone waits and nothing is heard.
const poll = 500 * time.Millisecond

// waiting wakes who waits for the head to move.
type waiting struct {
	mu       sync.Mutex
	position event.Position // the furthest head this process knows
	moved    chan struct{}  // closed when the head moves or the store closes, then replaced
	closed   bool
	waiters  int
	heard    bool // something, while nobody waited: who comes to wait must ask
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

// hear notes that the head may have moved, and tells whether anybody wants to know now.
func (w *waiting) hear() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = w.waiters == 0
	return !w.heard
}

// enter adds a waiter; ask tells that the head must be asked for first.
func (w *waiting) enter() (ask bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters++
	ask, w.heard = w.heard, false
	return ask
}

func (w *waiting) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters--
}

func (w *waiting) state() (event.Position, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position, w.moved
}

// Wait returns when the head is beyond after. It hears of this process's commits at once, of others' by a notification
// or, if that is lost, by the listener's asking.
func (s *Store) Wait(ctx context.Context, after event.Position) error {
	if position, _ := s.waiting.state(); position > after && s.calls.Usable(ctx) == nil {
		return nil
	}
	ask := s.waiting.enter()
	defer s.waiting.leave()
	for {
		if err := s.calls.Usable(ctx); err != nil {
			return fmt.Errorf("wait for position %d: %w", after+1, err)
		}
		position, moved := s.waiting.state()
		if position > after {
			return nil
		}
		if ask {
			if _, err := s.refresh(ctx); err != nil {
				return fmt.Errorf("wait for position %d: %w", after+1, err)
			}
			ask = false
			continue
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// channel is the name under which commits of a store are notified.
func (s *Store) channel() string { return "lethe_" + s.address.Schema }

// listen hears of other processes' commits until the store closes, and asks for the head itself now and then.
func (s *Store) listen() {
	for s.ctx.Err() == nil {
		_ = s.hear(s.ctx)
		select {
		case <-s.clock.After(poll):
			s.look(s.ctx)
		case <-s.ctx.Done():
		}
	}
}

// look asks for the head if anybody waits for it to move. What fails is asked again.
func (s *Store) look(ctx context.Context) {
	if s.waiting.hear() {
		_, _ = s.refresh(ctx)
	}
}

// hear listens on a connection of its own until it breaks.
func (s *Store) hear(ctx context.Context) error {
	conn, err := s.address.Dial(ctx, nil)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+s.channel()); err != nil {
		return err
	}
	s.look(ctx) // what came before the connection was there
	for {
		n, err := s.next(ctx, conn)
		switch {
		case err != nil:
			return err
		case n != nil && n.PID == s.link.Server():
			// this process knows its own commits
		default: // what is heard is a hint: anyone who may connect can notify
			s.look(ctx)
		}
	}
}

// next is the next notification; nil: there was none for a while.
func (s *Store) next(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	short, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	n, err := conn.WaitForNotification(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil && !conn.IsClosed() {
		return nil, nil
	}
	return n, err
}
