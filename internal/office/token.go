package office

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
)

func (o *Office) tokenCommand() *cobra.Command {
	return o.Group("token", "Create, list and revoke the tokens of a store",
		`Who calls a server shows a token of the store. A token says what it allows: --read, --append,
--admin, --open, none of which contains another; and may be limited to kinds of streams and to a
time. Of its secret only a hash is kept. Admin is for the policy, schemas, restrictions and
objections, keys and tokens, for ending and pruning streams, for checking the store and for lethe
import. Append is also for consents. Open is for personal data: who reads without it reads it
sealed.

These commands work on a folder, as long as no server holds it, on a database, and by an admin
token on a server. A token that is revoked at a server ends there at once, open subscriptions
included; subscriptions at other servers of the same database end within a second.`,
		o.tokenCreateCommand(), o.tokenListCommand(), o.tokenRevokeCommand())
}

// tokenLine is a token as it is shown.
type tokenLine struct {
	ID      string     `json:"id"`
	Label   string     `json:"label"`
	Scope   []string   `json:"permissions"`
	Kinds   []string   `json:"kinds"` // none: all
	Created *time.Time `json:"created_at,omitempty"`
	Expires *time.Time `json:"expires_at,omitempty"`
	Used    *time.Time `json:"used_at,omitempty"`
	Revoked *time.Time `json:"revoked_at,omitempty"`
	State   string     `json:"state"`
}

func (o *Office) tokenLine(t *lethev1.Token) tokenLine {
	line := tokenLine{
		ID: t.GetId(), Label: t.GetLabel(), Scope: []string{}, Kinds: append([]string{}, t.GetKinds()...), State: "active",
		Created: at(t.GetCreatedAt()), Expires: at(t.GetExpiresAt()), Used: at(t.GetUsedAt()),
		Revoked: at(t.GetRevokedAt()),
	}
	for _, p := range t.GetPermissions() {
		line.Scope = append(line.Scope, strings.ToLower(strings.TrimPrefix(p.String(), "PERMISSION_")))
	}
	switch {
	case line.Revoked != nil:
		line.State = "revoked"
	case line.Expires != nil && !line.Expires.After(o.Clock.Now()):
		line.State = "expired"
	}
	return line
}

// instant is a time to the second; never where there is none.
func instant(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return second(t)
}

func (l *tokenLine) kinds() string {
	if len(l.Kinds) == 0 {
		return "all"
	}
	return strings.Join(l.Kinds, ",")
}

func (l *tokenLine) fields() []show.Field {
	return []show.Field{{"id", l.ID}, {"label", l.Label}, {"scope", strings.Join(l.Scope, ",")}, {"kinds", l.kinds()},
		{"created", instant(l.Created)}, {"expires", instant(l.Expires)}, {"last used", instant(l.Used)}, {"state", l.State}}
}

// tokenFlags are the flags of token create.
type tokenFlags struct {
	label, expires            string
	read, append, admin, open bool
	kinds                     []string
}

