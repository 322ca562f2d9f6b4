package office

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/schema"
)

func (o *Office) schemaCommand() *cobra.Command {
	return o.Group("schema", "Say what the data of events looks like, and what of it is personal",
		`A schema belongs to a type of events. It says what their data looks like, and of every value
whether it is personal: whose it is, to which data group it belongs and how long it is kept; or
why it is not. Appends are checked against it, and what it declares personal is sealed.

It is written as JSON Schema (docs/schema.md) or protobuf (docs/schema-protobuf.md). Groups,
retention classes and kinds of persons it names are declared in the policy: lethe purpose.`,
		o.schemaCheckCommand(), o.schemaPushCommand(), o.schemaListCommand(), o.schemaShowCommand(),
		o.schemaDiffCommand(), o.schemaCoverageCommand(), o.schemaDemandCommand())
}

// drafted is flags that say how the text of a schema is to be read.
type drafted struct{ typ, notation, kind, message, upcaster string }

func (d *drafted) register(flags *pflag.FlagSet) {
	flags.StringVar(&d.typ, "type", "", "the `type` of the events it is for")
	flags.StringVar(&d.notation, "notation", "", "jsonschema or protobuf; by default what the file's name says")
	flags.StringVar(&d.kind, "kind", "", "`kind` of the persons, where the text names none")
	flags.StringVar(&d.message, "message", "", "protobuf: full name of the message")
	flags.StringVar(&d.upcaster, "upcaster", "", "Starlark `file` that makes data of the version before into this one's")
}

// in finds the notation of a file.
func (o *Office) in(d *drafted, file string) (schema.Notation, error) {
	name := d.notation
	if name == "" {
		if name = "jsonschema"; strings.EqualFold(filepath.Ext(file), ".proto") {
			name = "protobuf"
		}
	}
	for _, n := range o.Notations {
		if n.Name() == name {
			return n, nil
		}
	}
	return nil, event.Invalid("usage", "read schema: there is no notation of that name").
		Hint("--notation is jsonschema or protobuf")
}

func (d *drafted) options() schema.Options { return schema.Options{Kind: d.kind, Message: d.message} }

// schemaLine is a version of a schema as it is shown.
type schemaLine struct {
	Type     string     `json:"type"`
	Number   uint32     `json:"version"`
	ID       string     `json:"id"`
	Notation string     `json:"notation"`
	Kind     string     `json:"kind,omitempty"`
	Message  string     `json:"message,omitempty"`
	Groups   []string   `json:"groups"`
	Position uint64     `json:"position,omitempty"`
	Pushed   *time.Time `json:"pushed_at,omitempty"`
}

func schemaOf(m *lethev1.Schema) schemaLine {
	return schemaLine{m.GetType(), m.GetNumber(), m.GetId(), m.GetNotation(), m.GetKind(), m.GetMessage(),
		append([]string{}, m.GetGroups()...), m.GetPosition(), at(m.GetPushedAt())}
}

// position is empty for 0.
func position(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func (l *schemaLine) fields() []show.Field {
	return fields(show.Field{"type", l.Type}, show.Field{"version", fmt.Sprint(l.Number)}, show.Field{"id", l.ID},
		show.Field{"notation", l.Notation}, show.Field{"kind", l.Kind}, show.Field{"message", l.Message},
		show.Field{"groups", list(l.Groups)}, show.Field{"position", position(l.Position)},
		show.Field{"pushed", second(l.Pushed)})
}

func (o *Office) schemaPushCommand() *cobra.Command {
	var d drafted
	dry := false
	cmd := &cobra.Command{
		Use: "push FILE --type TYPE", Short: "Make a schema the present one of its type", Args: o.Want("FILE"),
		Long: `Adds a version of the schema of a type. From then on appends of the type are checked against it,
and what it declares personal is sealed. Older versions stay: events keep the one they were
checked against. A text that the store has, in this version or an older one, changes nothing.

What would open a personal value is refused, and so is what old data could not be read with,
unless --upcaster names a script that mends it. --dry-run only says what would change.`,
		Example: "  lethe schema push registered.json --type CustomerRegistered --dry-run\n" +
			"  lethe schema push registered.json --type CustomerRegistered --as employee/7\n" +
			"  lethe schema push order.proto --type OrderPlaced --message shop.OrderPlaced",
	}
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needed(cmd, "type"); err != nil {
			return err
		}
		m, plan, err := o.draft(&d, args[0])
		if err != nil {
			return err
		}
		if m.Actor, err = actor(); err != nil {
			return err
		}
		m.DryRun = dry
		o.noteSilent(plan, &d, args[0])
		return o.Open(cmd.Context(), !dry, func(c *client.Client) error { return o.push(cmd.Context(), c, m) })
	}
	d.register(cmd.Flags())
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing, only say what would")
	return cmd
}

