package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/doctor"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/storage"
)

func (a *app) doctorCommand() *cobra.Command {
	reindex := false
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check a store from the ground up", Args: want(),
		Long: `Opens the store and checks it: what it lies in (files, settings and lock of a folder; version,
durability and upkeep of a database), whether it is live, moved or an incomplete copy, the head
and its lineage, the index, and the tree. The tree is proven from the rows: every event's leaf
is computed anew from what is stored and compared, and all leaves must give the stored tiles and
the right edge of the Merkle tree. It needs little memory, and time in proportion to the log; it
changes nothing, but for --reindex.

Of a server's store it checks head, lineage, index and tree; the rest belongs to the machine on
which the server runs. It needs a token that may read and administer.

What does not fit is named by its position; the exit code is then 7.`,
		Example: "  lethe doctor\n  lethe doctor --reindex\n  lethe doctor --store https://lethe.example.org:7070 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.remote() && reindex:
				return event.Errorf(event.ErrUnsupported, "doctor: a server's index is not built anew from afar").
					Hint("run it where the server runs, on the folder or database it keeps the store in")
			case a.remote():
				return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
					return a.examine(cmd.Context(), s.where, doctor.Server(s.Client))
				})
			}
			return a.withEngine(cmd.Context(), func(s *opened) error {
				if reindex {
					if err := s.reindex(cmd.Context()); err != nil {
						return err
					}
					a.out.Say("the index was built anew")
				}
				return a.examine(cmd.Context(), s.where, doctor.Engine(s.engine))
			})
		},
	}
	cmd.Flags().BoolVar(&reindex, "reindex", false, "drop the index and build it anew from the rows first")
	return cmd
}

// check is one line of doctor's report.
type check struct {
	Name   string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// examine shows every check, and then fails if one did.
func (a *app) examine(ctx context.Context, where string, p doctor.Patient) error {
	var meter *show.Meter
	report, err := doctor.Examine(ctx, p, func(done, head event.Position) {
		if meter == nil {
			meter = a.out.Meter("verify")
		}
		meter.At(int64(done), int64(head), int64(done), "events")
	})
	if meter != nil {
		meter.Stop()
	}
	if err != nil {
		return err
	}
	wrong := report.Wrong()
	if err := a.showReport(where, report, wrong == nil); err != nil || wrong == nil {
		return err
	}
	return verdict(where, wrong)
}

func (a *app) showReport(where string, report *doctor.Report, ok bool) error {
	if a.settings.Output == show.JSON {
		checks := make([]check, len(report.Checks))
		for i, c := range report.Checks {
			checks[i] = check(c)
		}
		return a.out.Single(struct {
			OK     bool    `json:"ok"`
			Store  string  `json:"store"`
			Head   uint64  `json:"position"`
			Checks []check `json:"checks"`
		}{ok, where, uint64(report.Head), checks})
	}
	list := a.out.List("check", "result", "detail")
	for _, c := range report.Checks {
		result := "ok"
		if !c.OK {
			result = "WRONG"
		}
		if err := list.Add(check(c), c.Name, result, c.Detail); err != nil {
			return err
		}
	}
	return list.Close()
}

// verdict is a check that failed, as an error.
func verdict(where string, c *storage.Check) error {
	return &event.Error{Sentinel: event.ErrCorrupt, Code: "verification_failed",
		Message: fmt.Sprintf("check store %s: %s: %s", where, c.Name, c.Detail),
		Next:    "keep the store as it is and restore a backup; if only the index is wrong, run: lethe doctor --reindex"}
}
