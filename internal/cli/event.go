package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
)

func (a *app) eventCommand() *cobra.Command {
	return group("event", "Append events and find them", `An event is something that happened: it has a type, belongs to a stream such as
application/1, and never changes. These commands append events and find them again.`,
		a.eventAppendCommand(), a.eventGetCommand(), a.eventQueryCommand(), a.eventTailCommand(), a.eventWhyCommand(),
		a.office().OpenCommand())
}

// purposeHelp is what the help of a command that reads says of personal data.
const purposeHelp = `What is personal is shown only for a purpose and a reason that the policy of the store allows;
the use is recorded first. Everything else is withheld, and it says why.`

func (a *app) eventGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show one event", Args: want("ID"),
		Long: "Shows everything the log holds of one event. With -o json it is the whole envelope.\n\n" + purposeHelp,
		Example: "  lethe event get 0198c0de-7c1f-7000-8000-000000000001\n" +
			"  lethe event get 0198c0de-7c1f-7000-8000-000000000001 --purpose support --reason \"ticket 7\" -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := event.ParseID(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				e, err := a.reader(s).Event(cmd.Context(), id)
				if err != nil {
					return err
				}
				fields, err := a.out.EventFields(&e)
				if err != nil {
					return err
				}
				a.seen(&e)
				return a.out.Single(e, fields...)
			})
		},
	}
	a.mayOpen(cmd)
	return cmd
}

// queryFlags are the flags of event query.
type queryFlags struct {
	phrase.Filter
	from, to       uint64
	since, until   string
	reverse, count bool
	pruned         bool
	limit          uint32
}

func (f *queryFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.Filter.Register(flags)
	flags.Uint64Var(&f.from, "from", 0, "from this position on")
	flags.Uint64Var(&f.to, "to", 0, "up to this position")
	flags.StringVar(&f.since, "since", "", "recorded at or after this `time`: RFC 3339, a date, or how long ago (24h)")
	flags.StringVar(&f.until, "until", "", "recorded before this `time`")
	flags.BoolVar(&f.reverse, "reverse", false, "the newest first")
	flags.Uint32Var(&f.limit, "limit", 0, "at most so many; 0: all")
	flags.BoolVar(&f.count, "count", false, "only say how many there are")
	flags.BoolVar(&f.pruned, "truncated", false, "also events that were truncated, of which only the header is left")
}

// filter is the filter that flags mean.
func (a *app) filter(f *phrase.Filter) (event.Filter, error) {
	if err := a.refer(&f.Referred); err != nil {
		return nil, err
	}
	filter, err := f.Parse()
	if err == nil {
		err = f.Left()
	}
	return filter, err
}

func (a *app) query(f *queryFlags) (lethe.Query, error) {
	filter, err := a.filter(&f.Filter)
	if err != nil {
		return lethe.Query{}, err
	}
	if f.from > 0 && f.to > 0 && f.from > f.to {
		return lethe.Query{}, event.Invalid("malformed_position", "query: --from %d is after --to %d", f.from, f.to)
	}
	q := lethe.Query{
		Filter: filter, From: event.Position(f.from), To: event.Position(f.to),
		Backward: f.reverse, Limit: int(f.limit), Pruned: f.pruned,
	}
	if f.reverse {
		q.From, q.To = q.To, q.From
	}
	if q.Since, err = phrase.ParseTime(a.Clock.Now(), "since", f.since); err == nil {
		q.Until, err = phrase.ParseTime(a.Clock.Now(), "until", f.until)
	}
	return q, err
}

func (a *app) eventQueryCommand() *cobra.Command {
	var f queryFlags
	cmd := &cobra.Command{
		Use: "query", Short: "Find events of the whole log", Args: want(),
		Long: `Finds events by type, kind, stream, relation, metadata, correlation and causation, in a
range of positions or times, in the order of the log. Everything that is given must hold.
All of it is answered by an index, but metadata only for keys declared with --index-metadata.

` + refHelp,
		Example: `  lethe event query --type A_DECLINED+COMPLETE --relation issuer=employee/112 --count
  lethe event query --relation customer/4711 --since 24h
  lethe event query --relation customer/- --ref-file reference.txt
  lethe event query --kind application --reverse --limit 10 -o jsonl`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := a.query(&f)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
				if f.count {
					return a.count(cmd.Context(), s, q)
				}
				return a.showEvents(a.reader(s).Query(cmd.Context(), q))
			})
		},
	}
	f.register(cmd)
	a.mayOpen(cmd)
	return cmd
}

func (a *app) count(ctx context.Context, s *opened, q lethe.Query) error {
	count := uint64(0)
	for _, err := range s.As(event.Actor{}).Query(ctx, q) {
		if err != nil {
			return err
		}
		count++
	}
	return a.out.Single(struct {
		Count uint64 `json:"count"`
	}{count}, show.Field{"count", number(count)})
}

// showEvents lists what it is given. What came before an error is shown.
func (a *app) showEvents(events func(yield func(event.Event, error) bool)) error {
	list := a.events()
	var failure error
	for e, err := range events {
		if err == nil {
			err = list.event(&e)
		}
		if failure = err; err != nil {
			break
		}
	}
	return list.End(failure)
}
