// Package storage is the seam between the log and the engines that keep it: what an engine must hold, sentence by
// sentence, each sentence naming the test of storagetest that holds it.
//
// An engine stores records and answers questions about them; it decides nothing. The log's sequencer hands it a
// Probe (what must be known), a pure function that turns the answers into a Batch, and the engine makes the batch
// durable as a whole or not at all. Drivers are passed as values; they share this contract and its suite, not code.
//
// For every call of every engine: a context that has ended is answered with its error, and nothing was done
// [storagetest.ContextEnded]. After Close every call is event.ErrUnavailable [storagetest.CloseEnds]. What goes in
// and what comes out is the caller's to overwrite; the engine keeps its own copy [storagetest.CopyKept].
package storage

import (
	"context"
	"log/slog"

	"github.com/lethe-es/lethe/event"
)

// Log keeps one append-only log.
type Log interface {
	// Head is the state of the log after the last durable batch. [storagetest.HeadMovesWithCommit]
	// A new store is empty, in its first incarnation, and has an identity of its own. [storagetest.HeadIdentity]
	Head(ctx context.Context) (Head, error)

	// Commit locks the head, answers the probe as of it, calls decide, and makes the batch durable before it returns,
	// as a whole or not at all; decide is called again if what it was told is out of date by then, and only the last
	// call counts. [storagetest.CommitAtomic] [storagetest.CommitDurable]
	// It returns the head after the batch. A batch with nothing in it changes nothing. [storagetest.CommitEmpty]
	// Every field of a record comes back as it went in, but for Terms. [storagetest.CommitKeepsRecords]
	// Positions follow the head without a gap, whatever failed before. [storagetest.CommitGapless]
	// Commits of many goroutines happen one after the other. [storagetest.CommitConcurrent]
	// The probe is answered index by index. [storagetest.ProbeAnswered] The leaves asked for are all there are up to
	// the head, in order; none, if they are more than MaxLeaves. [storagetest.ProbeLeaves] A condition is hit exactly
	// if an event after its position matches by event.Filter.Matches. [storagetest.ConditionExact] A filter that cannot be
	// planned (Terms.Plan) is that error, and decide is not called. [storagetest.NotIndexed]
	// An error of decide leaves everything as it was and is returned as it is. [storagetest.CommitRefused]
	// ErrRefused, and nothing changes: positions that do not continue the head; versions that do not continue their
	// stream; a zero id, an id that is in the log, or twice in the batch; a record in a stream that is closed before
	// the batch; a tile that is stored. [storagetest.CommitChecked] So are records on a log that is sealed (Life.Sealed);
	// streams may still be set there, and records rewritten. [storagetest.MovedRefuses]
	// A batch with fences raises the head's fence by exactly one, and stores them under that number, with everything else
	// in it or not at all; one without leaves it as it is. What is in it twice is stored once. On a log that is sealed
	// fences are ErrRefused, as records are. [storagetest.FencesKept]
	// Life, where a batch sets it, is set with the batch, also if it is all there is in it. [storagetest.LifeKept] Who
	// sees a sealed log sees all it will ever hold: checkpoints and tokens neither change afterwards, nor is what was
	// acknowledged before missing. [storagetest.MovedIsFinal]
	// event.ErrUnknown: it may or may not be durable; ask again with the same ids. event.ErrFailed: the engine
	// stopped for good. event.ErrFull: no room; nothing changed and a later Commit may succeed.
	Commit(ctx context.Context, p Probe, decide func(Head, Found) (Batch, error)) (Head, error)

	// Page returns up to q.Limit records that match, in order, and how far it looked. [storagetest.PageOrder]
	// Every match from q.From to Scanned is in the page, so a follower that resumes after Scanned misses
	// nothing. [storagetest.PageComplete]
	// What matches is what event.Filter.Matches says of the record, of a stub too. [storagetest.IndexExact] A
	// filter that cannot be planned is Terms.Plan's error. [storagetest.NotIndexed]
	// With q.Stream set, From, To and Scanned are versions; of a stream that is not known the page is empty and
	// Done. [storagetest.PageStream]
	// A page may hold fewer than q.Limit records and not be Done (an engine bounds how far one page looks), but it
	// always looks at least one place further. From and To beyond the ends mean the ends; a range with nothing in it
	// is an empty page, Done, with Scanned 0; a Limit below 1 is event.ErrInvalid. [storagetest.PageBounds]
	// A page ends with the record by which its bodies become MaxPageBytes or more. [storagetest.PageBytes]
	// It answers as of one head and holds nothing open after it returns. [storagetest.PageSnapshot]
	Page(ctx context.Context, q Query) (Page, error)

	// Wait returns when the head is beyond after, and may return early. It ends with its context, and with Close.
	// [storagetest.WaitWakes] [storagetest.WaitEnds]
	Wait(ctx context.Context, after event.Position) error

	// Rewrite applies every edit, or none if one does not match by position, id and leaf or if the head's fence
	// is not fence: that is event.ErrConflict. [storagetest.RewriteExact]
	// A record that is pruned already matches too, so a Rewrite may be repeated. [storagetest.RewriteRepeats]
	// A pruned record keeps its place, id, request, and its entries in the index. [storagetest.RewriteKeepsHeader]
	Rewrite(ctx context.Context, fence uint64, edits []Edit) error

	// Tiles returns the hashes of full tiles, index by index; if one is not stored, only event.ErrNotFound.
	// [storagetest.TilesStored]
	Tiles(ctx context.Context, ids []TileID) ([][]byte, error)

	// Scrub removes the old bytes of what Rewrite took away and says what still holds some.
	// [storagetest.ScrubRemoves]
	Scrub(ctx context.Context) (Residue, error)
}

