package office

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// recording is a command that records something about a person.
type recording struct {
	typ  string // of the event
	what string // is recorded, in a word
	data func(cmd *cobra.Command) (any, error)
	ends func(s *standing) bool                            // there is something to end or decide; nil: it needs nothing
	none string                                            // why it is refused where ends says no
	more func(ctx context.Context, c *client.Client) error // finds out what only the store knows; nil: nothing
}

// record adds to a command about a person what it needs to record something: the flags that all have, and the call.
func (o *Office) record(cmd *cobra.Command, r recording) *cobra.Command {
	var n naming
	cmd.Args = personArg
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m := &lethev1.RecordStandingRequest{Type: r.typ}
		var err error
		if m.Actor, err = actor(); err != nil {
			return err
		}
		data, err := r.data(cmd)
		if err != nil {
			return err
		}
		if m.Id, err = o.newID(); err != nil {
			return err
		}
		if m.Person, err = o.person(cmd, args, &n); err != nil {
			return err
		}
		return o.Open(cmd.Context(), false, func(c *client.Client) error {
			if r.more != nil {
				if err := r.more(cmd.Context(), c); err != nil {
					return err
				}
			}
			if m.Data, err = marshal(data); err != nil {
				return err
			}
			if r.ends != nil {
				if err := o.stands(cmd.Context(), c, m.Person, &r); err != nil {
					return err
				}
			}
			answer, err := ask(cmd.Context(), c.Subjects.Record, m)
			if err != nil {
				return err
			}
			line := recordOf(answer.GetKrid(), answer.GetPlaced())
			return o.Out.Single(line, line.fields(r.what)...)
		})
	}
	n.register(cmd.Flags())
	return cmd
}

// stands refuses to end or to decide what is not there. Who may record, but may not look, is not refused.
func (o *Office) stands(ctx context.Context, c *client.Client, about *lethev1.Person, r *recording) error {
	_, said, err := o.standing(ctx, c, about)
	switch {
	case errors.Is(err, event.ErrDenied):
		return nil
	case err != nil:
		return err
	case r.ends(said):
		return nil
	}
	return event.Errorf(event.ErrNotFound, "record %s: %s", r.what, r.none).
		Hint("lethe subject show lists what stands, with ids")
}

// parseID reads the id of what a flag names.
func parseID(flag, text string) (event.ID, error) {
	id, err := event.ParseID(text)
	if err != nil {
		return id, event.Invalid("malformed_id", "parse --%s: want the id that lethe subject show lists", flag)
	}
	return id, nil
}

func (o *Office) subjectRestrictCommand() *cobra.Command {
	var r struct {
		Groups []string `json:"groups,omitempty"`
		Ground string   `json:"ground"`
		Case   string   `json:"case,omitempty"`
	}
	cmd := o.record(&cobra.Command{
		Use: "restrict [PERSON]", Short: "Restrict the use of a person's data",
		Long: `Restricts processing (GDPR, Article 18): from now on the data of the person is opened for exempt
purposes only, such as legal claims, at every server of the store. Grounds are accuracy, unlawful,
claims and objection. The id of the restriction releases it.

` + personHelp,
		Example: "  lethe subject restrict customer/4711 --ground accuracy --case case-12\n" +
			"  lethe subject restrict customer/4711 --ground unlawful --group finance --as employee/7",
	}, recording{typ: policy.TypeSubjectRestricted, what: "restriction", data: func(cmd *cobra.Command) (any, error) {
		return &r, needed(cmd, "ground")
	}})
	cmd.Flags().StringArrayVar(&r.Groups, "group", nil, "only this data group; may be repeated; without it all")
	cmd.Flags().StringVar(&r.Ground, "ground", "", "accuracy, unlawful, claims or objection")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	return cmd
}

func (o *Office) subjectReleaseCommand() *cobra.Command {
	var r struct {
		Restriction string     `json:"restriction"`
		Ground      string     `json:"ground"`
		Informed    *time.Time `json:"informed,omitempty"`
		Case        string     `json:"case,omitempty"`
	}
	informed := false
	cmd := o.record(&cobra.Command{
		Use: "release [PERSON]", Short: "End a restriction of a person's data",
		Long: "Ends a restriction, by the id that subject show lists. The person has to be told before that\n" +
			"(GDPR, Article 18(3)): --informed records that it was done.\n\n" + personHelp,
		Example: "  lethe subject release customer/4711 --restriction 0198c0de-7c1f-7000-8000-000000000001 \\\n" +
			"      --ground resolved --informed",
	}, recording{
		typ: policy.TypeRestrictionReleased, what: "release", none: "no restriction of this id is in force",
		data: func(cmd *cobra.Command) (any, error) {
			if err := needed(cmd, "restriction", "ground"); err != nil {
				return nil, err
			}
			if informed {
				now := o.now()
				r.Informed = &now
			}
			id, err := parseID("restriction", r.Restriction)
			r.Restriction = id.String()
			return &r, err
		},
		ends: func(s *standing) bool { return s.restricted(r.Restriction) },
	})
	cmd.Flags().StringVar(&r.Restriction, "restriction", "", "`id` of the restriction")
	cmd.Flags().StringVar(&r.Ground, "ground", "", "`code` of why it ends, such as resolved")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	cmd.Flags().BoolVar(&informed, "informed", false, "the person was told that it ends")
	return cmd
}
