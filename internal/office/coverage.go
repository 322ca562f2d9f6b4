package office

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
)

func (o *Office) schemaCoverageCommand() *cobra.Command {
	return &cobra.Command{
		Use: "coverage", Short: "Show how much of the log is declared", Args: o.Want(),
		Long: `Walks the log and shows of every type how many events there are, how many were checked against a
schema, and of how many values the present one says that they are personal, that they refer to a
person, that they are not personal, or nothing. A type whose events were not checked, and values
that are not declared, may hold anything.`,
		Example: "  lethe schema coverage\n  lethe schema coverage -o csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error { return o.coverage(cmd.Context(), c) })
		},
	}
}

// coverageLine is how the data of a type is declared, as it is shown.
type coverageLine struct {
	Type       string `json:"type"`
	Events     uint64 `json:"events"`
	Checked    uint64 `json:"checked"`
	Personal   uint32 `json:"personal"`
	References uint32 `json:"references"`
	Open       uint32 `json:"not_personal"`
	Undeclared uint32 `json:"not_declared"`
}

func (o *Office) coverage(ctx context.Context, c *client.Client) error {
	answer, err := ask(ctx, c.Schemas.Coverage, new(lethev1.CoverageRequest))
	if err != nil {
		return err
	}
	list := o.Out.List("type", "events", "checked", "personal", "references", "not personal", "not declared")
	for _, t := range answer.GetTypes() {
		l := coverageLine{t.GetType(), t.GetEvents(), t.GetChecked(), t.GetPersonal(), t.GetReferences(), t.GetOpen(),
			t.GetUndeclared()}
		err := list.Add(l, l.Type, fmt.Sprint(l.Events), fmt.Sprint(l.Checked), fmt.Sprint(l.Personal),
			fmt.Sprint(l.References), fmt.Sprint(l.Open), fmt.Sprint(l.Undeclared))
		if err != nil {
			return err
		}
	}
	return list.Close()
}
