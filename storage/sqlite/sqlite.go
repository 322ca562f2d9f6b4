// Package sqlite keeps a log in a folder, on embedded SQLite (pure Go).
//
//	engine, err := sqlite.Open(ctx, "./data", nil)
//	defer engine.Close()
//
// One process holds the folder at a time; a second one is refused with the holder named. In the folder lie
// events.db (the log), models.db (how far followers came, and access tokens) and lock. Never open, copy or close these
// files by other means while a process holds them: closing any handle of a file drops SQLite's locks on it, and the
// file corrupts.
//
// A commit writes the event rows in order, and nothing that jumps about in the file: what finds events by stream,
// type, relation or metadata is an inverted index of sorted runs (run.go), written every Options.Flush events and
// merged in small steps. What is not flushed yet is exact in memory, and is rebuilt by a scan when the store opens.
// docs/format/sqlite.md specifies the tables.
package sqlite

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Options of a store; nil means the defaults.
type Options struct {
	Rand    io.Reader // nil: crypto/rand; names a new store
	Indexed []string  // metadata keys to index; nil: as the store has it; a change re-indexes the log
	Flush   int       // events between two writes of the index; 0: 8192
	Address string    // where the server of this process listens, for the lock file
}

// Store is a log in a folder. Safe for concurrent use.
type Store struct {
	dir  string
	lock *sqlink.Lock

	write   sync.Mutex // held by the one writer
	writer  *sqlink.Conn
	index   *index
	names   *names
	failed  error // a failed sync ends all writing; under write
	fill    sqlink.Fill
	flush   int
	readers *sqlink.Pool

	models *models

	head headState
}

// headState is what readers know: the durable head, and whom to wake when it moves.
type headState struct {
	mu     sync.RWMutex
	head   storage.Head
	moved  chan struct{}
	closed bool

	rebuilding bool // the index is incomplete: nothing may be read through it
}

// Open opens the store in dir, which is created if it is not there. event.ErrHeld: another process has it.
func Open(ctx context.Context, dir string, o *Options) (*Store, error) {
	if o == nil {
		o = new(Options)
	}
	if err := sqlink.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	l, err := sqlink.Acquire(dir, "lock", o.Address)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := open(ctx, dir, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), l.Release())
	}
	s.lock = l
	if err := sqlink.SyncDir(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.Close())
	}
	return s, nil
}

func open(ctx context.Context, dir string, o *Options) (*Store, error) {
	s := &Store{dir: dir, flush: o.Flush}
	if s.flush <= 0 {
		s.flush = 8192
	}
	s.head.moved = make(chan struct{})
	path := filepath.Join(dir, "events.db")
	var err error
	if s.writer, err = sqlink.Open(path, eventsSchema); err != nil {
		return nil, err
	}
	s.readers = sqlink.NewPool(path)
	if err = s.load(ctx, o); err == nil {
		s.models, err = openModels(filepath.Join(dir, "models.db"), s.head.head.Life)
	}
	if err != nil {
		return nil, errors.Join(err, s.readers.Close(), s.writer.Close())
	}
	return s, nil
}

// load reads the head, creating it in a new store, and what is kept in memory beside it.
func (s *Store) load(ctx context.Context, o *Options) error {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	head, indexed, err := loadHead(s.writer, o)
	if err != nil {
		return err
	}
	if s.names, err = loadNames(s.writer); err != nil {
		return err
	}
	s.head.head = head
	s.index, err = loadIndex(s.writer, head, indexed)
	if err != nil {
		return err
	}
	if o.Indexed != nil && !storage.SameIndexed(o.Indexed, head.Indexed) {
		if err := s.redeclare(o.Indexed); err != nil {
			return fmt.Errorf("index metadata: %w", err)
		}
	}
	return s.rebuildTail(ctx)
}

// Close waits for a commit in progress, then closes the files and gives up the folder.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.head.mu.Lock()
	if s.head.closed {
		s.head.mu.Unlock()
		return nil
	}
	s.head.closed = true
	close(s.head.moved)
	s.head.mu.Unlock()
	return errors.Join(s.readers.Close(), s.writer.Close(), s.models.close(), s.lock.Release())
}

// Head is the state after the last durable commit.
func (s *Store) Head(ctx context.Context) (storage.Head, error) {
	if err := ctx.Err(); err != nil {
		return storage.Head{}, fmt.Errorf("read head: %w", err)
	}
	s.head.mu.RLock()
	defer s.head.mu.RUnlock()
	if s.head.closed {
		return storage.Head{}, sqlink.ErrClosed()
	}
	return s.head.head.Clone(), nil
}

// Wait returns when the head is beyond after.
func (s *Store) Wait(ctx context.Context, after event.Position) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for position %d: %w", after+1, err)
		}
		s.head.mu.RLock()
		position, moved, closed := s.head.head.Position, s.head.moved, s.head.closed
		s.head.mu.RUnlock()
		switch {
		case closed:
			return sqlink.ErrClosed()
		case position > after:
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for position %d: %w", after+1, ctx.Err())
		}
	}
}

// publish makes a durable commit visible: change is applied to the head and the index while no reader is between
// its view of the index and its view of the file.
func (s *Store) publish(change func(*storage.Head)) {
	s.head.mu.Lock()
	defer s.head.mu.Unlock()
	change(&s.head.head)
	close(s.head.moved)
	s.head.moved = make(chan struct{})
}

func marshalIndexed(keys []string) string {
	b, err := json.Marshal(keys)
	if err != nil {
		panic("strings always encode")
	}
	return string(b)
}
