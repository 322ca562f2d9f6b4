package lethe

import (
	"context"
	"iter"
)

// Page sizes: the first page is small, so that the first events come soon, but holds most streams whole; the following
// carry a scan.
const (
	firstPage = 256
	fullPage  = 1024
)

// pages walks q page by page up to the head, or to q.To. The next page is fetched while the caller is at the present
// one. q.Limit is the most events in all; 0: no limit.
func pages(ctx context.Context, b Journal, q PageQuery) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		first, err := limited(ctx, b, q, firstPage) // most often the only one: without a goroutine
		if !yield(first, err) || err != nil || first.Done {
			return
		}
		q, more := rest(q, &first)
		if !more {
			return
		}
		if !q.Opening.IsZero() {
			eachPage(ctx, b, q, yield)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		fetched := make(chan Page, 1)
		var failure error
		go func() {
			defer close(fetched)
			failure = fetch(ctx, b, q, fetched)
		}()
		for page := range fetched {
			if !yield(page, nil) {
				cancel()
				for range fetched { // until the fetcher is gone: it may hold engine resources
				}
				return
			}
		}
		if failure != nil {
			yield(Page{}, failure)
		}
	}
}

// eachPage walks q without reading ahead. What is opened is given out at once: a restriction that is acknowledged while
// the caller is at one page holds for the next, and the record of uses names nothing that nobody asked for.
func eachPage(ctx context.Context, b Journal, q PageQuery, yield func(Page, error) bool) {
	for {
		page, err := limited(ctx, b, q, fullPage)
		if !yield(page, err) || err != nil || page.Done {
			return
		}
		var more bool
		if q, more = rest(q, &page); !more {
			return
		}
	}
}

func limited(ctx context.Context, b Journal, q PageQuery, most int) (Page, error) {
	if q.Limit == 0 || q.Limit > most {
		q.Limit = most
	}
	return b.Page(ctx, q)
}

// rest is the query for what follows a page; more is false when the limit is used up.
func rest(q PageQuery, page *Page) (_ PageQuery, more bool) {
	q.From = page.Next(q.Backward)
	if q.Limit == 0 {
		return q, true
	}
	q.Limit -= len(page.Events)
	return q, q.Limit > 0
}

func fetch(ctx context.Context, b Journal, q PageQuery, fetched chan<- Page) error {
	for more := true; more; {
		page, err := limited(ctx, b, q, fullPage)
		if err != nil {
			return err
		}
		select {
		case fetched <- page:
		case <-ctx.Done():
			return ctx.Err()
		}
		if page.Done {
			return nil
		}
		q, more = rest(q, &page)
	}
	return nil
}
