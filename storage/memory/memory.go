// Package memory keeps a log in memory: for tests, for trying things out, and as the oracle other engines are
// compared with. It is written to be seen right at a glance: a slice of events that is scanned, with no index and no
// cache; the matcher is event.Filter and nothing else. Nothing outlives the process.
//
//	store := memory.Open(memory.Options{Indexed: []string{"channel"}})
//	defer store.Close()
//
// Commits and rewrites go one after the other; readers go on while a commit decides. Options.Fail makes calls fail
// where a disk would, Restore begins another life from a copy of the log, and Dump gives every byte that is kept.
package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Options are what a store is opened with; the zero Options work.
type Options struct {
	// Rand mints the store's id, incarnation and secret; nil: crypto/rand. Open panics if it runs dry.
	Rand io.Reader
	// Indexed are the metadata keys that queries and conditions may name.
	Indexed []string
	// Fail is asked before each step that could fail on a real disk; what it returns is what the call returns.
	// Steps are the constants below. It is called from many goroutines.
	Fail func(op string) error
}

// Steps at which Options.Fail is asked.
const (
	OpCommit    = "commit"     // after decide, before the batch is in; not asked for a batch with nothing in it
	OpCommitAck = "commit-ack" // the batch is in; any error makes Commit return event.ErrUnknown
	OpPage      = "page"
	OpRewrite   = "rewrite" // nothing is rewritten yet
	OpAdvance   = "advance" // nothing is stored yet

	OpToken       = "token"        // a token, or the list of them, is looked up
	OpAddToken    = "add-token"    // nothing is stored yet
	OpRevokeToken = "revoke-token" // nothing is noted yet
	OpUseTokens   = "use-tokens"   // nothing is noted yet

	OpAdopt   = "adopt"   // nothing is taken over yet; not asked for a store that stays as it is
	OpInherit = "inherit" // nothing is stored yet

	OpInheritFences = "inherit-fences" // nothing is stored yet
)

// Store implements storage.Store. Safe for concurrent use.
type Store struct {
	fail func(op string) error

	writing sync.Mutex // held by the one Commit or Rewrite that runs; taken before mu

	// mu guards what follows. log, ids, streams, tiles, head and terms change only with writing held too, so the holder
	// of writing may read them without mu.
	mu          sync.RWMutex
	head        storage.Head
	terms       *storage.Terms
	log         []entry // the event at position n is log[n-1]
	ids         map[event.ID]event.Position
	streams     map[event.StreamID]*stream
	changes     []change
	tiles       map[storage.TileID][]byte
	fences      []storage.Fence // in their order
	checkpoints map[string]storage.Checkpoint
	tokens      map[string]storage.Token
	moved       chan struct{} // closed when the head moves or the store closes, then replaced
	closed      bool
}

// entry is a record and, decoded once, the event it holds.
type entry struct {
	record storage.Record
	event  event.Event
}

type stream struct {
	state  storage.StreamState
	places []event.Position // of version n is places[n-1]
}

// change is a stream state that was set when the head was at Position; Restore replays them.
type change struct {
	position event.Position
	state    storage.StreamState
}

var _ storage.Store = (*Store)(nil)

// Open makes an empty store in its first incarnation.
func Open(opts Options) *Store {
	random := source(opts.Rand)
	var id storage.Identity
	mustRead(random, id.Store[:])
	mustRead(random, id.Secret[:])
	id.Incarnation = incarnation(random)
	id.Lineage = []storage.Fork{{Incarnation: id.Incarnation, First: 1}}
	id.Indexed = storage.IndexedKeys(opts.Indexed)
	return newStore(storage.Head{Identity: id}, opts.Fail)
}

func newStore(head storage.Head, fail func(op string) error) *Store {
	if fail == nil {
		fail = func(string) error { return nil }
	}
	return &Store{
		fail: fail, terms: storage.NewTerms(head.Identity), head: head,
		ids: map[event.ID]event.Position{}, streams: map[event.StreamID]*stream{},
		tiles: map[storage.TileID][]byte{}, checkpoints: map[string]storage.Checkpoint{},
		tokens: map[string]storage.Token{}, moved: make(chan struct{}),
	}
}

func source(r io.Reader) io.Reader {
	if r == nil {
		return rand.Reader
	}
	return r
}

func mustRead(random io.Reader, b []byte) {
	if _, err := io.ReadFull(random, b); err != nil {
		panic("memory: the source of randomness ran dry")
	}
}

func incarnation(random io.Reader) event.Incarnation {
	var b [8]byte
	mustRead(random, b[:])
	return event.Incarnation(binary.BigEndian.Uint64(b[:]))
}

// Close makes every later call event.ErrUnavailable and wakes who waits. Closing twice is fine.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.moved)
	}
	return nil
}

// read locks for reading if the call may go on; otherwise nothing is locked.
func (s *Store) read(ctx context.Context) error {
	s.mu.RLock()
	if err := s.usable(ctx); err != nil {
		s.mu.RUnlock()
		return err
	}
	return nil
}

// usable says whether a call may go on. It wants mu.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("use store %s: %w", s.head.Store, err)
	}
	if s.closed {
		return event.Errorf(event.ErrUnavailable, "use store %s: it was closed", s.head.Store).Hint("open it again")
	}
	return nil
}

// Head implements storage.Log.
func (s *Store) Head(ctx context.Context) (storage.Head, error) {
	if err := s.read(ctx); err != nil {
		return storage.Head{}, err
	}
	defer s.mu.RUnlock()
	return s.head.Clone(), nil
}

// Wait implements storage.Log.
func (s *Store) Wait(ctx context.Context, after event.Position) error {
	for {
		if err := s.read(ctx); err != nil {
			return err
		}
		position, moved := s.head.Position, s.moved
		s.mu.RUnlock()
		if position > after {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// Tiles implements storage.Log.
func (s *Store) Tiles(ctx context.Context, ids []storage.TileID) ([][]byte, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	found := make([][]byte, len(ids))
	for i, id := range ids {
		hashes, ok := s.tiles[id]
		if !ok {
			return nil, event.Errorf(event.ErrNotFound, "read tile %d/%d: it is not stored", id.Level, id.N)
		}
		found[i] = bytes.Clone(hashes)
	}
	return found, nil
}

func cloneRecord(r storage.Record) storage.Record {
	r.Body = bytes.Clone(r.Body)
	r.Commitments, r.Boxes, r.Terms = kept(r.Commitments), kept(r.Boxes), nil
	return r
}

// kept is a copy of b; nil if there is nothing in it.
func kept(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
