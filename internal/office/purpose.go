package office

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/policy"
)

func (o *Office) purposeCommand() *cobra.Command {
	return o.Group("purpose", "Declare what personal data is held and used for",
		`The policy of a store is one document: which kinds of entities are persons, which data groups and
retention classes there are, for which purposes the groups are used, on which lawful basis, and
who may open them. docs/policy.md goes through it. It names offices, not people, and stays in the
log for ever.`,
		o.purposeCheckCommand(), o.purposeSetCommand(), o.purposeListCommand(), o.purposeShowCommand())
}

// document reads a policy from a file, and says of every place in it that is wrong.
func (o *Office) document(file string) ([]byte, error) {
	text, err := o.read(file, phrase.MaxYAML)
	if err != nil {
		return nil, err
	}
	if text, err = phrase.ParseYAML(text); err != nil {
		return nil, err
	}
	_, err = policy.ParseDocument(text)
	var found *policy.Problems
	if !errors.As(err, &found) {
		return text, err
	}
	list := o.Out.List("place", "problem")
	for _, p := range found.List {
		line := struct {
			Place   string `json:"place"`
			Problem string `json:"problem"`
		}{p.Place, p.Text}
		if err := list.Add(line, p.Place, p.Text); err != nil {
			return nil, err
		}
	}
	if err := list.Close(); err != nil {
		return nil, err
	}
	return nil, event.Invalid("policy_invalid", "check policy %s: problems: %d", file, len(found.List)+found.More).
		Hint("mend what is listed; docs/policy.md explains each field")
}

func (o *Office) purposeCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a policy, and say what it would change", Args: o.Want("FILE"),
		Long: "Reads a policy, in YAML or JSON, and lists all that is wrong with it, each with its place; then\n" +
			"what would change if it were set. It needs no store: without one, all it declares is new. It\n" +
			"changes nothing.",
		Example: "  lethe purpose check policy.yaml\n" +
			"  lethe purpose check policy.yaml --store https://lethe.example.org:7070",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := o.document(args[0])
			if err != nil {
				return err
			}
			m := &lethev1.SetPolicyRequest{Document: text, DryRun: true}
			err = o.Open(cmd.Context(), false, func(c *client.Client) error { return o.setPolicy(cmd.Context(), c, m) })
			if err != nil && o.Absent(err) {
				return o.compareWithNothing(text)
			}
			return err
		},
	}
}

// compareWithNothing shows what a policy declares, where there is no store to compare it with.
func (o *Office) compareWithNothing(text []byte) error {
	d, err := policy.ParseDocument(text)
	if err != nil {
		return err
	}
	p, err := policy.New(d)
	if err != nil {
		return err
	}
	changes := []policyChange{}
	for _, c := range policy.Compare(new(policy.Document), d, nil) {
		changes = append(changes, policyChange{string(c.Effect), c.Place, c.Text})
	}
	digest := p.Digest()
	o.Out.Say("the policy is well formed; there is no store, so all of it is new")
	return o.showChanges(&lethev1.SetPolicyResponse{Digest: hex.EncodeToString(digest[:])}, changes, true)
}

func (o *Office) purposeSetCommand() *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use: "set FILE", Short: "Make a document the policy of the store", Args: o.Want("FILE"),
		Long: `Makes a document, in YAML or JSON, the policy of the store, from this moment on: what it no longer
allows is not opened any more, at any server of the store. It says what changes: what narrows,
widens or alters. What breaks what is there is refused, and nothing is set.`,
		Example: "  lethe purpose set policy.yaml --dry-run\n  lethe purpose set policy.yaml --as employee/7",
	}
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := o.document(args[0])
		if err != nil {
			return err
		}
		m := &lethev1.SetPolicyRequest{Document: text, DryRun: dry}
		if m.Actor, err = actor(); err != nil {
			return err
		}
		return o.Open(cmd.Context(), !dry, func(c *client.Client) error { return o.setPolicy(cmd.Context(), c, m) })
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "change nothing, only say what would")
	return cmd
}

// policyChange is what a policy changes.
type policyChange struct {
	Effect string `json:"effect"`
	Path   string `json:"path"`
	Text   string `json:"text"`
}

func (o *Office) setPolicy(ctx context.Context, c *client.Client, m *lethev1.SetPolicyRequest) error {
	answer, err := ask(ctx, c.Policy.Set, m)
	if err != nil {
		return err
	}
	changes := []policyChange{}
	breaks := ""
	for _, c := range answer.GetChanges() {
		changes = append(changes, policyChange{c.GetEffect(), c.GetPath(), c.GetText()})
		if c.GetEffect() == string(policy.Breaks) && breaks == "" {
			breaks = c.GetPath() + ": " + c.GetText()
		}
	}
	if err := o.showChanges(answer, changes, m.GetDryRun()); err != nil || breaks == "" {
		return err
	}
	return event.Invalid("policy_refused", "set policy: %s", breaks).Hint("keep what is used, and declare anew beside it")
}

