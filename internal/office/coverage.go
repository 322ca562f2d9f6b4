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
	Personal   int    `json:"personal"`
	References int    `json:"references"`
	Open       int    `json:"not_personal"`
	Undeclared int    `json:"not_declared"`
}

// coverage counts the events as the store does, and the declarations by the schemas themselves: the store's count does
// not tell what is declared not personal from what is not declared.
func (o *Office) coverage(ctx context.Context, c *client.Client) error {
	answer, err := ask(ctx, c.Schemas.Coverage, new(lethev1.CoverageRequest))
	if err != nil {
		return err
	}
	schemas, err := ask(ctx, c.Schemas.List, new(lethev1.ListSchemasRequest))
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for _, s := range schemas.GetSchemas() {
		known[s.GetType()] = true
	}
	list := o.Out.List("type", "events", "checked", "personal", "references", "not personal", "not declared")
	for _, t := range answer.GetTypes() {
		line := coverageLine{Type: t.GetType(), Events: t.GetEvents(), Checked: t.GetChecked()}
		if known[line.Type] {
			present, err := ask(ctx, c.Schemas.Show, &lethev1.ShowSchemaRequest{Type: line.Type})
			if err != nil {
				return err
			}
			line.count(present.GetPlaces())
		}
		err := list.Add(line, line.Type, fmt.Sprint(line.Events), fmt.Sprint(line.Checked), fmt.Sprint(line.Personal),
			fmt.Sprint(line.References), fmt.Sprint(line.Open), fmt.Sprint(line.Undeclared))
		if err != nil {
			return err
		}
	}
	return list.Close()
}

func (l *coverageLine) count(places []*lethev1.SchemaPlace) {
	for _, p := range places {
		switch {
		case p.GetGroup() != "":
			l.Personal++
		case p.GetReference() != "":
			l.References++
		case p.GetOpen() != "":
			l.Open++
		default:
			l.Undeclared++
		}
	}
}
