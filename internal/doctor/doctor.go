// Package doctor asks a store whether it is whole: its engine, how it is itself; the head, whether it fits its lineage;
// the index, for events that are there; the tree, whether every row gives it. It shows nothing and changes nothing.
//
//	report, err := doctor.Examine(ctx, doctor.Engine(engine), nil)
//	for _, c := range report.Checks {
//		fmt.Println(c.Name, c.OK, c.Detail)
//	}
//
// An engine is asked below the log, so that a store that is too damaged to be opened as one can be looked at too.
package doctor

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// Patient is what is examined: an engine, or a store behind a server.
type Patient interface {
	Head(ctx context.Context) (storage.Head, error)
	// own are the checks of what only this kind of patient has.
	own(ctx context.Context, head *storage.Head) ([]storage.Check, error)
	page(ctx context.Context, q storage.Query) ([]event.Event, error)
	verify(ctx context.Context, progress Progress) (log.Report, error)
}

// Progress is told how far the proof of the tree is.
type Progress func(done, head event.Position)

// Report is what was found, in the order in which it is read.
type Report struct {
	Head   event.Position
	Checks []storage.Check
}

// Wrong is the first check that is not OK; nil: the store is whole.
func (r *Report) Wrong() *storage.Check {
	for i := range r.Checks {
		if !r.Checks[i].OK {
			return &r.Checks[i]
		}
	}
	return nil
}

// Examine makes every check. It needs little memory, and time in proportion to the log. What is wrong with the store is
// in the report; an error says that somebody could not be asked. progress may be nil.
func Examine(ctx context.Context, p Patient, progress Progress) (*Report, error) {
	head, err := p.Head(ctx)
	if err != nil {
		return nil, err
	}
	own, err := p.own(ctx, &head)
	if err != nil {
		return nil, err
	}
	d := &doctor{patient: p, head: &head, checks: own}
	d.lineage()
	if err := d.index(ctx); err != nil {
		return nil, err
	}
	if err := d.tree(ctx, progress); err != nil {
		return nil, err
	}
	return &Report{head.Position, d.checks}, nil
}

// Engine is a store whose engine is open in this process, whether or not a log is open on it.
func Engine(engine storage.Store) Patient { return bare{engine} }

type bare struct{ storage.Store }

func (b bare) own(ctx context.Context, head *storage.Head) (checks []storage.Check, err error) {
	if engine, ok := b.Store.(storage.Examiner); ok {
		if checks, err = engine.Examine(ctx); err != nil {
			return nil, err
		}
	}
	return append(checks, lifeOf(head.Life)), nil
}

// lifeOf says what may be done with a store.
func lifeOf(l storage.Life) storage.Check {
	c := storage.Check{Name: "life", OK: true}
	switch l.State {
	case storage.Live:
		c.Detail = "live"
	case storage.Moving:
		c.Detail = "moving to " + l.Place + ": it is sealed, and lethe store copy finishes the move"
	case storage.Moved:
		c.Detail = "moved to " + l.Place + ": it is sealed, and may be read"
	case storage.Filling:
		c.Detail = "an incomplete copy of another store: nobody may use it before lethe store copy has finished it"
	default:
		c.OK, c.Detail = false, l.State.String()+", which this version does not know"
	}
	return c
}

func (b bare) page(ctx context.Context, q storage.Query) ([]event.Event, error) {
	found, err := b.Page(ctx, q)
	if err != nil || len(found.Records) == 0 || found.Records[0].Body == nil {
		return nil, err
	}
	e, err := found.Records[0].Event()
	return []event.Event{e}, err
}

func (b bare) verify(ctx context.Context, progress Progress) (log.Report, error) {
	return log.Verify(ctx, b.Store, progress)
}

// Server is a store behind a server. What it lies in is asked where it lies.
func Server(c *client.Client) Patient { return distant{c} }

type distant struct{ *client.Client }

func (d distant) own(ctx context.Context, _ *storage.Head) ([]storage.Check, error) {
	who, err := d.Stores.Whoami(ctx, connect.NewRequest(new(lethev1.WhoamiRequest)))
	if err != nil {
		return nil, err
	}
	detail := fmt.Sprintf("version %s, store %s", who.Msg.GetVersion(), who.Msg.GetStore())
	return []storage.Check{{Name: "server", OK: true, Detail: detail}}, nil
}

func (d distant) page(ctx context.Context, q storage.Query) ([]event.Event, error) {
	page, err := d.As(event.Actor{}).Page(ctx, lethe.PageQuery{Query: q})
	return page.Events, err
}

func (d distant) verify(ctx context.Context, progress Progress) (log.Report, error) {
	return d.Verify(ctx, progress)
}

// damage tells whether an error says that the store is damaged, and not that it could not be asked.
func damage(err error) bool {
	return errors.Is(err, event.ErrCorrupt) || errors.Is(err, event.ErrFormat)
}
