package lethe

import (
	"context"
	"iter"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// Backend carries the calls of a store: the log in this process (Open), or a server's over the network (package
// client). Both are held by one suite, lethetest.RunStore. What sessions fill in is done before a call gets here.
type Backend interface {
	Journal
	Upkeep
	Care
}

// Journal is what a backend does with events.
type Journal interface {
	Append(ctx context.Context, req log.Request) (log.Result, error)
	AppendEach(ctx context.Context, requests []log.Request) []log.Outcome
	Page(ctx context.Context, q PageQuery) (Page, error)
	Event(ctx context.Context, id event.ID, v View) (event.Event, error)
	Open(ctx context.Context, events []event.Event, v View) ([]event.Event, error)
	Batches(ctx context.Context, q BatchQuery) iter.Seq2[Batch, error]
	Head(ctx context.Context) (storage.Head, error)
}

// Upkeep is what a backend does with streams.
type Upkeep interface {
	Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error)
	MaxAges(ctx context.Context) (map[string]time.Duration, error)
	CloseStream(ctx context.Context, actor event.Actor, stream event.StreamID) error
	TruncateStream(ctx context.Context, actor event.Actor, stream event.StreamID, before event.Version) error
	SetMaxAge(ctx context.Context, actor event.Actor, kind string, age time.Duration) error
	Expire(ctx context.Context, actor event.Actor) (int, error)
}

// Care is what a backend does for the store as a whole.
type Care interface {
	Cursors() storage.Cursors
	ImportKey(ctx context.Context) ([32]byte, error)
	Sizes(ctx context.Context) ([]storage.Size, error)
	Verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, error)
	Close() error
}

// View is how events are read. The zero View reads them sealed, as they were written.
type View struct {
	Opening event.Opening
	Present bool // in the form that the present version of their type's schema gives them; see Session.Present
}

// PageQuery asks for one page of events. With Stream set, From and To are versions, else positions.
type PageQuery struct {
	storage.Query
	Pruned bool // also give truncated events, of which only the header is left
	View
}

// BatchQuery asks for what matches after a cursor, and what follows.
type BatchQuery struct {
	Filter event.Filter
	After  event.Cursor
	View
}

// Page is a bounded answer. It may hold fewer events than asked for, none even, and not be Done.
type Page struct {
	Events  []event.Event
	Scanned uint64         // last position or version looked at; 0: nothing was there to look at
	Done    bool           // there is nothing beyond
	Head    event.Position // of the log as of which the page answers
}

// Next is where the page after this one begins.
func (p *Page) Next(backward bool) uint64 {
	if backward {
		return p.Scanned - 1
	}
	return p.Scanned + 1
}