func (o *Office) tokenCreateCommand() *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and show it, once", Args: o.Want(),
		Long: `Makes a token and writes its secret to stdout, alone on a line: this is the only time it is
seen. What the token is goes to stderr; with -o json both are one object on stdout.

In a folder without a store one is made, so that the first token can be there before the
server is.

Without --open a token reads personal data sealed, and learns no reference from an alias. But with
--read a program that knows the reference of a person finds the person's events by it, such as
with lethe event query --relation customer/4711, and the alias in them.`,
		Example: `  TOKEN=$(lethe token create --read --append --label "loan service")
  lethe token create --store ./data --admin --read --label "first" > admin.token
  lethe token create --append --kind application --expires 30d -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := o.grant(&f)
			if err != nil {
				return err
			}
			return o.Open(cmd.Context(), true, func(c *client.Client) error { return o.createToken(cmd.Context(), c, m) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.label, "label", "", "what it is for, in a few words")
	flags.BoolVar(&f.read, "read", false, "it may read, query and follow")
	flags.BoolVar(&f.append, "append", false, "it may append, record and withdraw consents, and move checkpoints of "+
		"followers")
	flags.BoolVar(&f.admin, "admin", false, "it may govern: policy, schemas, restrictions, objections, keys, tokens, "+
		"closing, truncating and expiring streams, verifying, importing")
	flags.BoolVar(&f.open, "open", false, "it may open personal data for a purpose, and look up persons: "+
		"lethe subject")
	flags.StringArrayVar(&f.kinds, "kind", nil, "only streams of this `kind`; may be repeated")
	flags.StringVar(&f.expires, "expires", "", "`when` it ends: a date, an RFC 3339 time, or a duration such as 30d")
	return cmd
}

// grant is what the flags ask for, checked before a store is opened or made.
func (o *Office) grant(f *tokenFlags) (*lethev1.CreateTokenRequest, error) {
	m := &lethev1.CreateTokenRequest{Label: f.label, Kinds: f.kinds}
	for _, p := range []struct {
		given bool
		means lethev1.Permission
	}{
		{f.read, lethev1.Permission_PERMISSION_READ},
		{f.append, lethev1.Permission_PERMISSION_APPEND},
		{f.admin, lethev1.Permission_PERMISSION_ADMIN},
		{f.open, lethev1.Permission_PERMISSION_OPEN},
	} {
		if p.given {
			m.Permissions = append(m.Permissions, p.means)
		}
	}
	if len(m.Permissions) == 0 {
		return nil, event.Invalid("usage", "token create: what may it do?").
			Hint("give --read, --append, --admin, --open or several")
	}
	if f.expires == "" {
		return m, nil
	}
	end, err := phrase.ParseExpiry("expires", o.Clock.Now(), f.expires)
	m.ExpiresAt = timestamppb.New(end)
	return m, err
}

func (o *Office) createToken(ctx context.Context, c *client.Client, m *lethev1.CreateTokenRequest) error {
	answer, err := ask(ctx, c.Tokens.Create, m)
	if err != nil {
		return err
	}
	line := o.tokenLine(answer.GetToken())
	if o.Out.Format == show.Table {
		o.Out.Say("token %s: %s, kinds %s, expires %s", line.ID, strings.Join(line.Scope, ", "), line.kinds(),
			instant(line.Expires))
		o.Out.Say("this is the only time it is shown:")
		if _, err := fmt.Fprintln(o.Out.Stdout, answer.GetSecret()); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		return nil
	}
	return o.Out.Single(struct {
		Secret string `json:"secret"`
		tokenLine
	}{answer.GetSecret(), line}, append([]show.Field{{"secret", answer.GetSecret()}}, line.fields()...)...)
}

func (o *Office) tokenListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the tokens of a store", Args: o.Want(),
		Long:    "Lists the tokens of a store, revoked and expired ones included. No secret is among it.",
		Example: "  lethe token ls\n  lethe token ls --store https://lethe.example.org:7070/loans -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				answer, err := ask(cmd.Context(), c.Tokens.List, new(lethev1.ListTokensRequest))
				if err != nil {
					return err
				}
				list := o.Out.List("id", "label", "scope", "kinds", "created", "expires", "last used", "state")
				for _, t := range answer.GetTokens() {
					line := o.tokenLine(t)
					var cells []string
					for _, f := range line.fields() {
						cells = append(cells, f[1])
					}
					if err := list.Add(line, cells...); err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	}
}

func (o *Office) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a token for good", Args: o.Want("ID"),
		Long: "Ends a token, by the id that lethe token ls shows. It cannot be undone; revoking it again\n" +
			"changes nothing. A server ends what is open under it at once.",
		Example: "  lethe token revoke 3f8k2m9xq0ab",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				answer, err := ask(cmd.Context(), c.Tokens.Revoke, &lethev1.RevokeTokenRequest{Id: args[0]})
				if err != nil {
					return err
				}
				line := o.tokenLine(answer.GetToken())
				return o.Out.Single(line, line.fields()...)
			})
		},
	}
}
