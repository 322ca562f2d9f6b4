package log

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// fullPage carries a scan.
const fullPage = 1024

// pages walks q to its end, page by page.
func (l *Log) pages(ctx context.Context, q storage.Query) iter.Seq2[storage.Page, error] {
	return func(yield func(storage.Page, error) bool) {
		q.Limit = fullPage
		for {
			page, err := l.store.Page(ctx, q)
			if !yield(page, err) || err != nil || page.Done {
				return
			}
			q.From = page.Scanned + 1
		}
	}
}

// Page is one bounded answer of the engine.
func (l *Log) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	return l.store.Page(ctx, q)
}

// Cursor is the cursor after position p.
func (l *Log) Cursor(p event.Position) event.Cursor {
	return event.Cursor{Store: l.identity.Store, Incarnation: l.identity.Incarnation, Position: p}
}

// Resume is the position a cursor stands for in this incarnation. A cursor from before a fork is good, one from
// beyond is event.Forked with the last common position, one of another store is event.ErrInvalid.
func (l *Log) Resume(ctx context.Context, c event.Cursor) (event.Position, error) {
	if c.IsZero() {
		return 0, nil
	}
	if c.Store != l.identity.Store {
		return 0, event.Invalid("foreign_cursor", "resume cursor: it is of store %s, this is %s", c.Store, l.identity.Store)
	}
	head, err := l.store.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("resume cursor: %w", err)
	}
	common := head.Position
	i := slices.IndexFunc(head.Lineage, func(f storage.Fork) bool { return f.Incarnation == c.Incarnation })
	switch {
	case i < 0: // a life this store knows nothing of: it shares at most what was there before the first fork
		return 0, &event.Forked{Common: commonWithUnknown(head)}
	case i+1 < len(head.Lineage):
		common = min(common, head.Lineage[i+1].First-1)
	}
	if c.Position > common {
		return 0, &event.Forked{Common: common}
	}
	return c.Position, nil
}

// commonWithUnknown is what this store surely shares with an incarnation it never heard of: nothing, unless this
// store was itself restored, in which case both come from the first incarnation at most up to the first fork.
func commonWithUnknown(head storage.Head) event.Position {
	if len(head.Lineage) < 2 {
		return 0
	}
	return head.Lineage[1].First - 1
}
