// Package pglink reaches a PostgreSQL server: it reads addresses, opens connections, checks that server, database and
// user are what a store needs, and gives the server's errors our words.
//
//	a, err := pglink.Parse("postgres://lethe@db.example.org/lethe?schema=loans")
//	link := pglink.NewLink(a, clock, timeout)
//	conn, err := link.Connect(ctx)
//	err = tables.Check(ctx, conn, clock)
//	err = tables.Migrate(ctx, conn, a.Schema, create, fill)
//
// A Link is the one connection by which a process writes: its commits are never cancelled, and where nobody heard how
// one ended, that is said. Calls tries again what failed for want of a connection. What a store holds is its own
// affair; what it says of its tables is a Tables.
package pglink

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/event"
)

// Dial opens a connection that is only ever closed, never cancelled: the library would ask the server to cancel what
// runs when a connection breaks, and a COMMIT that is cancelled while it waits for a replica becomes visible without
// being on the replica.
func (a Address) Dial(ctx context.Context, params map[string]string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(a.Text)
	if err != nil {
		return nil, event.Invalid("malformed_address", "read address %s: the database library does not understand it",
			a.place)
	}
	a.configure(c)
	for name, value := range params {
		c.RuntimeParams[name] = value
	}
	var connected atomic.Bool
	through := c.DialFunc
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if connected.Load() {
			return nil, errors.New("nothing is cancelled")
		}
		return through(ctx, network, addr)
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	connected.Store(true)
	if err := durable(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.PgConn().Conn().Close())
	}
	return conn, nil
}

// durable makes commits of a connection wait for the disk, whatever the server's setting; what waits for more, as for
// a replica, stays so.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') IN ('off', 'local')`)
	return err
}

// Pool opens the connections of everything but commits.
func (a Address) Pool(ctx context.Context) (*pgxpool.Pool, error) {
	c, err := a.pool()
	if err != nil {
		return nil, err
	}
	c.AfterConnect = durable
	return pgxpool.NewWithConfig(ctx, c)
}

// Querier is a connection, a transaction or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
