package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/sealed"
)

// mayOpen adds --purpose, --reason and --actor to a command that reads.
func (a *app) mayOpen(cmd *cobra.Command) { a.purpose.Register(cmd.Flags()) }

// reader is the session in which a command reads: for a purpose, where the command line names one.
func (a *app) reader(s *opened) *lethe.Session {
	if a.opening.IsZero() {
		return s.As(event.Actor{})
	}
	return s.For(a.opening)
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

// sealedGroup is what was sealed under one group.
type sealedGroup struct {
	Group string   `json:"group"`
	Paths []string `json:"paths"`
	Until string   `json:"until,omitempty"` // last day it is kept
}

// describeSealed fills in what was sealed in an event that was just appended, by reading it without a purpose. Who may
// not read is told nothing more; the append holds.
func (a *app) describeSealed(ctx context.Context, s *opened, p *place) {
	e, err := s.As(event.Actor{}).Event(ctx, p.ID)
	if err != nil {
		if !errors.Is(err, event.ErrDenied) {
			a.out.Say("note: it was appended, but cannot be read back to tell what was sealed [%s]", event.Code(err))
		}
		return
	}
	for _, w := range e.Withheld {
		i := slices.IndexFunc(p.Sealed, func(g sealedGroup) bool { return g.Group == w.Group })
		if i < 0 {
			i = len(p.Sealed)
			p.Sealed = append(p.Sealed, sealedGroup{Group: w.Group, Until: keptUntil(&e, w.Group)})
		}
		p.Sealed[i].Paths = append(p.Sealed[i].Paths, w.Path)
	}
	person := func(kind, id string) {
		text := kind + "/" + id
		if event.IsKRID(id) && !slices.Contains(p.Persons, text) {
			p.Persons = append(p.Persons, text)
		}
	}
	person(e.Stream.Kind, e.Stream.ID)
	for _, r := range e.Relations {
		person(r.Kind, r.ID)
	}
}

// keptUntil is the last day on which something of a group in an event can be opened; empty: there is no fixed end.
func keptUntil(e *event.Event, group string) string {
	boxes, err := sealed.Parse(e.Boxes)
	if err != nil {
		return ""
	}
	last := int64(0)
	for i := range boxes {
		if boxes[i].Group != group {
			continue
		}
		if boxes[i].Bucket == 0 {
			return ""
		}
		last = max(last, boxes[i].Bucket)
	}
	if last == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", last/10000, last/100%100, last%100)
}

// sealedFields say it to people.
func (p *place) sealedFields() []show.Field {
	var what, ends []string
	for _, g := range p.Sealed {
		for _, path := range g.Paths {
			what = append(what, path+" under "+g.Group)
		}
		if g.Until != "" {
			ends = append(ends, g.Group+" "+g.Until)
		}
	}
	fields := []show.Field{{"sealed", strings.Join(what, ", ")}, {"persons", strings.Join(p.Persons, ", ")},
		{"kept until", strings.Join(ends, ", ")}}
	return slices.DeleteFunc(fields, func(f show.Field) bool { return f[1] == "" })
}
