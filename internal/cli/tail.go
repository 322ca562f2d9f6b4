package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
)

func (a *app) eventTailCommand() *cobra.Command {
	var f phrase.Filter
	var after string
	var last uint32
	follow := false
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the last events, and those to come", Args: want(),
		Long: `Shows the last events that match, or with --after everything since a cursor. At the end it
writes to stderr the cursor to resume from: given to --after later, nothing is missed and
nothing comes twice.

With --follow it waits for more until it is interrupted. Of a server any number of programs
follow while others append, and the connection is made again when it breaks. A folder is held
by one process at a time: while it is followed, no other process can append there.`,
		Example: `  lethe event tail
  lethe event tail -n 50 --kind application
  lethe event tail --follow --store http://127.0.0.1:7070
  lethe event tail --after "$CURSOR" -o jsonl`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := atMostOne(cmd.Flags(), "after", "last"); err != nil {
				return err
			}
			filter, err := a.filter(&f)
			if err != nil {
				return err
			}
			cursor, err := event.ParseCursor(after)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				t := tail{app: a, store: s, session: a.reader(s), filter: filter, list: a.events()}
				return t.run(cmd.Context(), cursor, !cmd.Flags().Changed("after"), int(last), follow)
			})
		},
	}
	f.Register(cmd.Flags())
	a.mayOpen(cmd)
	cmd.Flags().StringVar(&after, "after", "", "everything after this `cursor`; an empty one is the start of the log")
	cmd.Flags().Uint32VarP(&last, "last", "n", 10, "so many of the last events")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more")
	return cmd
}

type tail struct {
	app     *app
	store   *opened
	session *lethe.Session
	filter  event.Filter
	list    eventListing
}

func (t *tail) run(ctx context.Context, cursor event.Cursor, fromEnd bool, last int, follow bool) error {
	var err error
	if fromEnd {
		cursor, err = t.showLast(ctx, last)
	}
	if err == nil {
		cursor, err = t.goOn(ctx, cursor, follow)
	}
	if follow && errors.Is(err, context.Canceled) {
		err = nil // an interrupt is how following ends
	}
	if err = t.list.End(err); err == nil {
		t.app.out.Say("resume with --after %q", cursor.String())
	}
	return err
}

// showLast shows the last events up to the head, and gives the cursor there.
func (t *tail) showLast(ctx context.Context, last int) (event.Cursor, error) {
	head, err := t.store.Head(ctx)
	if err != nil || head.Position == 0 || last == 0 {
		return t.store.Cursor(head.Position), err
	}
	var events []event.Event
	q := lethe.Query{Filter: t.filter, From: head.Position, Backward: true, Limit: last}
	for e, err := range t.session.Query(ctx, q) {
		if err != nil {
			return event.Cursor{}, err
		}
		events = append(events, e)
	}
	for _, e := range slices.Backward(events) {
		if err := t.list.event(&e); err != nil {
			return event.Cursor{}, err
		}
	}
	return t.store.Cursor(head.Position), t.list.Flush()
}

// goOn shows what comes after the cursor: up to the head, or for ever.
func (t *tail) goOn(ctx context.Context, cursor event.Cursor, follow bool) (event.Cursor, error) {
	for batch, err := range t.session.Batches(ctx, t.filter, cursor) {
		if err != nil {
			return cursor, err
		}
		for i := range batch.Events {
			if err := t.list.event(&batch.Events[i]); err != nil {
				return cursor, err
			}
		}
		if err := t.list.Flush(); err != nil {
			return cursor, err
		}
		cursor = batch.Cursor
		if batch.Live && !follow {
			break
		}
	}
	return cursor, nil
}
