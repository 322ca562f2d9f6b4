package cli

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/storage"
)

func (a *app) streamCommand() *cobra.Command {
	return group("stream", "Look at streams, close and truncate them",
		`A stream is the events of one entity, such as application/1, in order: its versions run from
1 without a gap. These commands list streams, show them as they are or were, and end them.`,
		a.streamListCommand(), a.streamShowCommand(), a.streamAtCommand(), a.streamDiffCommand(),
		a.streamCloseCommand(), a.streamTruncateCommand(), a.streamMaxAgeCommand(), a.streamExpireCommand())
}

// streamLine is a stream as it is shown.
type streamLine struct {
	Stream    string        `json:"stream"`
	Version   event.Version `json:"version"`
	Closed    bool          `json:"closed"`
	Truncated event.Version `json:"truncated_before,omitempty"`
}

func lineOf(s storage.StreamState) streamLine {
	return streamLine{s.Stream.String(), s.Version, s.Closed, s.Truncated}
}

func (a *app) streamListCommand() *cobra.Command {
	var kind, after string
	var limit uint32
	cmd := &cobra.Command{
		Use: "ls", Short: "List streams", Args: want(),
		Long: "Lists streams ordered by kind and id. Streams of Lethe itself are shown with --kind lethe.",
		Example: "  lethe stream ls --kind application --limit 20\n" +
			"  lethe stream ls --kind application --after application/1042 --limit 20",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := storage.StreamQuery{Kind: kind, Limit: 256}
			var err error
			if after != "" {
				if q.After, err = event.ParseStream(after); event.Code(err) == "personal_reference" {
					return event.Invalid("personal_reference", "list streams: --after looks like an e-mail address").
						Hint("streams of persons are listed by alias: give the one that was listed last")
				} else if err != nil {
					return err
				}
			}
			if kind != "" {
				if err := event.Stream(kind, "any").Validate(); err != nil {
					return err
				}
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				return a.listStreams(cmd.Context(), s, q, int(limit))
			})
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "only streams of this kind")
	cmd.Flags().StringVar(&after, "after", "", "only streams behind this one, `kind/id`")
	cmd.Flags().Uint32Var(&limit, "limit", 0, "at most so many; 0: all")
	return cmd
}

func (a *app) listStreams(ctx context.Context, s *opened, q storage.StreamQuery, limit int) error {
	list := a.out.List("stream", "version", "closed", "truncated before")
	err := eachStream(ctx, s, q, func(state storage.StreamState) (bool, error) {
		if q.Kind == "" && state.Stream.Kind == event.SystemKind {
			return true, nil
		}
		closed, truncated := "", ""
		if state.Closed {
			closed = "closed"
		}
		if state.Truncated > 0 {
			truncated = number(state.Truncated)
		}
		err := list.Add(lineOf(state), state.Stream.String(), number(state.Version), closed, truncated)
		return list.Items() != limit, err
	})
	if closing := list.Close(); err == nil {
		err = closing
	}
	return err
}

// eachStream visits streams page by page until visit says no.
func eachStream(ctx context.Context, s *opened, q storage.StreamQuery,
	visit func(storage.StreamState) (bool, error),
) error {
	for {
		page, err := s.Streams(ctx, q)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, state := range page {
			if more, err := visit(state); err != nil || !more {
				return err
			}
		}
		q.After = page[len(page)-1].Stream
	}
}

// refHelp is what the help of a command that takes a stream says of those of persons.
const refHelp = `The id of a person may be any spelling of the reference, or the alias. One that identifies
directly, such as an e-mail address, does not belong on a command line: customer/- stands for it,
and --ref-file FILE gives it, - from standard input, where a terminal does not show it.`

// refer reads what the id - stands for, if --ref-file says where it is.
func (a *app) refer(r *phrase.Referred) error {
	if r.File == "" {
		return nil
	}
	ref, err := a.office().Reference("the id", r.File)
	r.Give(ref)
	return err
}

// stream reads an argument that names a stream.
func (a *app) stream(r *phrase.Referred, text string) (event.StreamID, error) {
	if err := a.refer(r); err != nil {
		return event.StreamID{}, err
	}
	s, err := r.Stream(text)
	if err == nil {
		err = r.Left()
	}
	return s, err
}