// Streams lists the streams of a log.
type Streams interface {
	// Streams returns up to q.Limit streams after q.After, ordered by the bytes of kind, then id, Lethe's own
	// (event.SystemKind) among them. A Limit below 1 is event.ErrInvalid. [storagetest.StreamsListed]
	Streams(ctx context.Context, q StreamQuery) ([]StreamState, error)
}

// Cursors keeps how far followers came.
type Cursors interface {
	// Checkpoint is the last stored one; the zero Checkpoint if there is none. [storagetest.CheckpointZero]
	Checkpoint(ctx context.Context, follower string) (Checkpoint, error)
	// Advance stores to if from is still what is stored (compare-and-set on Revision), durably, and returns it with
	// its new Revision; otherwise event.ErrConflict and nothing changes. [storagetest.CheckpointCAS] On a log that is
	// not Live it is Life.Check's error, and nothing changes. [storagetest.MovedRefuses] [storagetest.AdoptTakesOver]
	Advance(ctx context.Context, follower string, from, to Checkpoint) (Checkpoint, error)
	// Checkpoints lists all, by follower name. [storagetest.CheckpointsListed]
	Checkpoints(ctx context.Context) ([]NamedCheckpoint, error)
}

// Sizer measures what a log takes on disk.
type Sizer interface {
	// Sizes is bytes by part: events, ids, streams, postings, tiles, free, wal, and other for the rest. Every part is
	// there, also when it takes none; together they are all the log takes. [storagetest.SizesAddUp]
	Sizes(ctx context.Context) ([]Size, error)
}

// Examiner is a role that an engine need not have: it says how what the log lies in is.
type Examiner interface {
	// Examine looks at the engine's own part of a store (settings, files, server), in an order that can be read, and
	// changes nothing. What is not as it must be is a Check that is not OK; the error says that it could not look. In a
	// store that is whole every check is OK, has a name of its own, and a detail of one line. [storagetest.ExaminedWhole]
	Examine(ctx context.Context) ([]Check, error)
}

// Turner is a role of engines that several processes share; others have no need of it.
type Turner interface {
	// Turn waits until no other process commits, and keeps them waiting until the next Commit ends or done is called,
	// which may be called in any case. A sequencer that waits for its turn before it chooses what to commit commits
	// what came meanwhile too. Commit is as it is without: a turn that could not be had is none.
	// [storagetest.TurnKept]
	Turn(ctx context.Context) (done func())
}

// Store is everything one engine keeps in one place.
type Store interface {
	Log
	Streams
	Cursors
	Tokens
	Fencer
	Sizer
	Heir
	// Close ends every other call, now and later; closing twice is fine. [storagetest.CloseEnds]
	Close() error
}

// Identity is what never changes in one life of a store.
type Identity struct {
	Store       event.StoreID
	Incarnation event.Incarnation
	Lineage     []Fork   // earlier incarnations first, the present one last
	Secret      [32]byte // keys of the index, of imports and of request digests are derived from it
	Indexed     []string // metadata keys that are indexed, sorted
}

// Fork is the begin of one incarnation.
type Fork struct {
	Incarnation event.Incarnation
	First       event.Position // the first position it may hold
}

// Head is the state of a log.
type Head struct {
	Identity
	Position event.Position // of the last event; 0: empty
	System   event.Position // of the last system event
	Fence    uint64
	Frontier []byte // right edge of the Merkle tree, as ledger encodes it; nil: empty
	Life     Life
}

// Probe is what must be known to decide a batch.
type Probe struct {
	IDs        []event.ID
	Streams    []event.StreamID
	Conditions []event.Condition
	Leaves     event.Position // leaves from here to the head are wanted, which others appended; 0: none
}

// MaxLeaves bounds how many leaves answer a probe: 2 MiB of them.
const MaxLeaves = 65_536

// Found answers a Probe, index by index.
type Found struct {
	IDs     []Existing
	Streams []StreamState
	Hits    []event.Position // of some event that fails the condition; 0: none
	Leaves  [][32]byte       // from Probe.Leaves on
}

// Existing is an event already in the log; zero Position: there is none.
type Existing struct {
	Position event.Position
	Stream   event.StreamID
	Version  event.Version
	Request  [32]byte
}

