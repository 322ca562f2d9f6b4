package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/doctor"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/keyring"
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

Of the keystore it checks whether it is this store's, whether the key service gives out every live
epoch (--kms none: it is not asked), and whether everybody of whom the log speaks has a keyring, or
a tombstone. It opens nothing personal.

Of a server's store it checks head, lineage, index, tree and epochs; the rest belongs to the
machine on which the server runs. It needs a token that may read and administer.

What does not fit is named by its position; the exit code is then 7. It is 6 if nothing is damaged,
and only the key service does not give out the keys.`,
		Example: "  lethe doctor\n  lethe doctor --reindex\n  lethe doctor --store https://lethe.example.org:7070 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.remote() && reindex:
				return event.Errorf(event.ErrUnsupported, "doctor: a server's index is not built anew from afar").
					Hint("run it where the server runs, on the folder or database it keeps the store in")
			case a.remote():
				return a.with(cmd.Context(), opening.Existing, func(s *opened) error {
					return a.examine(cmd.Context(), s, doctor.Server(s.Client))
				})
			}
			return a.withEngine(cmd.Context(), func(s *opened) error {
				if reindex {
					if err := s.reindex(cmd.Context()); err != nil {
						return err
					}
					a.out.Say("the index was built anew")
				}
				return a.examine(cmd.Context(), s, doctor.Engine(s.engine))
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
func (a *app) examine(ctx context.Context, s *opened, p doctor.Patient) error {
	meter := a.out.Meter("verify")
	report, err := doctor.Examine(ctx, p, events(meter))
	meter.Stop()
	if err != nil {
		return err
	}
	keys, err := a.examineKeys(ctx, s)
	if err != nil {
		return err
	}
	damaged := report.Wrong()
	report.Checks = append(report.Checks, keys.Checks...)
	wrong := report.Wrong()
	if err := a.showReport(s.where, report, wrong == nil); err != nil || wrong == nil {
		return err
	}
	if damaged == nil && keys.Unusable != nil && !keys.Damaged() {
		return keys.Unusable
	}
	return verdict(s.where, wrong)
}

// examineKeys looks at what keeps the keys of a store.
func (a *app) examineKeys(ctx context.Context, s *opened) (report *doctor.KeyReport, err error) {
	if s.engine == nil {
		return doctor.ExamineServerKeys(ctx, s.Client)
	}
	k := doctor.Keys{Options: keyring.Options{Clock: a.Clock, Rand: rand.Reader}}
	service, err := a.opener().Service()
	if err != nil {
		return nil, err
	}
	if service != nil {
		k.Service = service
		defer func() { err = errors.Join(err, service.Close()) }()
	}
	k.Store, err = a.opener().Keystore(ctx, opening.Place{Name: a.settings.Store})
	if errors.Is(err, event.ErrCorrupt) || errors.Is(err, event.ErrFormat) {
		return &doctor.KeyReport{Checks: []storage.Check{{Name: "keystore", Detail: err.Error()}}}, nil
	}
	if err != nil {
		return nil, err
	}
	if k.Store != nil {
		defer func() { err = errors.Join(err, k.Store.Close()) }()
	}
	meter := a.out.Meter("look for persons")
	defer meter.Stop()
	return doctor.ExamineKeys(ctx, s.engine, k, events(meter))
}

// events makes a meter count events.
func events(m *show.Meter) doctor.Progress {
	return func(done, head event.Position) { m.At(int64(done), int64(head), int64(done), "events") }
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
	next := "keep the store as it is and restore a backup; if only the index is wrong, run: lethe doctor --reindex"
	if slices.Contains([]string{"keystore", "epochs", "keyrings", "aliases"}, c.Name) {
		next = "name where the keys are with --keys and --kms, or restore the keystore from a backup"
	}
	return &event.Error{Sentinel: event.ErrCorrupt, Code: "verification_failed",
		Message: fmt.Sprintf("check store %s: %s: %s", where, c.Name, c.Detail), Next: next}
}
