package cli

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/storage"
)

// actorFlag adds --as to a command that changes the store.
func actorFlag(cmd *cobra.Command) func() (event.Actor, error) {
	text := cmd.Flags().String("as", "", "who acts, `kind/id`: becomes the relation issuer")
	return func() (event.Actor, error) {
		if *text == "" {
			return event.Actor{}, nil
		}
		return phrase.ParseActor(*text)
	}
}

func (a *app) streamCloseCommand() *cobra.Command {
	var ref phrase.Referred
	cmd := &cobra.Command{
		Use: "close STREAM", Short: "End a stream for good", Args: want("STREAM"),
		Long: "Ends a stream: no later append to it is accepted. Its events stay. It cannot be undone.\n" +
			"The act is an event in the stream lethe/streams.",
		Example: "  lethe stream close application/1 --as employee/112",
	}
	ref.Register(cmd.Flags())
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		stream, err := a.stream(&ref, args[0])
		if err != nil {
			return err
		}
		by, err := actor()
		if err != nil {
			return err
		}
		return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
			if err := s.As(by).CloseStream(cmd.Context(), stream); err != nil {
				return err
			}
			return a.showState(cmd.Context(), s, stream)
		})
	}
	return cmd
}

func (a *app) showState(ctx context.Context, s *opened, stream event.StreamID) error {
	state, err := s.state(ctx, stream)
	if err != nil {
		return err
	}
	fields := []show.Field{{"stream", state.Stream.String()}, {"version", number(state.Version)},
		{"closed", fmt.Sprint(state.Closed)}}
	if state.Truncated > 0 {
		fields = append(fields, show.Field{"truncated before", number(state.Truncated)})
	}
	return a.out.Single(lineOf(state), fields...)
}

// truncation is what a truncation does, or would do.
type truncation struct {
	Stream string        `json:"stream"`
	Before event.Version `json:"before"`
	Pruned uint64        `json:"events_pruned"`
	DryRun bool          `json:"dry_run"`
}

func (t truncation) fields() []show.Field {
	done := "events pruned"
	if t.DryRun {
		done = "events to prune"
	}
	return []show.Field{{"stream", t.Stream}, {"before version", number(t.Before)}, {done, number(t.Pruned)}}
}

func (a *app) streamTruncateCommand() *cobra.Command {
	var before uint64
	var confirm string
	var ref phrase.Referred
	dry := false
	cmd := &cobra.Command{
		Use: "truncate STREAM --before VERSION", Short: "Prune the events of a stream below a version", Args: want("STREAM"),
		Long: `Prunes the events of a stream below a version: what they say is removed for good. Their
headers (id, type, position, version, time) and their leaves stay, so positions, versions and
proofs hold.

--dry-run says how many events it would prune and does nothing. The act needs --confirm with
the stream's name; on a terminal it is asked for. The act is an event in lethe/streams.`,
		Example: "  lethe stream truncate application/1 --before 10 --dry-run\n" +
			"  lethe stream truncate application/1 --before 10 --confirm application/1",
	}
	ref.Register(cmd.Flags())
	actor := actorFlag(cmd)
	cmd.Flags().Uint64Var(&before, "before", 0, "prune events below this `version`")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done and do nothing")
	cmd.Flags().StringVar(&confirm, "confirm", "", "the stream's name once more, `kind/id`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		stream, err := a.stream(&ref, args[0])
		if err != nil {
			return err
		}
		by, err := actor()
		if err != nil {
			return err
		}
		return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
			t, err := planTruncation(cmd.Context(), s, stream, event.Version(before))
			if err != nil {
				return err
			}
			if t.DryRun = dry; !dry {
				name := stream.String()
				if ref.File != "" {
					name = t.Stream
				}
				question := fmt.Sprintf("This removes what %d events of %s say, for good.", t.Pruned, name)
				if err = a.confirm(confirm, name, question); err == nil {
					err = s.As(by).TruncateStream(cmd.Context(), stream, t.Before)
				}
			}
			if err != nil {
				return err
			}
			return a.out.Single(t, t.fields()...)
		})
	}
	return cmd
}

// planTruncation counts what a truncation prunes, and refuses what the log would.
func planTruncation(ctx context.Context, s *opened, stream event.StreamID, before event.Version) (truncation, error) {
	state, err := s.state(ctx, stream)
	if err != nil {
		return truncation{}, err
	}
	first := max(state.Truncated, 1)
	if before <= first || before > state.Version+1 {
		return truncation{}, event.Invalid("malformed_version",
			"truncate %s: want --before from %d to %d: events below %d are pruned already, and it is at version %d",
			state.Stream, first+1, state.Version+1, first, state.Version)
	}
	return truncation{Stream: state.Stream.String(), Before: before, Pruned: uint64(before - first)}, nil
}

