package pglink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/event"
)

// Link is the one connection by which a process writes to a store. It is opened when it is needed and again when it
// broke. Only one goroutine may use it at a time.
type Link struct {
	address Address
	timeout time.Duration
	clock   event.Clock
	conn    *pgx.Conn
	server  atomic.Uint32
}

// NewLink makes a link that is not open yet. A database that does not answer it for timeout is given up.
func NewLink(a Address, clock event.Clock, timeout time.Duration) *Link {
	return &Link{address: a, timeout: timeout, clock: clock}
}

// Connect gives the connection.
func (l *Link) Connect(ctx context.Context) (*pgx.Conn, error) {
	if l.Connected() {
		return l.conn, nil
	}
	conn, err := l.address.Dial(ctx, map[string]string{
		// A process that vanished while it held a lock must not keep the others waiting.
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

// Connected tells whether there is a connection that is not known to be broken.
func (l *Link) Connected() bool { return l.conn != nil && !l.conn.IsClosed() }

// Server is the process of the server behind the latest connection, as its notifications name it. Any goroutine may
// ask.
func (l *Link) Server() uint32 { return l.server.Load() }

// Drop gives up the connection. The server ends its transaction, whichever way it was going.
func (l *Link) Drop() {
	if l.conn != nil {
		l.conn.PgConn().Conn().Close() // not Close: that would wait for the server
		l.conn = nil
	}
}

// Close says goodbye.
func (l *Link) Close() {
	if l.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.conn.Close(ctx) // the server notices anyway
		l.conn = nil
	}
}

// Watch closes the connection if done is not called in time: no deadline of a context may reach a COMMIT, because the
// library would cancel it.
func (l *Link) Watch() (done func()) {
	finished := make(chan struct{})
	raw := l.conn.PgConn().Conn()
	after := l.clock.After(l.timeout)
	go func() {
		select {
		case <-finished:
		case <-after:
			raw.Close()
		}
	}()
	return func() { close(finished) }
}

// Rollback ends a transaction that shall change nothing.
func (l *Link) Rollback() {
	if l.conn == nil {
		return
	}
	if _, err := l.conn.Exec(context.Background(), "ROLLBACK"); err != nil {
		l.Drop() // the server rolls back what nobody commits
	}
}

// Commit does what is queued, and COMMIT, and never cancels it. Its error is event.ErrUnknown if nobody can say whether
// that was done; after any other nothing was.
func (l *Link) Commit(b *pgx.Batch) error {
	last := b.Len()
	b.Queue("COMMIT")
	results := l.conn.SendBatch(context.Background(), b)
	var err error
	done := 0
	for ; done <= last && err == nil; done++ {
		tag, failed := results.Exec()
		if err = failed; err == nil && done == last && tag.String() != "COMMIT" {
			err = errRolledBack
		}
	}
	if closing := results.Close(); err == nil {
		err = closing
	}
	switch {
	case err == nil:
		return nil
	case Answered(err) || errors.Is(err, errRolledBack):
		l.Rollback()
		return err
	}
	l.Drop()
	if pgconn.SafeToRetry(err) { // not a byte of it was sent
		return err
	}
	return fmt.Errorf("%w: %w", event.ErrUnknown, Classify(err))
}

var errRolledBack = event.Errorf(event.ErrUnavailable, "write store: the database rolled the transaction back").
	Hint("try again")
