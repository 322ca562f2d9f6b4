package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/sealed"
)

// mayOpen adds --purpose, --reason, --actor and --present to a command that reads.
func (a *app) mayOpen(cmd *cobra.Command) {
	a.purpose.Register(cmd.Flags())
	cmd.Flags().BoolVar(&a.present, "present", false, "data in the form of the present version of its schema")
}

// reader is the session in which a command reads: for a purpose, where the command line names one.
func (a *app) reader(s *opened) *lethe.Session {
	session := s.As(event.Actor{})
	if !a.opening.IsZero() {
		session = s.For(a.opening)
	}
	if a.present {
		return session.Present()
	}
	return session
}

// seen says once that a use was recorded, when the first event comes in which something was opened.
func (a *app) seen(e *event.Event) {
	if a.opening.IsZero() || a.logged || !released(e) {
		return
	}
	a.logged = true
	a.out.UseLogged(a.opening)
}

// released tells whether an event that was read for a purpose shows something personal.
func released(e *event.Event) bool {
	if len(e.Names) > 0 {
		return true
	}
	boxes, err := sealed.Parse(e.Boxes)
	return err == nil && slices.ContainsFunc(boxes, func(b sealed.Box) bool {
		return !slices.ContainsFunc(e.Withheld, func(w event.Withheld) bool { return w.Group == b.Group })
	})
}

// describeSealed fills in what was sealed in the events of one append, by reading them without a purpose. Who may not
// read is told nothing more; the append holds.
func (a *app) describeSealed(ctx context.Context, s *opened, places []place) {
	fill := func(p *place, e *event.Event) {
		p.Stream, p.Sealed, p.Persons = e.Stream.String(), show.SealedIn(e), show.PersonsOf(e)
	}
	var err error
	session := s.As(event.Actor{})
	if len(places) == 1 { // who may read some kinds only may read this one
		var e event.Event
		if e, err = session.Event(ctx, places[0].ID); err == nil {
			fill(&places[0], &e)
		}
	} else {
		first := places[0].Position
		for e, failed := range session.Query(ctx, lethe.Query{From: first, To: places[len(places)-1].Position}) {
			if err = failed; err != nil {
				break
			}
			if i := int64(e.Position) - int64(first); i >= 0 && i < int64(len(places)) && places[i].ID == e.ID {
				fill(&places[i], &e)
			}
		}
	}
	if err != nil && !errors.Is(err, event.ErrDenied) {
		a.out.Say("note: it was appended, but cannot be read back to tell what was sealed [%s]", event.Code(err))
	}
}

// eventListing lists events, and says so when something in them was opened.
type eventListing struct {
	*show.Events
	app *app
}

func (a *app) events() eventListing { return eventListing{a.out.Events(), a} }

func (l eventListing) event(e *event.Event) error {
	l.app.seen(e)
	return l.Event(e)
}
