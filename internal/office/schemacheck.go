package office

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/schema"
)

// placeLine is a declaration as it is shown.
type placeLine struct {
	Path      string   `json:"path"`
	Type      string   `json:"type"`
	Group     string   `json:"group,omitempty"`
	Subjects  []string `json:"subjects,omitempty"`
	Retention string   `json:"retention,omitempty"`
	Category  string   `json:"category,omitempty"`
	Origin    string   `json:"origin,omitempty"`
	Reference string   `json:"reference,omitempty"`
	Open      string   `json:"not_personal,omitempty"`
}

func placeOf(p *schema.Place) placeLine {
	l := placeLine{Path: p.Path, Type: p.Type, Subjects: p.Subjects, Reference: p.Reference, Open: p.Open}
	if m := p.Mark; m != nil {
		l.Group, l.Retention, l.Category, l.Origin = m.Group, m.Retention, string(m.Category), string(m.Origin)
	}
	return l
}

// what says in words what a place is.
func (l *placeLine) what() string {
	switch {
	case l.Group != "":
		return "personal: " + l.Group + yes(l.Category != "", ", "+l.Category)
	case l.Reference != "":
		return "names a " + l.Reference
	case l.Open == "":
		return "not declared"
	}
	return "not personal: " + l.Open
}

func (o *Office) showPlaces(places []placeLine) error {
	list := o.Out.List("path", "type", "what", "of", "retention")
	for i := range places {
		l := &places[i]
		if err := list.Add(l, l.Path, l.Type, l.what(), strings.Join(l.Subjects, ", "), l.Retention); err != nil {
			return err
		}
	}
	return list.Close()
}

func (o *Office) schemaCheckCommand() *cobra.Command {
	var d drafted
	suggest := false
	cmd := &cobra.Command{
		Use: "check FILE…", Short: "Check schemas before they are pushed", Args: o.Want("FILE…"),
		Long: `Checks that a schema can be read and says of every value whether it is personal. Without --type it
needs no store. With --type it also compares the schema with the present one of the store, if
there is one, and with the policy: what pushing it would do.

--suggest proposes a declaration for every value that has none, from its name and format, and
writes the mended schema to stdout. Look at what it proposes: it only guesses.`,
		Example: "  lethe schema check schemas/*.json\n" +
			"  lethe schema check registered.json --suggest > mended.json\n" +
			"  lethe schema check registered.json --type CustomerRegistered",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case suggest && len(args) > 1:
				return usage(cmd, "--suggest wants one file")
			case suggest:
				return o.suggest(&d, args[0])
			case len(args) > 1 && d.typ != "":
				return usage(cmd, "--type wants one file")
			case len(args) > 1:
				return o.checkFiles(&d, args)
			}
			return o.checkFile(cmd, &d, args[0])
		},
	}
	d.register(cmd.Flags())
	cmd.Flags().BoolVar(&suggest, "suggest", false, "write the schema with a proposal for what is not declared")
	return cmd
}

// compile reads and compiles the schema in a file.
func (o *Office) compile(d *drafted, file string) (schema.Plan, []byte, error) {
	notation, err := o.in(d, file)
	if err != nil {
		return nil, nil, err
	}
	text, err := o.read(file, schema.MaxText)
	if err != nil {
		return nil, nil, err
	}
	plan, err := notation.Compile(text, d.options())
	return plan, text, err
}

func (o *Office) checkFile(cmd *cobra.Command, d *drafted, file string) error {
	m, plan, err := o.draft(d, file)
	if err != nil {
		return o.faults(file, err)
	}
	marks := plan.Marks()
	places := make([]placeLine, len(marks))
	for i := range marks {
		places[i] = placeOf(&marks[i])
	}
	if err := o.showPlaces(places); err != nil {
		return err
	}
	o.noteSilent(plan, d, file)
	if d.typ == "" {
		return nil
	}
	m.DryRun = true
	err = o.Open(cmd.Context(), false, func(c *client.Client) error { return o.compare(cmd.Context(), c, m) })
	if err != nil && o.Absent(err) {
		o.Out.Say("compared with nothing: there is no store")
		return nil
	}
	return err
}

// compare says what pushing a schema would do.
func (o *Office) compare(ctx context.Context, c *client.Client, m *lethev1.PushSchemaRequest) error {
	answer, err := ask(ctx, c.Schemas.Push, m)
	if err != nil {
		return err
	}
	if answer.GetRepeated() {
		l := schemaOf(answer.GetSchema())
		_, err := o.there(ctx, c, &l)
		return err
	}
	o.Out.Say("it would be version %d of %s", answer.GetSchema().GetNumber(), m.GetType())
	changes := changesOf(answer)
	for _, c := range changes {
		o.Out.Say("  %s: %s", c.place(), c.Text)
	}
	return refused("check", changes)
}

// faults shows what is wrong with a schema, place by place, and fails.
func (o *Office) faults(file string, err error) error {
	if !strings.HasPrefix(event.Code(err), "schema_") {
		return err
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		return err
	}
	for _, line := range lines {
		o.Out.Say("%s", show.Printable(strings.TrimRight(line, " ")))
	}
	return event.Invalid(event.Code(err), "check schema %s: it is not complete", file).
		Hint("see proposals: lethe schema check %s --suggest", file)
}

