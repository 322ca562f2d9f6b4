package office

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

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
for them. What an objection came to is recorded by subject balance; one to direct marketing holds
for good.

` + personHelp,
		Example: "  lethe subject object customer/4711 --marketing --method phone\n" +
			"  lethe subject object customer/4711 --for scoring --case case-12",
	}, recording{typ: policy.TypeObjectionRecorded, what: "objection", data: func(cmd *cobra.Command) (any, error) {
		if r.Marketing && len(r.Purposes) > 0 {
			return nil, usage(cmd, "--for does not go with --marketing")
		}
		r.At = o.now()
		return &r, nil
	}})
	cmd.Flags().StringArrayVar(&r.Purposes, "for", nil, "a `purpose` it is against; may be repeated")
	cmd.Flags().BoolVar(&r.Marketing, "marketing", false, "it is against all direct marketing")
	cmd.Flags().StringVar(&r.Method, "method", "", "`code` of how it was made, such as letter")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	return cmd
}

func (o *Office) subjectBalanceCommand() *cobra.Command {
	var r struct {
		Objection string         `json:"objection"`
		Outcome   policy.Outcome `json:"outcome"`
		At        time.Time      `json:"at"`
		Ground    string         `json:"ground"`
		Case      string         `json:"case,omitempty"`
	}
	outcome := ""
	cmd := o.record(&cobra.Command{
		Use: "balance [PERSON]", Short: "Record what an objection came to",
		Long: `Records how an objection was decided, by the id that subject show lists (GDPR, Article 21(1)):
upheld ends what it is against; overridden, because there are compelling grounds to go on, opens it
again. Until there is a decision nothing is opened; of several the latest counts. An objection to
direct marketing is not decided: it holds for good.

` + personHelp,
		Example: "  lethe subject balance customer/4711 --objection 0198c0de-7c1f-7000-8000-000000000001 \\\n" +
			"      --outcome overridden --ground fraud-prevention --case case-12",
	}, recording{
		typ: policy.TypeObjectionBalanced, what: "decision",
		none: "no objection of this id stands that can be balanced; one to direct marketing holds for good",
		data: func(cmd *cobra.Command) (any, error) {
			if err := needed(cmd, "objection", "outcome", "ground"); err != nil {
				return nil, err
			}
			r.Outcome, r.At = policy.Outcome(outcome), o.now()
			id, err := parseID("objection", r.Objection)
			r.Objection = id.String()
			return &r, err
		},
		ends: func(s *standing) bool { return s.objected(r.Objection) },
	})
	cmd.Flags().StringVar(&r.Objection, "objection", "", "`id` of the objection")
	cmd.Flags().StringVar(&outcome, "outcome", "", "upheld or overridden")
	cmd.Flags().StringVar(&r.Ground, "ground", "", "`code` of why, such as fraud-prevention")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	return cmd
}

func (o *Office) subjectChildCommand() *cobra.Command {
	return o.Group("child", "Note that a person is a child, and that they are no more",
		`While a note holds, no legitimate interest opens the child's data, unless the purpose says that it
holds for children, and consents count only if a guardian gave them. docs/policy.md has it in full.`,
		o.childNoteCommand(), o.childClearCommand())
}

func (o *Office) childNoteCommand() *cobra.Command {
	var r struct {
		Until    string `json:"until,omitempty"`
		Guardian string `json:"guardian,omitempty"`
		Case     string `json:"case,omitempty"`
	}
	guardian := ""
	cmd := o.record(&cobra.Command{
		Use: "note [PERSON]", Short: "Note that a person is a child",
		Long: "Notes that a person is a child, until the end of a month: a day would tell the birth date to who\n" +
			"reads the log. Without --until it holds until it is cleared.\n\n" + personHelp,
		Example: "  lethe subject child note customer/4711 --until 2031-04 --guardian customer/4700",
	}, recording{
		typ: policy.TypeChildNoted, what: "note",
		data: func(cmd *cobra.Command) (any, error) { return &r, o.monthToCome(cmd, r.Until) },
		more: func(ctx context.Context, c *client.Client) (err error) {
			r.Guardian, err = o.guardian(ctx, c, guardian)
			return err
		},
	})
	cmd.Flags().StringVar(&r.Until, "until", "", "last `month` of childhood, such as 2031-04")
	cmd.Flags().StringVar(&guardian, "guardian", "", "a `person` with parental responsibility: krid_… or kind/reference")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	return cmd
}

func (o *Office) childClearCommand() *cobra.Command {
	var r struct {
		Note   string    `json:"note"`
		At     time.Time `json:"at"`
		Ground string    `json:"ground"`
		Case   string    `json:"case,omitempty"`
	}
	cmd := o.record(&cobra.Command{
		Use: "clear [PERSON]", Short: "End a note that a person is a child",
		Long: "Ends a note before its time, by the id that subject show lists. Consents of guardians end with\n" +
			"childhood; what the person wants from then on is asked anew.\n\n" + personHelp,
		Example: "  lethe subject child clear customer/4711 --note 0198c0de-7c1f-7000-8000-000000000001 --ground of-age",
	}, recording{
		typ: policy.TypeChildCleared, what: "clearance", none: "no note of this id holds",
		data: func(cmd *cobra.Command) (any, error) {
			if err := needed(cmd, "note", "ground"); err != nil {
				return nil, err
			}
			r.At = o.now()
			id, err := parseID("note", r.Note)
			r.Note = id.String()
			return &r, err
		},
		ends: func(s *standing) bool { return s.noted(r.Note, r.At) },
	})
	cmd.Flags().StringVar(&r.Note, "note", "", "`id` of the note")
	cmd.Flags().StringVar(&r.Ground, "ground", "", "`code` of why, such as of-age or mistaken")
	cmd.Flags().StringVar(&r.Case, "case", "", "`id` of a case")
	return cmd
}

// month is how the end of childhood is written.
const month = "2006-01"

// monthToCome refuses --until where it is no month, or one that is over: such a note would never hold.
func (o *Office) monthToCome(cmd *cobra.Command, text string) error {
	if !cmd.Flags().Changed("until") {
		return nil
	}
	if t, err := time.Parse(month, text); err != nil || !t.AddDate(0, 1, 0).After(o.Clock.Now()) {
		return event.Invalid("malformed_time", "parse --until: want a month that is not over, such as 2031-04")
	}
	return nil
}

// guardian is the alias of who stands for a child; a reference is looked up.
func (o *Office) guardian(ctx context.Context, c *client.Client, text string) (krid string, err error) {
	if text == "" {
		return "", nil
	}
	person, err := parsePerson(text)
	switch {
	case event.Code(err) == "personal_reference":
		return "", event.Invalid("personal_reference", "name guardian: the reference looks like an e-mail address, and "+
			"command lines are kept and can be seen").Hint("give the alias, krid_…, that lethe subject show tells")
	case err != nil || person.GetKrid() != "":
		return person.GetKrid(), err
	}
	krid, _, err = o.standing(ctx, c, person)
	if event.Code(err) == "unknown_person" {
		err = event.Errorf(event.ErrNotFound, "find guardian: nobody of kind %s has this reference", person.GetKind()).
			Hint("check the reference")
	}
	return krid, err
}
