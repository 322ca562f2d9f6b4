package office

import (
	"time"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/policy"
)

// record adds to a command about a person what it needs to record something: the flags that all have, and the call.
// data gives what is recorded.
func (o *Office) record(cmd *cobra.Command, typ, what string, data func(cmd *cobra.Command) (any, error),
) *cobra.Command {
	var n naming
	cmd.Args = personArg
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		by, err := actor()
		if err != nil {
			return err
		}
		recorded, err := data(cmd)
		if err != nil {
			return err
		}
		m := &lethev1.RecordStandingRequest{Type: typ, Actor: by}
		if m.Data, err = marshal(recorded); err != nil {
			return err
		}
		if m.Id, err = o.newID(); err != nil {
			return err
		}
		if m.Person, err = o.person(cmd, args, &n); err != nil {
			return err
		}
		return o.Open(cmd.Context(), false, func(c *client.Client) error {
			answer, err := ask(cmd.Context(), c.Subjects.Record, m)
			if err != nil {
				return err
			}
			line := recordOf(answer.GetKrid(), answer.GetPlaced())
			return o.Out.Single(line, line.fields(what)...)
		})
	}
	n.register(cmd.Flags())
	return cmd
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
	}, policy.TypeSubjectRestricted, "restriction", func(cmd *cobra.Command) (any, error) {
		return &r, needed(cmd, "ground")
	})
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
	}, policy.TypeRestrictionReleased, "release", func(cmd *cobra.Command) (any, error) {
		if informed {
			now := o.now()
			r.Informed = &now
		}
		return &r, needed(cmd, "restriction", "ground")
	})
	cmd.Flags().StringVar(&r.Restriction, "restriction", "", "`id` of the restriction")
	cmd.Flags().StringVar(&r.Ground, "ground", "", "`code` of why it ends, such as resolved")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	cmd.Flags().BoolVar(&informed, "informed", false, "the person was told that it ends")
	return cmd
}

func (o *Office) subjectObjectCommand() *cobra.Command {
	var r struct {
		Purposes  []string  `json:"purposes,omitempty"`
		Marketing bool      `json:"marketing,omitempty"`
		At        time.Time `json:"at"`
		Method    string    `json:"method,omitempty"`
		Case      string    `json:"case,omitempty"`
	}
	cmd := o.record(&cobra.Command{
		Use: "object [PERSON]", Short: "Record an objection of a person",
		Long: `Records that a person objects (GDPR, Article 21): to the purposes that are named, to all direct
marketing, or, with neither, to all purposes that one can object to. From now on nothing is opened
for them.

` + personHelp,
		Example: "  lethe subject object customer/4711 --marketing --method phone\n" +
			"  lethe subject object customer/4711 --for scoring --case case-12",
	}, policy.TypeObjectionRecorded, "objection", func(cmd *cobra.Command) (any, error) {
		if r.Marketing && len(r.Purposes) > 0 {
			return nil, usage(cmd, "--for does not go with --marketing")
		}
		r.At = o.now()
		return &r, nil
	})
	cmd.Flags().StringArrayVar(&r.Purposes, "for", nil, "a `purpose` it is against; may be repeated")
	cmd.Flags().BoolVar(&r.Marketing, "marketing", false, "it is against all direct marketing")
	cmd.Flags().StringVar(&r.Method, "method", "", "`code` of how it was made, such as letter")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	return cmd
}
