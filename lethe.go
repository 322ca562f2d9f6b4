// Package lethe is an event store that can forget: an append-only, totally ordered, verifiable log for event-sourced
// systems.
//
//	engine, err := sqlite.Open(ctx, "./data", nil)
//	store, err := lethe.Open(ctx, engine, kms.None, nil)
//	defer store.Close()
//
//	session := store.As(event.Actor{Kind: "employee", ID: "7"})
//	res, err := session.Append(ctx, event.Stream("application", "1"), event.None,
//		event.Draft{Type: "ApplicationRegistered", Data: []byte(`{"amount": 20000}`)})
//
//	for e, err := range session.Read(ctx, event.Stream("application", "1"), lethe.Range{}) { … }
//	for e, err := range session.Query(ctx, lethe.Query{Filter: event.Filter{{Types: []string{"A"}}}}) { … }
//	for e, err := range session.Subscribe(ctx, nil, event.Cursor{}) { … } // catch up, then live
//
// An append that returned without error is durable and every later read sees it. Errors are the sentinels of package
// event (errors.Is) and carry a stable code (event.Code).
package lethe

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/privacy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/storage"
)

// Options of a store; nil means the defaults.
type Options struct {
	Clock event.Clock // nil: the machine's
	Rand  io.Reader   // nil: crypto/rand
	Batch int         // most events in one commit; 0: 4096

	// What a store needs that holds personal data.
	Keystore  storage.Keystore  // keeps the wrapped keys and the record of uses
	Notations []schema.Notation // in which its schemas are written: jsonschema.Notation, protoschema.Notation
	Languages []schema.Language // in which their upcasters are: starlark.Language, and schema.Go for those of a program
	Code      string            // name and version of this program, for the record of uses
}

// Store is an open event store: in this process, or a server's. Safe for concurrent use.
type Store struct {
	backend  Backend
	identity storage.Identity
	code     string
}

// Open opens the store that engine keeps, with the key service keys. kms.None refuses to hold personal data.
func Open(ctx context.Context, engine storage.Store, keys kms.KMS, o *Options) (*Store, error) {
	if o == nil {
		o = new(Options)
	}
	if keys == nil {
		return nil, event.Invalid("no_kms", "open store: no key service is given").
			Hint("pass kms.None for a store without personal data")
	}
	if keys == kms.None != (o.Keystore == nil) {
		return nil, event.Invalid("no_keystore", "open store: a key service and a keystore come together").
			Hint("give both in order to hold personal data, or kms.None and no keystore")
	}
	l, err := log.Open(ctx, engine, log.Options{Clock: o.Clock, Rand: o.Rand, Batch: o.Batch})
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	b := &local{engine: engine, log: l, keystore: o.Keystore}
	if err := b.openPrivacy(ctx, keys, o); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := New(b, l.Identity())
	s.code = o.Code
	return s, nil
}

// Privacy is the room of a store in this process in which personal data is declared, sealed and opened; nil where the
// store is a server's.
func (s *Store) Privacy() *privacy.Privacy {
	if b, ok := s.backend.(*local); ok {
		return b.privacy
	}
	return nil
}

// Keeper keeps the keyrings of a store in this process; nil where it holds no personal data, or is a server's.
func (s *Store) Keeper() *keyring.Keeper {
	if b, ok := s.backend.(*local); ok {
		return b.keeper
	}
	return nil
}

// KeySizes is the bytes its keystore takes, by part; nil where Keeper is.
func (s *Store) KeySizes(ctx context.Context) ([]storage.Size, error) {
	if b, ok := s.backend.(*local); ok && b.keystore != nil {
		return b.keystore.KeySizes(ctx)
	}
	return nil, nil
}

// New is a store over a backend that is open, with the identity of its log. It is for backends such as package client.
func New(backend Backend, identity storage.Identity) *Store {
	identity.Secret = [32]byte{}
	return &Store{backend: backend, identity: identity}
}

// Close closes the store. Appends in progress are finished first.
func (s *Store) Close() error { return s.backend.Close() }

// As is a session in which actor acts: its appends carry the actor as issuer, unless a draft names one. The zero
// Actor is nobody named.
func (s *Store) As(actor event.Actor) *Session { return &Session{store: s, actor: actor, code: s.code} }

// Head is the state of the log, without the store's secret.
func (s *Store) Head(ctx context.Context) (storage.Head, error) { return s.backend.Head(ctx) }

// Cursor is the cursor after position p.
func (s *Store) Cursor(p event.Position) event.Cursor {
	return event.Cursor{Store: s.identity.Store, Incarnation: s.identity.Incarnation, Position: p}
}

// Streams lists up to q.Limit streams, ordered by kind, then id.
func (s *Store) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	return s.backend.Streams(ctx, q)
}

// MaxAges are the limits set by Session.SetMaxAge, by kind.
func (s *Store) MaxAges(ctx context.Context) (map[string]time.Duration, error) {
	return s.backend.MaxAges(ctx)
}

// ImportKey is the key from which imports derive event ids, so that importing again adds nothing.
func (s *Store) ImportKey(ctx context.Context) ([32]byte, error) { return s.backend.ImportKey(ctx) }

// Cursors keeps the checkpoints of followers.
func (s *Store) Cursors() storage.Cursors { return s.backend.Cursors() }

// Sizes is the bytes the store takes, by part.
func (s *Store) Sizes(ctx context.Context) ([]storage.Size, error) { return s.backend.Sizes(ctx) }

// Verify hashes every event again and proves it against the tree of the log, as log.Verify does. progress may be nil.
func (s *Store) Verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, error) {
	return s.backend.Verify(ctx, progress)
}
