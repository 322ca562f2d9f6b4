package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/archive"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/show"
)

func (a *app) storeCommand() *cobra.Command {
	return group("store", "Move a store", "Commands for a store as a whole.", &cobra.Command{
		Use: "copy FROM TO", Short: "Move a store to another folder or database", Args: want("FROM", "TO"),
		Long: `Moves the store FROM to TO, which is new or empty. Each is a folder or the address of a database,
postgres://…. Events keep positions, ids, versions, times and leaves; closed and truncated
streams, how far followers came, and tokens come along. The copy counts only if it proves, from
its own rows, to have the root of FROM.

Keys of persons stay in the keystore of FROM: commands on TO are told by --keys where that is.

FROM ends sealed: it can still be read, and says where it moved. The two are never both open for
appends. An interrupted copy is finished by the same command; until then TO cannot be used. A
database may be written to until the copy is close behind; stop a server that holds a folder.`,
		Example: "  lethe store copy ./data postgres://lethe@db.example.org/bank\n" +
			"  lethe store copy 'postgres://lethe@db.example.org/bank?schema=trial' ./trial -o json",
		RunE: func(cmd *cobra.Command, args []string) error { return a.copyStore(cmd.Context(), args[0], args[1]) },
	})
}

// whereabouts is a store's name that holds for whoever reads it, wherever they are on the machine.
func whereabouts(store string) (string, error) {
	switch scheme, _, named := strings.Cut(store, "://"); {
	case scheme == "http" || scheme == "https":
		return "", event.Errorf(event.ErrUnsupported, "copy store: a server's store is not copied through the server").
			Hint("run it where the server runs, on the folder or database it keeps the store in")
	case named:
		return opening.Shown(store), nil
	}
	path, err := filepath.Abs(store)
	if err != nil {
		return "", fmt.Errorf("copy store: %w", err)
	}
	return path, nil
}

func (a *app) copyStore(ctx context.Context, from, to string) (err error) {
	source, err := whereabouts(from)
	if err != nil {
		return err
	}
	target, err := whereabouts(to)
	if err != nil {
		return err
	}
	if opening.Same(from, to) {
		return event.Invalid("usage", "copy store: FROM and TO are both %s", source)
	}
	old, _, err := a.opener().Engine(ctx, opening.Place{Name: from}, opening.Existing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if err := archive.CheckSource(ctx, old, target); err != nil {
		return err
	}
	fresh, _, err := a.opener().Engine(ctx, opening.Place{Name: to}, opening.Creating)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()

	meters := make(map[archive.Step]*show.Meter)
	report, err := archive.Copy(ctx, old, fresh, archive.CopyOptions{
		Place: target,
		Progress: func(s archive.Step, done, head event.Position) {
			if meters[s] == nil {
				meters[s] = a.out.Meter(string(s))
			}
			meters[s].At(int64(done), int64(head), int64(done), "events")
		},
	})
	for _, m := range meters {
		m.Stop()
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return &outcome{errInterrupted, "copy store: interrupted", "run the same command again to go on"}
	case err != nil:
		return err
	case report.Already:
		a.out.Say("it had moved before; nothing was changed")
	}
	keyed, err := a.opener().Keyed(ctx, opening.Place{Name: from})
	if err != nil {
		return err
	}
	if keyed && a.settings.Keys == "" {
		a.out.Say("note: the keys of persons were not copied; from now on name where they are: --keys %s", source)
	}
	root := hex.EncodeToString(report.Root[:])
	return a.out.Single(struct {
		archive.Report
		Root string `json:"root"`
		From string `json:"from"`
		To   string `json:"to"`
	}{report, root, source, target},
		[]show.Field{{"events", fmt.Sprint(report.Events)}, {"streams", fmt.Sprint(report.Streams)},
			{"cursors", fmt.Sprint(report.Cursors)}, {"tokens", fmt.Sprint(report.Tokens)}, {"root", root},
			{"from", source}, {"to", target}}...)
}
