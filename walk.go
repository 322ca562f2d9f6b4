package lethe

import (
	"context"
	"iter"

	"github.com/lethe-es/lethe/privacy"
)

// Page sizes: the first page is small, so that the first events come soon, but holds most streams whole; the following
// carry a scan.
const (
	firstPage = 256
	fullPage  = 2048
)

// pages walks q page by page up to the head, or to q.To. The next page is read while the caller is at the present one,
// and opened only when he asks for it: a restriction that is acknowledged meanwhile holds, and the record of uses names
// no page that nobody asked for. q.Limit is the most events in all; 0: no limit.
func pages(ctx context.Context, b Journal, q PageQuery) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		first, err := b.Page(ctx, limited(q, firstPage)) // most often the only one: without a goroutine
		if !yield(first, err) || err != nil || first.Done {
			return
		}
		q, more := rest(q, &first, len(first.Events))
		if !more {
			return
		}
		l, here := b.(*local)
		switch {
		case q.Opening.IsZero():
			readAhead(ctx, q, func(ctx context.Context, q PageQuery) (ahead, error) {
				page, err := b.Page(ctx, q)
				return ahead{Page: page}, err
			}, yield)
		case here:
			readAhead(ctx, q, l.ahead, yield)
		default: // it would be opened over there
			eachPage(ctx, b, q, yield)
		}
	}
}

// ahead is a page that was read before it was asked for.
type ahead struct {
	Page
	reading *privacy.Reading // its events, to be opened; nil: they are there, as they were asked for
	from    *local           // where it was read
}

// events is how many there are.
func (a *ahead) events() int {
	if a.reading != nil {
		return a.reading.Len()
	}
	return len(a.Events)
}

// asked is the page for who asks for it.
func (a *ahead) asked(ctx context.Context, v *View) (_ Page, err error) {
	if a.reading == nil {
		return a.Page, nil
	}
	if a.Events, err = a.reading.Open(ctx, v.Opening); err == nil {
		a.Events, err = a.from.raise(ctx, *v, a.Events)
	}
	return a.Page, err
}

// readAhead walks q while another goroutine reads the next page.
func readAhead(ctx context.Context, q PageQuery, read func(context.Context, PageQuery) (ahead, error),
	yield func(Page, error) bool,
) {
	ctx, cancel := context.WithCancel(ctx)
	fetched := make(chan ahead, 1)
	var failure error
	go func() {
		defer close(fetched)
		failure = fetch(ctx, q, read, fetched)
	}()
	defer func() {
		cancel()
		for range fetched { // until the fetcher is gone: it may hold engine resources
		}
	}()
	for next := range fetched {
		page, err := next.asked(ctx, &q.View)
		if !yield(page, err) || err != nil {
			return
		}
	}
	if failure != nil {
		yield(Page{}, failure)
	}
}

func fetch(ctx context.Context, q PageQuery, read func(context.Context, PageQuery) (ahead, error),
	fetched chan<- ahead,
) error {
	for more := true; more; {
		next, err := read(ctx, limited(q, fullPage))
		if err != nil {
			return err
		}
		page, events := next.Page, next.events()
		select {
		case fetched <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		if page.Done {
			return nil
		}
		q, more = rest(q, &page, events)
	}
	return nil
}

// eachPage walks q without reading ahead.
func eachPage(ctx context.Context, b Journal, q PageQuery, yield func(Page, error) bool) {
	for more := true; more; {
		page, err := b.Page(ctx, limited(q, fullPage))
		if !yield(page, err) || err != nil || page.Done {
			return
		}
		q, more = rest(q, &page, len(page.Events))
	}
}

func limited(q PageQuery, most int) PageQuery {
	if q.Limit == 0 || q.Limit > most {
		q.Limit = most
	}
	return q
}

// rest is the query for what follows a page of so many events; more is false when the limit is used up.
func rest(q PageQuery, page *Page, events int) (_ PageQuery, more bool) {
	q.From = page.Next(q.Backward)
	if q.Limit == 0 {
		return q, true
	}
	q.Limit -= events
	return q, q.Limit > 0
}
