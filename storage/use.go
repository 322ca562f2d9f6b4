package storage

import (
	"context"

	"github.com/lethe-es/lethe/event"
)

// Uses keeps the record of every use of personal data.
type Uses interface {
	// RecordUses stores uses durably before it returns, all of them or none, and numbers them from 1 without a gap in
	// the order of commits. [keystest.UsesDurable]
	RecordUses(ctx context.Context, uses []Use) error
	// PageUses returns up to q.Limit uses that have an entry that matches, newest first, with those entries only, and
	// how far it looked. [keystest.UsesFound]
	PageUses(ctx context.Context, q UseQuery) (UsePage, error)
	// PruneUses removes what was recorded before a time, and returns how many uses that were. [keystest.UsesPruned]
	PruneUses(ctx context.Context, before int64) (int, error)
}

// Use is one batch of personal data that was opened by one actor for one purpose.
type Use struct {
	Number  uint64 // given by the engine
	At      int64  // µs since 1970 UTC
	Actor   event.Actor
	Purpose string
	Reason  string // a code and a case id
	Words   []byte // sealed under the actor's keyring: what else was said; nil: nothing
	Code    string // name and version of the code that read
	Entries []UseEntry
}

// UseEntry says of one person and group how much was opened, and where.
type UseEntry struct {
	KRID        event.KRID
	Group       string
	Count       uint32         // boxes opened
	First, Last event.Position // of the events they are in
}

// UseQuery asks for uses.
type UseQuery struct {
	KRID    event.KRID  // only of this person; zero: any
	Actor   event.Actor // only by this actor; zero: any
	Purpose string      // only for this purpose; empty: any
	Before  uint64      // only uses with a lower number; 0: from the newest
	Limit   int         // most uses in the answer, > 0
}

// UsePage is a bounded answer.
type UsePage struct {
	Uses    []Use
	Scanned uint64 // the lowest number looked at; go on before it
	Done    bool   // nothing is left
}

// Keystore is what one engine keeps beside the log for personal data.
type Keystore interface {
	Keys
	Uses
	// Sizes is bytes by part: keyrings, lookups, retentions, uses, other.
	KeySizes(ctx context.Context) ([]Size, error)
	// Close ends every other call, now and later.
	Close() error
}

// Fence is a mark that ends what was prepared or remembered before it: of one person, or of everybody.
type Fence struct {
	Number   uint64     // the head's counter as of which it counts
	KRID     event.KRID // zero: everybody, such as a change of policy
	Position event.Position
}

// Fencer keeps the fences of a log.
type Fencer interface {
	// Fences returns up to limit fences with a number above after, by number, as of one head.
	// [storagetest.FencesKept]
	Fences(ctx context.Context, after uint64, limit int) ([]Fence, error)
}