func (o *Office) showChanges(answer *lethev1.SetPolicyResponse, changes []policyChange, dry bool) error {
	if o.Out.Format == show.JSON {
		return o.Out.Single(struct {
			Changes  []policyChange `json:"changes"`
			Digest   string         `json:"digest"`
			Position uint64         `json:"position,omitempty"`
			DryRun   bool           `json:"dry_run"`
		}{changes, answer.GetDigest(), answer.GetPosition(), dry})
	}
	list := o.Out.List("effect", "place", "change")
	for _, c := range changes {
		if err := list.Add(c, c.Effect, c.Path, c.Text); err != nil {
			return err
		}
	}
	if len(changes) > 0 {
		if err := list.Close(); err != nil {
			return err
		}
	}
	switch {
	case dry && len(changes) == 0:
		o.Out.Say("it would change nothing")
	case dry:
		o.Out.Say("nothing was set")
	case answer.GetPosition() == 0:
		o.Out.Say("it was the policy already; nothing was set")
	default:
		o.Out.Say("policy set at position %d", answer.GetPosition())
	}
	return nil
}

// policy is the policy of the store; nil: there is none.
func (o *Office) policy(ctx context.Context, c *client.Client) (*policy.Document, *lethev1.ShowPolicyResponse, error) {
	answer, err := ask(ctx, c.Policy.Show, new(lethev1.ShowPolicyRequest))
	if err != nil || len(answer.GetDocument()) == 0 {
		return nil, answer, err
	}
	d, err := policy.ParseDocument(answer.GetDocument())
	return d, answer, err
}

// purposeLine is a purpose as it is shown.
type purposeLine struct {
	Name string `json:"name"`
	policy.Purpose
}

func (o *Office) purposeListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the purposes that are declared", Args: o.Want(),
		Long: "Lists the purposes for which personal data may be opened, with their lawful basis, the data groups\n" +
			"they use, and how long for.",
		Example: "  lethe purpose ls\n  lethe purpose ls -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				d, _, err := o.policy(cmd.Context(), c)
				if err != nil {
					return err
				}
				if d == nil {
					d = new(policy.Document)
				}
				table := o.Out.List("purpose", "basis", "groups", "retention", "reasons", "title")
				for _, name := range slices.Sorted(maps.Keys(d.Purposes)) {
					p := d.Purposes[name]
					err := table.Add(purposeLine{name, p}, name, string(p.Basis), list(p.Groups), p.Retention, list(p.Reasons),
						p.Title)
					if err != nil {
						return err
					}
				}
				return table.Close()
			})
		},
	}
}

func (o *Office) purposeShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show a purpose, or the whole policy",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(cmd, "want NAME or nothing, got %d arguments", len(args))
			}
			return nil
		},
		Long: "Shows what is declared of one purpose; without a name the whole policy, as YAML that purpose set\n" +
			"takes again.",
		Example: "  lethe purpose show support\n  lethe purpose show > policy.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				d, answer, err := o.policy(cmd.Context(), c)
				switch {
				case err != nil:
					return err
				case d == nil:
					return event.Errorf(event.ErrNotFound, "show policy: the store has none").
						Hint("set one: lethe purpose set FILE")
				case len(args) == 1:
					return o.showPurpose(args[0], d)
				}
				return o.showPolicy(answer)
			})
		},
	}
}

func (o *Office) showPolicy(m *lethev1.ShowPolicyResponse) error {
	if o.Out.Format != show.Table {
		return o.Out.Single(struct {
			Document json.RawMessage `json:"document"`
			Digest   string          `json:"digest"`
			Position uint64          `json:"position"`
			SetAt    *time.Time      `json:"set_at,omitempty"`
		}{m.GetDocument(), m.GetDigest(), m.GetPosition(), at(m.GetSetAt())},
			show.Field{"digest", m.GetDigest()}, show.Field{"position", position(m.GetPosition())},
			show.Field{"set", second(at(m.GetSetAt()))})
	}
	o.Out.Say("set at position %d, %s", m.GetPosition(), second(at(m.GetSetAt())))
	text, err := phrase.FormatYAML(m.GetDocument())
	if err != nil {
		return err
	}
	return o.raw(text)
}

func (o *Office) showPurpose(name string, d *policy.Document) error {
	p, ok := d.Purposes[name]
	if !ok {
		return event.Errorf(event.ErrNotFound, "show purpose: none of this name is declared").
			Hint("list them: lethe purpose ls")
	}
	return o.Out.Single(purposeLine{name, p}, fields(show.Field{"purpose", name}, show.Field{"title", p.Title},
		show.Field{"lawful basis", string(p.Basis)}, show.Field{"groups", list(p.Groups)},
		show.Field{"Article 9(2)", p.Special}, show.Field{"Article 10", string(p.Criminal)},
		show.Field{"retention", p.Retention}, show.Field{"notice", p.Notice}, show.Field{"controller", p.Controller},
		show.Field{"processors", list(p.Processors)}, show.Field{"recipients", list(p.Recipients)},
		show.Field{"reasons", list(p.Reasons)}, show.Field{"marketing", yes(p.Marketing, "yes")},
		show.Field{"despite restriction", yes(p.Exempt, "yes")}, show.Field{"undisclosed", yes(p.Undisclosed, "yes")})...)
}