// state is what the store knows of one stream; event.ErrNotFound if it has no events.
func (s *opened) state(ctx context.Context, id event.StreamID) (storage.StreamState, error) {
	if err := id.ValidateForm(); err != nil {
		return storage.StreamState{}, err
	}
	first, err := s.As(event.Actor{}).Page(ctx, lethe.PageQuery{Query: storage.Query{Stream: id, Limit: 1}, Pruned: true})
	if err != nil {
		return storage.StreamState{}, err
	}
	if len(first.Events) > 0 {
		id = first.Events[0].Stream // a person's is listed under the alias
	}
	var found storage.StreamState
	q := storage.StreamQuery{Kind: id.Kind, After: justBefore(id), Limit: 1}
	err = eachStream(ctx, s, q, func(state storage.StreamState) (bool, error) {
		if state.Stream == id {
			found = state
		}
		return state.Stream.ID < id.ID, nil
	})
	if err != nil {
		return storage.StreamState{}, err
	}
	if found.Version == 0 {
		if id.Validate() != nil {
			id.ID = "-" // it identifies somebody directly
		}
		return storage.StreamState{}, event.Errorf(event.ErrNotFound, "find stream %s: it has no events", id).
			Hint("list streams with: lethe stream ls --kind %s", id.Kind)
	}
	return found, nil
}

// justBefore is a stream of the same kind that lies shortly before id: its last character is the one before, and then
// as many of the greatest one follow as an id may have. The zero stream stands before all.
func justBefore(id event.StreamID) event.StreamID {
	const greatest = "\U000E01EF"
	r, size := utf8.DecodeLastRuneInString(id.ID)
	head := id.ID[:len(id.ID)-size]
	for r--; r > ' '; r-- {
		if !utf8.ValidRune(r) { // it would become another character
			continue
		}
		before := head + string(r)
		before += strings.Repeat(greatest, (event.MaxIDBytes-min(len(before), event.MaxIDBytes))/len(greatest))
		if s := event.Stream(id.Kind, before); s.Validate() == nil {
			return s
		}
	}
	if head == "" {
		return event.StreamID{}
	}
	return event.Stream(id.Kind, head)
}

func (a *app) streamShowCommand() *cobra.Command {
	var from, to uint64
	var limit uint32
	var ref phrase.Referred
	reverse := false
	cmd := &cobra.Command{
		Use: "show STREAM", Short: "Show the events of a stream", Args: want("STREAM"),
		Long: "Shows a stream's events in order of version. Of truncated ones only the header is left.\n" +
			"With -o json it is one object: the state of the stream and its events.\n\n" + refHelp,
		Example: "  lethe stream show application/1\n  lethe stream show application/1 --reverse --limit 5\n" +
			"  lethe stream show customer/- --ref-file -",
		RunE: func(cmd *cobra.Command, args []string) error {
			stream, err := a.stream(&ref, args[0])
			if err != nil {
				return err
			}
			if from > 0 && to > 0 && from > to {
				return event.Invalid("malformed_version", "stream show: --from %d is after --to %d", from, to)
			}
			r := lethe.Range{From: event.Version(from), To: event.Version(to), Limit: int(limit), Pruned: true}
			if r.Backward = reverse; reverse {
				r.From, r.To = r.To, r.From
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				return a.showStream(cmd.Context(), s, stream, r)
			})
		},
	}
	ref.Register(cmd.Flags())
	a.mayOpen(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "from this version on")
	cmd.Flags().Uint64Var(&to, "to", 0, "up to this version")
	cmd.Flags().BoolVar(&reverse, "reverse", false, "the newest first")
	cmd.Flags().Uint32Var(&limit, "limit", 0, "at most so many; 0: all")
	return cmd
}

func (a *app) showStream(ctx context.Context, s *opened, stream event.StreamID, r lethe.Range) error {
	state, err := s.state(ctx, stream)
	if err != nil {
		return err
	}
	events := a.reader(s).Read(ctx, state.Stream, r)
	if a.settings.Output != show.JSON {
		if a.settings.Output == show.Table {
			a.out.Say("%s", describe(state))
		}
		return a.showEvents(events)
	}
	out := struct {
		streamLine
		Events []event.Event `json:"events"`
	}{lineOf(state), []event.Event{}}
	for e, err := range events {
		if err != nil {
			return err
		}
		a.seen(&e)
		out.Events = append(out.Events, e)
	}
	return a.out.Single(out)
}

// describe says in words what state a stream is in.
func describe(s storage.StreamState) string {
	text := s.Stream.String() + " is at version " + number(s.Version)
	if s.Closed {
		text += ", closed"
	}
	if s.Truncated > 0 {
		text += ", truncated before version " + number(s.Truncated)
	}
	return text
}
