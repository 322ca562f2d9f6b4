// Package pgkeys keeps the wrapped keys of a store, and the record of every use of personal data, in a PostgreSQL
// database (15 or newer), which several processes may use at once.
//
//	keys, err := pgkeys.Open(ctx, "postgres://lethe@keys.example.org/keys?schema=loans", nil)
//	defer keys.Close()
//
// The address is one of a log (package postgres), and may be the same one: tables of a keystore begin with key. A
// database of its own is better, because its backups must expire sooner than those of the log: an old backup of both
// opens what was erased since.
//
// Two rows order the processes: who changes keys locks the one of table keystore, who records uses the one of table
// key_uses. Under the lock it reads what is there, decides, writes and commits, so that of two who create the same
// thing the second sees the first's, and numbers of uses follow each other without a gap. What many goroutines ask for
// meanwhile goes into one transaction (queue.go). A commit is never cancelled; where nobody heard how it ended, the
// next one under the lock sees it (fateOf in plan.go, found in uses.go).
//
// Uses are found by an inverted index (storage/postings) of persons, actors and purposes. Commits do not wait for it:
// whichever process has the lease writes segments of it from the stored uses, and the newest uses, which no segment
// covers yet, are read one by one. docs/format/postgres.md specifies the tables.
package pgkeys

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// Options of a keystore; nil means the defaults.
type Options struct {
	Clock    event.Clock   // nil: the machine's; paces retries and the index
	Patience time.Duration // how long a call waits for a database that is away; 0: 10 s
	Timeout  time.Duration // after which a database that does not answer a commit is given up; 0: 30 s
	Flush    int           // bytes of uses between two segments of their index; 0: 2 MiB
	Create   bool          // a keystore that is not there is made; otherwise it is event.ErrNotFound
}

// Keystore is a keystore in a database. Safe for concurrent use.
type Keystore struct {
	address pglink.Address
	calls   pglink.Calls
	flush   int
	pool    *pgxpool.Pool // everything but what the two writers do
	changes *writer[*keyChanges]
	uses    *writer[*newUses]

	tended usesIndex // as of which there was nothing to do for the index; only tend uses it

	stop context.CancelFunc
	jobs sync.WaitGroup
}

var _ storage.Keystore = (*Keystore)(nil)

// Open opens the keystore at an address; see Options.Create. A database that is not as it must be is refused as by
// postgres.Open.
func Open(ctx context.Context, address string, o *Options) (*Keystore, error) {
	k, err := open(ctx, address, o)
	if err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	return k, nil
}

func open(ctx context.Context, text string, o *Options) (*Keystore, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.fill()
	a, err := pglink.Parse(text)
	if err != nil {
		return nil, err
	}
	k := &Keystore{address: a, flush: opts.Flush}
	k.calls = pglink.Calls{Clock: opts.Clock, Patience: opts.Patience}
	k.calls.Context, k.stop = context.WithCancel(context.WithoutCancel(ctx))
	k.changes = newWriter[*keyChanges](&k.calls, pglink.NewLink(a, opts.Clock, opts.Timeout))
	k.uses = newWriter[*newUses](&k.calls, pglink.NewLink(a, opts.Clock, opts.Timeout))
	if err := k.prepare(ctx, &opts); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	k.jobs.Go(func() { k.changes.run(writeChanges) })
	k.jobs.Go(func() { k.uses.run(writeUses) })
	k.jobs.Go(k.tend)
	return k, nil
}

func (o *Options) fill() {
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Flush <= 0 {
		o.Flush = 2 << 20
	}
}

// prepare checks the database and brings its tables to the newest format.
func (k *Keystore) prepare(ctx context.Context, o *Options) error {
	conn, err := k.changes.link.Connect(ctx)
	if err != nil {
		return pglink.Classify(err)
	}
	if err := tables.Check(ctx, conn, o.Clock); err != nil {
		return err
	}
	nothing := func(context.Context, pgx.Tx) error { return nil }
	if err := tables.Migrate(ctx, conn, k.address.Schema, o.Create, nothing); err != nil {
		return err
	}
	if k.pool, err = k.address.Pool(k.calls.Context); err != nil {
		return err
	}
	return k.calls.Try(ctx, k.pool.Ping)
}

// Close waits for commits in progress and ends every other call.
func (k *Keystore) Close() error {
	k.stop()
	k.changes.close()
	k.uses.close()
	k.jobs.Wait()
	k.changes.link.Close()
	k.uses.link.Close()
	if k.pool != nil {
		k.pool.Close()
	}
	return nil
}