// confirm lets nothing irreversible happen blindly: the words must be given, by flag or on a terminal.
func (a *app) confirm(given, words, question string) error {
	if given == "" && show.Width(a.Stdin) > 0 && show.Width(a.Stderr) > 0 {
		fmt.Fprintf(a.Stderr, "%s\nType %s to go on: ", question, words)
		line, err := bufio.NewReader(a.Stdin).ReadString('\n')
		if err != nil {
			return fmt.Errorf("confirm: %w", err)
		}
		given = strings.TrimSpace(line)
	}
	if given == words {
		return nil
	}
	return event.Invalid("not_confirmed", "confirm: this cannot be undone and was not confirmed; nothing was done").
		Hint("look with --dry-run, then give --confirm %s", words)
}

func (a *app) streamMaxAgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "max-age [KIND DURATION]", Short: "Limit how long events of a kind are kept",
		Long: `Limits how long what events in streams of a kind say is kept, counted from when they were
recorded: a duration such as 720h or 90d; 0 lifts the limit. Nothing is removed by this alone:
lethe stream expire does it. Without arguments it lists the limits in force.`,
		Example: "  lethe stream max-age session 30d\n  lethe stream max-age session 0\n  lethe stream max-age",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return want("KIND", "DURATION")(cmd, args)
		},
	}
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		by, err := actor()
		if err != nil {
			return err
		}
		age := time.Duration(0)
		if len(args) > 0 {
			if age, err = phrase.ParseAge(args[1]); err != nil {
				return err
			}
		}
		return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
			if len(args) > 0 {
				if err := s.As(by).SetMaxAge(cmd.Context(), args[0], age); err != nil {
					return err
				}
			}
			return a.listAges(cmd.Context(), s)
		})
	}
	return cmd
}

func (a *app) listAges(ctx context.Context, s *opened) error {
	ages, err := s.MaxAges(ctx)
	if err != nil {
		return err
	}
	list := a.out.List("kind", "max age")
	for _, kind := range slices.Sorted(maps.Keys(ages)) {
		line := struct {
			Kind    string `json:"kind"`
			Seconds int64  `json:"max_age_seconds"`
		}{kind, int64(ages[kind] / time.Second)}
		if err := list.Add(line, kind, ages[kind].String()); err != nil {
			return err
		}
	}
	return list.Close()
}

func (a *app) streamExpireCommand() *cobra.Command {
	var confirm string
	dry := false
	cmd := &cobra.Command{
		Use: "expire", Short: "Prune what is older than the max age of its kind", Args: want(),
		Long: `Truncates every stream of a kind with a max age up to its first event that is young enough.
What pruned events say is removed for good; see lethe stream truncate --help.

--dry-run lists what it would prune and does nothing. The act needs --confirm with the kinds
that have a max age, by name and parted by commas, so that a job never prunes a kind that its
author did not know of; on a terminal they are asked for.`,
		Example: "  lethe stream expire --dry-run\n  lethe stream expire --confirm cart,session",
	}
	actor := actorFlag(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done and do nothing")
	cmd.Flags().StringVar(&confirm, "confirm", "", "the `kinds` that have a max age, parted by commas")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		by, err := actor()
		if err != nil {
			return err
		}
		return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
			ages, err := s.MaxAges(cmd.Context())
			if err != nil {
				return err
			}
			if dry {
				return a.planExpiry(cmd.Context(), s, ages)
			}
			if len(ages) == 0 {
				return event.Errorf(event.ErrNotFound, "expire: no kind has a max age").
					Hint("set one with: lethe stream max-age KIND DURATION")
			}
			kinds := strings.Join(slices.Sorted(maps.Keys(ages)), ",")
			if err := a.confirm(confirm, kinds, "This removes what events beyond their max age say, for good."); err != nil {
				return err
			}
			count, err := s.As(by).Expire(cmd.Context())
			if err != nil {
				return err
			}
			return a.out.Single(struct {
				Streams int `json:"streams_truncated"`
			}{count}, show.Field{"streams truncated", fmt.Sprint(count)})
		})
	}
	return cmd
}

// planExpiry lists the truncations that Expire would make.
func (a *app) planExpiry(ctx context.Context, s *opened, ages map[string]time.Duration) error {
	list := a.out.List("stream", "before version", "events")
	for _, kind := range slices.Sorted(maps.Keys(ages)) {
		cutoff := a.Clock.Now().Add(-ages[kind])
		err := eachStream(ctx, s, storage.StreamQuery{Kind: kind, Limit: 256},
			func(state storage.StreamState) (bool, error) {
				first := max(state.Truncated, 1)
				before, err := firstYoung(ctx, s, state.Stream, first, cutoff)
				if err != nil || before <= first {
					return true, err
				}
				t := truncation{state.Stream.String(), before, uint64(before - first), true}
				return true, list.Add(t, t.Stream, number(t.Before), number(t.Pruned))
			})
		if err != nil {
			return err
		}
	}
	return list.Close()
}

// firstYoung is the version of the first event recorded at or after cutoff, from version first on.
func firstYoung(ctx context.Context, s *opened, stream event.StreamID, first event.Version, cutoff time.Time,
) (event.Version, error) {
	for e, err := range s.As(event.Actor{}).Read(ctx, stream, lethe.Range{From: first, Pruned: true}) {
		if err != nil || !e.RecordedAt.Before(cutoff.Truncate(time.Microsecond)) {
			return first, err
		}
		first = e.Version + 1
	}
	return first, nil
}
