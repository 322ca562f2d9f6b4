package log

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Page sizes: the first page is small, so that the first events come soon, but holds most streams whole; the following
// carry a scan.
const (
	firstPage = 256
	fullPage  = 1024
)

// Page is one bounded answer of the engine.
func (l *Log) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	return l.store.Page(ctx, q)
}

// Pages walks q page by page up to the head, or to q.To. The next page is fetched while the caller is at the
// present one. q.Limit is the most records in all; 0: no limit.
func (l *Log) Pages(ctx context.Context, q storage.Query) iter.Seq2[storage.Page, error] {
	return func(yield func(storage.Page, error) bool) {
		first, q, err := l.firstPage(ctx, q)
		if !yield(first, err) || err != nil || first.Done || q.Limit < 0 {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pages := make(chan storage.Page, 1)
		var failure error
		go func() {
			defer close(pages)
			failure = l.fetch(ctx, q, pages)
		}()
		for page := range pages {
			if !yield(page, nil) {
				cancel()
				for range pages { // until the fetcher is gone: it may hold engine resources
				}
				return
			}
		}
		if failure != nil {
			yield(storage.Page{}, failure)
		}
	}
}

// firstPage fetches the first page, most often the only one, without a goroutine, and gives the query for the rest:
// its limit is what is left of a limit, 0 for none, and below 0 when it is used up.
func (l *Log) firstPage(ctx context.Context, q storage.Query) (storage.Page, storage.Query, error) {
	page, err := l.limited(ctx, q, firstPage)
	return page, rest(q, &page), err
}

func (l *Log) limited(ctx context.Context, q storage.Query, most int) (storage.Page, error) {
	if q.Limit == 0 || q.Limit > most {
		q.Limit = most
	}
	return l.store.Page(ctx, q)
}

// rest is the query for what follows a page.
func rest(q storage.Query, page *storage.Page) storage.Query {
	q.From = next(page.Scanned, q.Backward)
	if q.Limit > 0 {
		if q.Limit -= len(page.Records); q.Limit == 0 {
			q.Limit = -1
		}
	}
	return q
}

func (l *Log) fetch(ctx context.Context, q storage.Query, pages chan<- storage.Page) error {
	for q.Limit >= 0 {
		page, err := l.limited(ctx, q, fullPage)
		if err != nil {
			return err
		}
		select {
		case pages <- page:
		case <-ctx.Done():
			return ctx.Err()
		}
		if page.Done {
			return nil
		}
		q = rest(q, &page)
	}
	return nil
}

func next(scanned uint64, backward bool) uint64 {
	if backward {
		return scanned - 1
	}
	return scanned + 1
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
