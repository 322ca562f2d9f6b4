package storage

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
)

// Uses keeps the record of every use of personal data.
type Uses interface {
	// RecordUses stores uses durably before it returns, all of them or none, and numbers them from 1 without a gap in
	// the order of commits; a number is never given twice. They come back in their canonical form (Use.Canonical). One
	// that is malformed (Use.Check) is event.ErrInvalid, and nothing is stored. [keystest.UsesDurable]
	RecordUses(ctx context.Context, uses []Use) error
	// PageUses returns up to q.Limit uses that have an entry that matches, newest first, with those entries only, and
	// how far it looked. A page may hold fewer and not be Done (an engine bounds how far one looks), but it always looks
	// at least one use further. A Limit below 1 is event.ErrInvalid. [keystest.UsesFound]
	PageUses(ctx context.Context, q UseQuery) (UsePage, error)
	// PruneUses removes the uses that were recorded before a time (Use.At < before), and returns how many they were.
	// Those of calls that are under way may stay. [keystest.UsesPruned]
	PruneUses(ctx context.Context, before int64) (int, error)
}

// Use is one batch of personal data that was opened by one actor for one purpose.
type Use struct {
	Number  uint64 // given by the engine
	At      int64  // µs since 1970 UTC
	Actor   event.Actor
	Purpose string
	Reason  string // a code and a case id
	Words   []byte // sealed under the actor's keyring: what else was said; nothing is nil on the way out
	Code    string // name and version of the code that read
	Entries []UseEntry
}

// UseEntry says of one person and group how much was opened, and where: there is one for each of them.
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
	Scanned uint64 // the lowest number looked at: go on before it; 0: Done
	Done    bool   // nothing that matches is left
}

// Keystore is what one engine keeps beside the log for personal data.
type Keystore interface {
	Keys
	Uses
	// KeySizes is bytes by part: keyrings, lookups, retentions, uses, other. Every part is there; together they are all
	// the keystore takes. [keystest.SizesAddUp]
	KeySizes(ctx context.Context) ([]Size, error)
	// Close ends every other call, now and later; closing twice is fine. [keystest.CloseEnds]
	Close() error
}

// Check says whether a use says what was used, of whom and what for: otherwise it is event.ErrInvalid.
func (u *Use) Check() error {
	if u.Purpose == "" || len(u.Entries) == 0 {
		return event.Invalid("malformed_use", "record use: it has no purpose, or no entries")
	}
	for i := range u.Entries {
		if e := &u.Entries[i]; e.KRID.IsZero() || e.Last < e.First {
			return event.Invalid("malformed_use", "record use: entry %d of %d names nobody, or positions %d to %d",
				i+1, len(u.Entries), e.First, e.Last)
		}
	}
	return nil
}

// Canonical makes the form in which a use is kept: entries ordered by the bytes of the KRID, then group, and of those
// that have both in common, one with all they say.
func (u *Use) Canonical() {
	if slices.IsSortedFunc(u.Entries, compareStrictly) {
		return
	}
	slices.SortStableFunc(u.Entries, UseEntry.compare)
	kept := u.Entries[:0]
	for _, e := range u.Entries {
		if n := len(kept); n > 0 && kept[n-1].compare(e) == 0 {
			l := &kept[n-1]
			l.Count, l.First, l.Last = l.Count+e.Count, min(l.First, e.First), max(l.Last, e.Last)
			continue
		}
		kept = append(kept, e)
	}
	u.Entries = kept
}

func (e UseEntry) compare(o UseEntry) int {
	return cmp.Or(bytes.Compare(e.KRID[:], o.KRID[:]), strings.Compare(e.Group, o.Group))
}

// compareStrictly finds equal neighbours to be out of order.
func compareStrictly(a, b UseEntry) int {
	if c := a.compare(b); c != 0 {
		return c
	}
	return -1
}

// Matches tells whether a use is one that a query asks for, as far as that does not depend on entries.
func (q *UseQuery) Matches(u *Use) bool {
	return (q.Actor.IsZero() || u.Actor == q.Actor) && (q.Purpose == "" || u.Purpose == q.Purpose) &&
		(q.Before == 0 || u.Number < q.Before)
}

// Entries are those that a query asks for.
func (q *UseQuery) Entries(all []UseEntry) []UseEntry {
	if q.KRID.IsZero() {
		return all
	}
	var own []UseEntry
	for _, e := range all {
		if e.KRID == q.KRID {
			own = append(own, e)
		}
	}
	return own
}
