package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ingest"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/show"
)

// importFlags are the flags of import.
type importFlags struct {
	mapFile, rejects string
	strict           bool
}

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use: "import --map FILE INPUT…", Short: "Import events from XES, JSON Lines and CSV files", Args: want("INPUT…"),
		Long: `Appends what files of other systems say as events. A map, a small YAML file, says what events
each record becomes; docs/import.md describes it. Inputs may be packed by gzip; - is standard
input.

Importing again adds nothing, so an import that was interrupted is finished by running the
same command again. A record that cannot be imported is named in the reject file by input,
record, line, code and cause, never by its content; without --rejects the first ten are named
on stderr. The exit code is then 8. With --strict the first such record ends the import.

Into a server's store it needs a token that may read, append and administer: ids are made with
a key of the store, by which guesses about imported records could be tested.`,
		Example: "  lethe import --map examples/loans/import.yaml bpi-challenge-2012.xes.gz\n" +
			"  lethe import --map invoices.yaml --rejects rejects.jsonl -o json invoices-*.csv",
		RunE: func(cmd *cobra.Command, args []string) error { return a.importFiles(cmd.Context(), &f, args) },
	}
	cmd.Flags().StringVar(&f.mapFile, "map", "", "the map, a YAML `file`")
	cmd.Flags().StringVar(&f.rejects, "rejects", "", "write rejected records to this `file`, which is made anew")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "stop at the first record that cannot be imported")
	return cmd
}

func (a *app) importFiles(ctx context.Context, f *importFlags, names []string) error {
	if f.mapFile == "" {
		return event.Invalid("usage", "import: --map is needed").Hint("see: lethe import --help")
	}
	text, err := os.ReadFile(f.mapFile)
	if err != nil {
		return fmt.Errorf("read map: %w", err)
	}
	m, err := ingest.ParseMap(text)
	if err != nil {
		return fmt.Errorf("read map %s: %w", f.mapFile, err)
	}
	inputs, err := a.inputs(names)
	if err != nil {
		return err
	}
	return a.with(ctx, opening.Creating, func(s *opened) error {
		// An import appends as much as the store takes. On its way through services in the same process each event is
		// encoded and decoded once more, which makes the whole a third slower; so of a folder it takes the log itself.
		key, err := s.log.ImportKey(ctx)
		if err != nil {
			return err
		}
		rejects := io.WriteCloser(&shownRejects{app: a})
		if f.rejects != "" {
			if rejects, err = os.Create(f.rejects); err != nil {
				return fmt.Errorf("make reject file: %w", err)
			}
		}
		progress := a.out.Meter("import")
		defer progress.Stop()
		sum, err := ingest.Run(ctx, s.log.As(event.Actor{}), key, m, inputs, ingest.Options{
			Strict: f.strict, Rejects: rejects, Clock: a.Clock,
			Progress: func(p ingest.Progress) { progress.At(p.Bytes, p.Total, p.Records, "records") },
		})
		progress.Stop()
		if closing := rejects.Close(); err == nil && closing != nil {
			err = fmt.Errorf("write reject file: %w", closing)
		}
		return errors.Join(a.importEnd(ctx, sum, err, f), a.showSummary(sum))
	})
}

// inputs checks that every input is there before the first is read.
func (a *app) inputs(names []string) ([]ingest.Input, error) {
	inputs := make([]ingest.Input, len(names))
	for i, name := range names {
		inputs[i] = ingest.Input{Name: name, Open: func() (io.ReadCloser, error) { return a.office().Input(name) }}
		if name == "-" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
		if info.IsDir() {
			return nil, event.Invalid("usage", "read input: %s is a folder", name).Hint("name the files in it")
		}
		inputs[i].Size = info.Size()
	}
	return inputs, nil
}

func (a *app) showSummary(sum ingest.Summary) error {
	return a.out.Single(sum, []show.Field{
		{"records", fmt.Sprint(sum.Records)}, {"events added", fmt.Sprint(sum.EventsAdded)},
		{"events skipped", fmt.Sprint(sum.EventsSkipped)}, {"rejected", fmt.Sprint(sum.Rejected)},
		{"seconds", fmt.Sprintf("%.1f", sum.Seconds)},
	}...)
}

// importEnd is how an import ended that did what the summary says.
func (a *app) importEnd(ctx context.Context, sum ingest.Summary, err error, f *importFlags) error {
	switch {
	case err != nil && ctx.Err() != nil:
		return &outcome{errInterrupted, fmt.Sprintf("import: interrupted after %d records", sum.Records),
			"run the same command again to go on"}
	case err != nil:
		return err
	case sum.Rejected == 0:
		return nil
	}
	next := "mend the records and run it again; --rejects FILE names all of them"
	if f.rejects != "" {
		next = "look into " + f.rejects + ", mend the records and run it again"
	}
	return &outcome{errPartial, fmt.Sprintf("import: %d of %d records were rejected", sum.Rejected, sum.Records), next}
}

// shownRejects shows the first rejected records on stderr, where no file is named for them.
type shownRejects struct {
	app   *app
	lines int
}

const maxShownRejects = 10

func (r *shownRejects) Write(b []byte) (int, error) {
	r.lines += bytes.Count(b, []byte("\n"))
	switch {
	case r.lines <= maxShownRejects:
		r.app.out.Say("rejected: %s", bytes.TrimRight(b, "\n"))
	case r.lines == maxShownRejects+1:
		r.app.out.Say("rejected: more; --rejects FILE names all of them")
	}
	return len(b), nil
}

func (r *shownRejects) Close() error { return nil }