// StreamState is what the engine knows of a stream. A stream that was never appended to is at version 0; of one that
// is not known at all, everything but Stream is zero. [storagetest.StreamStateKept]
type StreamState struct {
	Stream    event.StreamID
	Version   event.Version
	Closed    bool
	Truncated event.Version // events below this version are to be pruned; 0: none
	Pruned    event.Version // events below this version are pruned; < Truncated while it is being done
}

// Batch is what a commit makes durable.
type Batch struct {
	Records  []Record       // continue the head and their streams without a gap
	Streams  []StreamState  // set Closed, Truncated and Pruned, also of a stream without events; Version is ignored
	Frontier []byte         // of the tree with Records' leaves; nil: unchanged
	Tiles    []Tile         // tiles that became full
	System   event.Position // of the last system event in Records; 0: unchanged
	Life     *Life          // nil: unchanged
	Fences   []Fence        // what the batch narrows, for whom, and by which event; Number is given by the engine
}

// Record is an event as it is stored. Commitments and Boxes with nothing in them are nil on the way out.
type Record struct {
	Position    event.Position
	ID          event.ID
	Stream      event.StreamID
	Version     event.Version
	Type        string
	Recorded    int64    // µs since 1970 UTC
	Leaf        [32]byte // leaf hash
	Request     [32]byte // digest of the append it came with
	Body        []byte   // event.AppendBody; nil: pruned
	Commitments []byte   // seed of the open commitment; nil: pruned
	Boxes       []byte   // sealed values; nil: none
	Terms       []Term   // on the way in: what the index shall know; nil on the way out
}

// Event decodes the record. The event's data aliases Body.
func (r *Record) Event() (event.Event, error) {
	e := event.Event{
		Position: r.Position, Stream: r.Stream, Version: r.Version, RecordedAt: event.FromMicros(r.Recorded),
		Draft: event.Draft{ID: r.ID, Type: r.Type}, Leaf: r.Leaf, Pruned: r.Body == nil,
	}
	if e.Pruned {
		return e, nil
	}
	return e, event.DecodeBody(r.Body, &e.Draft)
}

// String says which record it is, not what it holds.
func (r Record) String() string {
	return event.Event{Position: r.Position, Stream: r.Stream, Version: r.Version,
		Draft: event.Draft{ID: r.ID, Type: r.Type}}.String()
}

// GoString is String.
func (r Record) GoString() string { return r.String() }

// LogValue shows ids only.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }

// TileID names a full tile of 256 hashes of the Merkle tree (C2SP tlog-tiles, height 8).
type TileID struct {
	Level uint8
	N     uint64
}

// Tile is a full tile: 256 hashes of 32 bytes.
type Tile struct {
	ID     TileID
	Hashes []byte
}

// Query asks for records. With ID set it looks up one event, whatever else is set, and the page is Done with its
// position as Scanned; with Stream set it walks one stream by version, else the log by position.
type Query struct {
	ID       event.ID // only this event [storagetest.PageByID]
	Filter   event.Filter
	Stream   event.StreamID // only this stream
	From     uint64         // first position or version, inclusive; 0: the start (backward: the end)
	To       uint64         // last position or version, inclusive; 0: the end (backward: the start)
	Since    int64          // recorded at or after, µs; 0: any
	Until    int64          // recorded before, µs; 0: any
	Backward bool           // from From down to To
	Limit    int            // most records in the page, > 0
}

// MaxPageBytes bounds what a page holds of bodies, but for its last record. Whoever reads page by page holds about two.
const MaxPageBytes = 8 << 20

// Page is a bounded answer.
type Page struct {
	Records []Record
	Scanned uint64         // last position or version looked at; 0: nothing was there to look at
	Done    bool           // Scanned is the end: Query.To, or as of Head the last (backward: the first) there is
	Head    event.Position // as of which the page answers
}

// Edit prunes one record that matches exactly: body, commitments and boxes go, header and leaf stay.
type Edit struct {
	Position event.Position
	ID       event.ID
	Leaf     [32]byte
}

// Residue is what may still hold bytes that Rewrite took away.
type Residue struct {
	Remains []string // in words, such as "write-ahead log: a reader holds it"; empty: nothing known
}

// StreamQuery asks for streams.
type StreamQuery struct {
	Kind    string         // only this kind; empty: all
	After   event.StreamID // exclusive, need not exist; zero: from the start
	Pending bool           // only streams whose truncation is not finished: Pruned < Truncated
	Limit   int
}

// Checkpoint is how far a follower came. Note is the follower runner's own state, opaque to the engine; an empty
// one is nil on the way out.
type Checkpoint struct {
	Revision uint64 // 0: never stored; each Advance adds one
	Cursor   event.Cursor
	Note     []byte
}

// NamedCheckpoint is a checkpoint and whose it is.
type NamedCheckpoint struct {
	Follower string
	Checkpoint
}

// Size is the bytes one part takes.
type Size struct {
	Part  string
	Bytes int64
}

// Check is one thing that was looked at, and how it is.
type Check struct {
	Name   string // a word, such as "lock"
	OK     bool
	Detail string // in words, on one line, without payload and secrets
}