// checkFiles says of many files whether they are good.
func (o *Office) checkFiles(d *drafted, files []string) error {
	wrong := 0
	list := o.Out.List("file", "result", "personal", "detail")
	for _, file := range files {
		line := struct {
			File     string `json:"file"`
			OK       bool   `json:"ok"`
			Personal int    `json:"personal"`
			Detail   string `json:"detail,omitempty"`
		}{File: file}
		plan, _, err := o.compile(d, file)
		result := "ok"
		if line.OK = err == nil; err != nil {
			wrong++
			result, line.Detail = "WRONG", show.OneLine(err.Error())
		} else {
			for _, place := range plan.Marks() {
				if place.Mark != nil {
					line.Personal++
				}
			}
		}
		if err := list.Add(line, file, result, fmt.Sprint(line.Personal), line.Detail); err != nil {
			return err
		}
	}
	if err := list.Close(); err != nil || wrong == 0 {
		return err
	}
	return event.Invalid("schema_invalid", "check schemas: %d of %d are wrong", wrong, len(files)).
		Hint("check one by itself to see every place")
}

// suggest writes a schema with proposals in it.
func (o *Office) suggest(d *drafted, file string) error {
	notation, err := o.in(d, file)
	if err != nil {
		return err
	}
	suggester, ok := notation.(schema.Suggester)
	if !ok {
		return event.Errorf(event.ErrUnsupported, "check schema: notation %s makes no suggestions", notation.Name()).
			Hint("declare each field by hand: docs/schema-protobuf.md")
	}
	text, err := o.read(file, schema.MaxText)
	if err != nil {
		return err
	}
	mended, proposals, err := suggester.Suggest(text, d.options())
	if err != nil {
		return err
	}
	lines := make([]suggestionLine, len(proposals))
	for i := range proposals {
		lines[i] = suggestionOf(&proposals[i])
	}
	if strings.HasPrefix(o.Out.Format, show.JSON) {
		return o.Out.Single(struct {
			Text        string           `json:"text"`
			Suggestions []suggestionLine `json:"suggestions"`
		}{string(mended), lines})
	}
	for i := range lines {
		o.Out.Say("%s: %s: %s", lines[i].Path, lines[i].what(), lines[i].Why)
	}
	if len(lines) == 0 {
		o.Out.Say("everything is declared")
	}
	return o.raw(mended)
}

// suggestionLine is a proposal as it is shown.
type suggestionLine struct {
	placeLine
	Why string `json:"why"`
}

func suggestionOf(s *schema.Suggestion) suggestionLine {
	p := schema.Place{Path: s.Path, Mark: s.Mark, Reference: s.Reference, Open: string(s.Open)}
	if s.Subject != "" {
		p.Subjects = []string{s.Subject}
	}
	return suggestionLine{placeOf(&p), s.Why}
}

func (o *Office) schemaDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff TYPE [FROM TO]", Short: "Show what changed between two versions of a schema",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 3 {
				return usage(cmd, "want TYPE, or TYPE FROM TO, got %d arguments", len(args))
			}
			return nil
		},
		Long:    "Shows what differs between two versions of a type's schema: of the last two, if none are named.",
		Example: "  lethe schema diff CustomerRegistered\n  lethe schema diff CustomerRegistered 1 3 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var numbers [2]uint32
			for i, text := range args[1:] {
				n, err := strconv.ParseUint(text, 10, 32)
				if err != nil || n == 0 {
					return usage(cmd, "want the numbers of two versions")
				}
				numbers[i] = uint32(n)
			}
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				return o.diff(cmd.Context(), c, args[0], numbers)
			})
		},
	}
}

func (o *Office) diff(ctx context.Context, c *client.Client, typ string, numbers [2]uint32) error {
	after, err := o.version(ctx, c, typ, numbers[1])
	if err != nil {
		return err
	}
	if numbers[0] == 0 {
		if numbers[0] = uint32(after.Number) - 1; numbers[0] == 0 {
			o.Out.Say("%s has one version only", typ)
			return o.Out.List("path", "change").Close()
		}
	}
	before, err := o.version(ctx, c, typ, numbers[0])
	if err != nil {
		return err
	}
	changes, err := schema.Compare(before, after)
	if err != nil {
		return err
	}
	list := o.Out.List("path", "change")
	for _, c := range changes {
		line := changeLine{c.Path, c.Text, c.Breaking}
		if err := list.Add(line, line.place(), line.Text); err != nil {
			return err
		}
	}
	return list.Close()
}

// version is a version of the store's, compiled here; 0 is the present one.
func (o *Office) version(ctx context.Context, c *client.Client, typ string, number uint32) (*schema.Version, error) {
	answer, err := ask(ctx, c.Schemas.Show, &lethev1.ShowSchemaRequest{Type: typ, Number: number})
	if err != nil {
		return nil, err
	}
	m := answer.GetSchema()
	v := &schema.Version{
		Type: m.GetType(), Notation: m.GetNotation(), Text: answer.GetText(),
		Options:  schema.Options{Kind: m.GetKind(), Message: m.GetMessage()},
		Upcaster: schema.Script{Language: m.GetUpcaster().GetLanguage(), Text: m.GetUpcaster().GetText()},
	}
	next, err := schema.NewRegistry(o.Notations...).With(o.Languages...).Next(v)
	if err != nil {
		return nil, err
	}
	next.Number = int(m.GetNumber())
	return next, nil
}