// draft reads a schema, and compiles it before a store is asked or made.
func (o *Office) draft(d *drafted, file string) (*lethev1.PushSchemaRequest, schema.Plan, error) {
	plan, text, err := o.compile(d, file)
	if err != nil {
		return nil, nil, err
	}
	notation, err := o.in(d, file)
	if err != nil {
		return nil, nil, err
	}
	m := &lethev1.PushSchemaRequest{
		Type: d.typ, Notation: notation.Name(), Text: text, Kind: d.kind, Message: d.message,
	}
	if d.upcaster == "" {
		return m, plan, nil
	}
	script, err := o.read(d.upcaster, schema.MaxText)
	m.Upcaster = &lethev1.Upcaster{Language: o.Languages[0].Name(), Text: string(script)}
	return m, plan, err
}

// noteSilent says so if a schema declares nothing.
func (o *Office) noteSilent(plan schema.Plan, d *drafted, file string) {
	for _, p := range plan.Marks() {
		if p.Mark != nil || p.Reference != "" || p.Open != "" {
			return
		}
	}
	proposals := ""
	if notation, err := o.in(d, file); err == nil {
		if _, ok := notation.(schema.Suggester); ok {
			proposals = ". Proposals: lethe schema check " + file + " --suggest"
		}
	}
	o.Out.Say("note: it declares nothing; all of it stays readable%s", proposals)
}

// changeLine is what differs between two versions.
type changeLine struct {
	Path     string `json:"path"`
	Text     string `json:"text"`
	Breaking bool   `json:"breaking"`
}

// place is where, as people read it.
func (c *changeLine) place() string { return cmp.Or(c.Path, "the top") }

func (o *Office) push(ctx context.Context, c *client.Client, m *lethev1.PushSchemaRequest) error {
	answer, err := ask(ctx, c.Schemas.Push, m)
	if err != nil {
		return err
	}
	out := struct {
		schemaLine
		Changes  []changeLine `json:"changes"`
		Repeated bool         `json:"repeated"`
		Present  uint32       `json:"present,omitempty"` // version, where a repeated one is another
		DryRun   bool         `json:"dry_run"`
	}{schemaOf(answer.GetSchema()), changesOf(answer), answer.GetRepeated(), 0, m.GetDryRun()}
	switch {
	case out.Repeated:
		if out.Present, err = o.there(ctx, c, &out.schemaLine); err != nil {
			return err
		}
	case out.DryRun:
		o.Out.Say("nothing was changed; it would be version %d of %s", out.Number, out.Type)
	}

	all := out.fields()
	var lines []string
	for _, c := range out.Changes {
		lines = append(lines, c.place()+": "+c.Text+yes(c.Breaking, " (refused)"))
	}
	all = append(all, fields(show.Field{"changes", strings.Join(lines, "\n")})...)
	if err := o.Out.Single(out, all...); err != nil {
		return err
	}
	return refused("push", out.Changes)
}

// there says of a version that the store has it already, and which one is the present one, if it is another.
func (o *Office) there(ctx context.Context, c *client.Client, l *schemaLine) (uint32, error) {
	answer, err := ask(ctx, c.Schemas.Show, &lethev1.ShowSchemaRequest{Type: l.Type})
	if err != nil && !errors.Is(err, event.ErrDenied) { // who may push may not read, perhaps
		return 0, err
	}
	present := answer.GetSchema().GetNumber()
	if err != nil || present == l.Number {
		o.Out.Say("the store has it already, as version %d of %s; nothing was changed", l.Number, l.Type)
		return 0, nil
	}
	o.Out.Say("the store has it already, as version %d of %s, and version %d is the present one; nothing was changed",
		l.Number, l.Type, present)
	return present, nil
}

func changesOf(m *lethev1.PushSchemaResponse) []changeLine {
	changes := []changeLine{}
	for _, c := range m.GetChanges() {
		changes = append(changes, changeLine{c.GetPath(), c.GetText(), c.GetBreaking()})
	}
	return changes
}

