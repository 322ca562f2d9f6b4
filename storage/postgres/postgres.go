// Package postgres keeps a log in a PostgreSQL database (15 or newer), which several processes may use at once.
//
//	engine, err := postgres.Open(ctx, "postgres://lethe@db.example.org/lethe?schema=loans", nil)
//	defer engine.Close()
//
// A store is a schema, named by the parameter schema of the address ("lethe" unless given); everything else in the
// address is libpq's. Each process has a sequencer of its own: a commit locks the one row of table head, so that
// commits of all processes happen one after the other, and positions follow each other without a gap. Nothing
// depends on a database sequence, on transaction ids or on time.
//
// A commit is two round trips: one that locks the head and answers the probe, one that writes and commits; a
// process that has met no other for a while guesses that it need not ask, and makes it one (guess.go). What moves
// with every commit is a row of its own in table batch, not an update: a row that is updated all the time grows
// slow as soon as anybody holds an old snapshot. That row also holds the postings of its events, from which every
// process keeps the tail of the index in memory; segments are written from it every Options.Flush events, and
// merged by whichever process has the lease. docs/format/postgres.md specifies the tables.
//
// One batch sends one NOTIFY, which wakes those who wait; the head is asked for too, so that a lost notification
// costs a moment and nothing else.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// Place is an address as a person would name it: see pglink.Place.
func Place(address string) string { return pglink.Place(address) }

// Same tells whether two addresses name one store: see pglink.Same.
func Same(a, b string) bool { return pglink.Same(a, b) }

// Options of a store; nil means the defaults.
type Options struct {
	Rand     io.Reader     // nil: crypto/rand; names a new store
	Clock    event.Clock   // nil: the machine's; paces retries and polling
	Indexed  []string      // metadata keys to index; nil: as the store has it; a change re-indexes the log
	Flush    int           // events between two segments of the index; 0: 8192
	Patience time.Duration // how long a call waits for a database that is away; 0: 10 s
	Timeout  time.Duration // after which a database that does not answer a commit is given up; 0: 30 s
	Create   bool          // a store that is not there is made; otherwise it is event.ErrNotFound
}

// Store is a log in a database. Safe for concurrent use.
type Store struct {
	address pglink.Address
	clock   event.Clock
	flush   int
	calls   pglink.Calls

	pool *pgxpool.Pool // everything but commits

	write  sync.Mutex // held by the one writer of this process
	link   *pglink.Link
	doubt  bool // a commit's outcome is unknown: see commit.settle
	writer writerState
	turn   *turn // the head is locked for the next commit; nil: it is not

	names   *names
	streams *streamNames
	index   *index
	shelf   *shelf
	waiting *waiting
	average atomic.Int64 // bytes of a body, as the last page had them; 0: not known

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	jobs sync.WaitGroup
}

// Open opens the store at an address; see Options.Create. Errors of a database that is not as it must be say what to
// do about it: event.ErrUnavailable (away, or a replica), ErrDenied (login or privileges), ErrFormat (version),
// ErrInvalid (settings, clock).
func Open(ctx context.Context, text string, o *Options) (*Store, error) {
	s, err := open(ctx, text, o)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, text string, o *Options) (*Store, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.fill()
	a, err := pglink.Parse(text)
	if err != nil {
		return nil, err
	}
	s := &Store{
		address: a, clock: opts.Clock, flush: opts.Flush, link: pglink.NewLink(a, opts.Clock, opts.Timeout),
		names: newNames(), streams: newStreamNames(), shelf: newShelf(), writer: newWriterState(), waiting: newWaiting(),
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.calls = pglink.Calls{Context: s.ctx, Clock: opts.Clock, Patience: opts.Patience}
	if err := s.prepare(ctx, &opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.jobs.Go(s.listen)
	s.jobs.Go(s.mergeAll)
	return s, nil
}

func (o *Options) fill() {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.Flush <= 0 {
		o.Flush = 8192
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
}

// prepare checks the database, brings its tables to the newest format, and reads what is kept in memory.
func (s *Store) prepare(ctx context.Context, o *Options) error {
	conn, err := s.link.Connect(ctx)
	if err != nil {
		return pglink.Classify(err)
	}
	if err := tables.Check(ctx, conn, s.clock); err != nil {
		return err
	}
	err = tables.Migrate(ctx, conn, s.address.Schema, o.Create,
		func(ctx context.Context, tx pgx.Tx) error { return createHead(ctx, tx, o) })
	if err != nil {
		return err
	}
	head, err := loadHead(ctx, conn)
	if err != nil {
		return err
	}
	s.index = newIndex(head)
	if s.pool, err = s.address.Pool(s.ctx); err != nil {
		return err
	}
	now, err := s.refresh(ctx)
	if err != nil {
		return err
	}
	s.writer.known = now.Position
	if o.Indexed == nil || storage.SameIndexed(o.Indexed, head.Indexed) {
		return nil
	}
	if err := s.reindex(ctx, o.Indexed); err != nil {
		return fmt.Errorf("index metadata: %w", err)
	}
	return nil
}

// Close waits for a commit in progress and ends every other call.
func (s *Store) Close() error {
	s.stop()
	s.waiting.close()
	s.jobs.Wait()
	s.write.Lock()
	defer s.write.Unlock()
	s.link.Close()
	if s.pool != nil {
		s.pool.Close()
	}
	return nil
}

// Head is the state after the last durable commit of any process.
func (s *Store) Head(ctx context.Context) (storage.Head, error) {
	head, err := s.refresh(ctx)
	if err != nil {
		return storage.Head{}, fmt.Errorf("read head: %w", err)
	}
	return head, nil
}
