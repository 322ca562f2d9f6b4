package postgres

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// link is the one connection of a process that writes to the log. It is opened when it is needed and again when it
// broke.
type link struct {
	address pglink.Address
	timeout time.Duration
	conn    *pgx.Conn
	server  atomic.Uint32 // process of the server behind the connection, as its notifications name it
}

func newLink(a pglink.Address, timeout time.Duration) *link {
	return &link{address: a, timeout: timeout}
}

// connect gives the connection.
func (l *link) connect(ctx context.Context) (*pgx.Conn, error) {
	if l.conn != nil && !l.conn.IsClosed() {
		return l.conn, nil
	}
	conn, err := l.address.Dial(ctx, map[string]string{
		// A process that vanished while it held the head must not keep the others waiting.
		"idle_in_transaction_session_timeout": milliseconds(l.timeout),
		"lock_timeout":                        milliseconds(l.timeout),
	})
	if err != nil {
		return nil, err
	}
	l.conn = conn
	l.server.Store(conn.PgConn().PID())
	return conn, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// drop gives up the connection. The server ends its transaction, whichever way it was going.
func (l *link) drop() {
	if l.conn != nil {
		l.conn.PgConn().Conn().Close() // not Close: that would wait for the server
		l.conn = nil
	}
}

// close says goodbye.
func (l *link) close() {
	if l.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.conn.Close(ctx) // the server notices anyway
		l.conn = nil
	}
}

// watch closes the connection if done is not called in time: no deadline of a context may reach a COMMIT, because the
// library would cancel it.
func (l *link) watch(clock event.Clock) (done func()) {
	finished := make(chan struct{})
	raw := l.conn.PgConn().Conn()
	after := clock.After(l.timeout)
	go func() {
		select {
		case <-finished:
		case <-after:
			raw.Close()
		}
	}()
	return func() { close(finished) }
}

// tries calls do until it does not fail for want of a connection, the store's patience ends, or ctx does. What do does
// must be such that it may be done twice.
func (s *Store) tries(ctx context.Context, do func(ctx context.Context) error) error {
	begin := s.clock.Now()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second/2) {
		if err := s.usable(ctx); err != nil {
			return err
		}
		err := do(ctx)
		if !pglink.Passing(err) {
			return s.explain(ctx, err)
		}
		if s.clock.Now().Sub(begin)+pause > s.patience {
			return s.explain(ctx, err)
		}
		select {
		case <-s.clock.After(pause):
		case <-ctx.Done():
			return s.explain(ctx, ctx.Err())
		case <-s.ctx.Done():
			return errClosed()
		}
	}
}

// explain is classify for calls that ended because the caller or the store ended.
func (s *Store) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return errClosed()
	}
	return pglink.Classify(err)
}