// refused is why a version cannot be pushed.
func refused(verb string, changes []changeLine) error {
	i := slices.IndexFunc(changes, func(c changeLine) bool { return c.Breaking })
	if i < 0 {
		return nil
	}
	return event.Invalid("schema_incompatible", "%s schema: %s: %s", verb, changes[i].place(), changes[i].Text).
		Hint("keep what old data needs, or use a new type")
}

func (o *Office) schemaListCommand() *cobra.Command {
	typ := ""
	cmd := &cobra.Command{
		Use: "ls", Short: "List the schemas of a store", Args: o.Want(),
		Long: "Lists every version of every schema. Whether types without one are refused, it says on stderr.",
		Example: "  lethe schema ls\n" +
			"  lethe schema ls --type CustomerRegistered -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				answer, err := ask(cmd.Context(), c.Schemas.List, &lethev1.ListSchemasRequest{Type: typ})
				if err != nil {
					return err
				}
				if answer.GetDemanded() {
					o.Out.Say("every type needs a schema")
				}
				list := o.Out.List("type", "version", "notation", "groups", "position", "pushed", "id")
				for _, m := range answer.GetSchemas() {
					l := schemaOf(m)
					err := list.Add(l, l.Type, fmt.Sprint(l.Number), l.Notation, strings.Join(l.Groups, ", "),
						position(l.Position), second(l.Pushed), l.ID[:min(12, len(l.ID))])
					if err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	}
	cmd.Flags().StringVar(&typ, "type", "", "only of this `type`")
	return cmd
}

func (o *Office) schemaShowCommand() *cobra.Command {
	number := uint32(0)
	text := false
	cmd := &cobra.Command{
		Use: "show TYPE", Short: "Show what a schema declares", Args: o.Want("TYPE"),
		Long: "Shows of every place in the data whether it is personal, whose it is, and under which group.\n" +
			"--text gives the schema itself, as it was pushed.",
		Example: "  lethe schema show CustomerRegistered\n  lethe schema show CustomerRegistered --version 1 --text",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				m := &lethev1.ShowSchemaRequest{Type: args[0], Number: number}
				answer, err := ask(cmd.Context(), c.Schemas.Show, m)
				if err != nil {
					return err
				}
				if text {
					return o.raw(answer.GetText())
				}
				return o.showSchema(answer)
			})
		},
	}
	cmd.Flags().Uint32Var(&number, "version", 0, "this `version`; 0: the present one")
	cmd.Flags().BoolVar(&text, "text", false, "the text of the schema instead")
	return cmd
}

// raw writes a text as it is.
func (o *Office) raw(text []byte) error {
	if _, err := o.Out.Stdout.Write(text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func (o *Office) showSchema(m *lethev1.ShowSchemaResponse) error {
	l := schemaOf(m.GetSchema())
	places := make([]placeLine, 0, len(m.GetPlaces()))
	for _, p := range m.GetPlaces() {
		places = append(places, placeLine{
			Path: p.GetPath(), Type: p.GetType(), Group: p.GetGroup(), Subjects: p.GetSubjects(), Retention: p.GetRetention(),
			Category: p.GetCategory(), Origin: p.GetOrigin(), Reference: p.GetReference(), Open: p.GetOpen(),
		})
	}
	if o.Out.Format == show.JSON {
		return o.Out.Single(struct {
			schemaLine
			Places []placeLine `json:"places"`
			Text   string      `json:"text"`
		}{l, places, string(m.GetText())})
	}
	if o.Out.Format == show.Table {
		o.Out.Say("%s version %d, %s, pushed at position %d", l.Type, l.Number, l.Notation, l.Position)
	}
	return o.showPlaces(places)
}

func (o *Office) schemaDemandCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demand on|off", Short: "Refuse events of types that have no schema", Args: o.Want("on|off"),
		Long: "With on, an append of a type without a schema is refused: nothing gets into the log of which nobody\n" +
			"said whether it is personal. It is the safe way for a store that holds data of persons.",
		Example: "  lethe schema demand on --as employee/7",
	}
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] != "on" && args[0] != "off" {
			return usage(cmd, "want on or off")
		}
		by, err := actor()
		if err != nil {
			return err
		}
		return o.Open(cmd.Context(), false, func(c *client.Client) error {
			m := &lethev1.DemandSchemaRequest{Demand: args[0] == "on", Actor: by}
			if _, err := ask(cmd.Context(), c.Schemas.Demand, m); err != nil {
				return err
			}
			return o.Out.Single(struct {
				Demanded bool `json:"demanded"`
			}{m.GetDemand()}, show.Field{"demanded", args[0]})
		})
	}
	return cmd
}
