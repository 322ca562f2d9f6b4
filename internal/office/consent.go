package office

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/policy"
)

func (o *Office) consentCommand() *cobra.Command {
	return o.Group("consent", "Record what persons consented to",
		`A consent is recorded with what the person was shown: the version and language of the notice, how
it was asked and when. It counts at once here and within a minute in other processes, for purposes
on consent or on Article 9(2)(a); who withdraws it is obeyed at the next opening, everywhere. The
person gets a receipt.

`+personHelp,
		o.consentRecordCommand(), o.consentWithdrawCommand(), o.consentShowCommand(), o.consentHistoryCommand())
}

// consentFlags are the flags of consent record.
type consentFlags struct {
	naming
	purpose, controller, notice, language, digest, method string
	until, jurisdiction, withdrawal, caseID, receipt      string
	guardian                                              string
	groups, recipients                                    []string
	explicit, refused                                     bool
}

func (o *Office) consentRecordCommand() *cobra.Command {
	var f consentFlags
	cmd := &cobra.Command{
		Use: "record [PERSON]", Short: "Record that a person gave or refused consent", Args: personArg,
		Long: "Records a consent. --receipt writes what the person is handed: JSON in the shape of\n" +
			"ISO/IEC TS 27560. Words do not belong into a record, which stays for ever: codes and the id of a\n" +
			"case do.\n\n" + personHelp,
		Example: "  lethe consent record customer/4711 --purpose newsletter --notice 3 --language en \\\n" +
			"      --method web-form --receipt receipt.json\n" +
			"  echo ada@example.org | lethe consent record --kind customer --ref-file - --purpose newsletter \\\n" +
			"      --notice 3 --language en --method web-form --until 2028-01-01",
	}
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := needed(cmd, "purpose", "notice", "language", "method"); err != nil {
			return err
		}
		by, err := actor()
		if err != nil {
			return err
		}
		data, err := o.consentData(&f)
		if err != nil {
			return err
		}
		person, err := o.person(cmd, args, &f.naming)
		if err != nil {
			return err
		}
		return o.Open(cmd.Context(), false, func(c *client.Client) error {
			return o.recordConsent(cmd.Context(), c, &lethev1.RecordConsentRequest{Person: person, Actor: by}, data, &f)
		})
	}
	f.register(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&f.purpose, "purpose", "", "what the consent is for")
	flags.StringVar(&f.controller, "controller", "", "who asked; by default the purpose's, or the only one; on a "+
		"server that needs an admin token")
	flags.StringVar(&f.notice, "notice", "", "`version` of the notice that was shown")
	flags.StringVar(&f.language, "language", "", "its language, such as en or de-AT")
	flags.StringVar(&f.digest, "digest", "", "SHA-256 of its text, as `hex`")
	flags.StringVar(&f.method, "method", "", "`code` of how it was asked, such as web-form")
	flags.StringArrayVar(&f.groups, "group", nil, "only for this data group; may be repeated; without it for all")
	flags.BoolVar(&f.explicit, "explicit", false, "given by an express statement")
	flags.BoolVar(&f.refused, "refused", false, "the person said no")
	flags.StringArrayVar(&f.recipients, "recipient", nil, "who else gets the data, of the purpose's; may be repeated")
	flags.StringVar(&f.guardian, "guardian", "", "who gave it for a child, a `person`: krid_… or kind/reference")
	flags.StringVar(&f.until, "until", "", "until when it counts, a `date` or time")
	flags.StringVar(&f.jurisdiction, "jurisdiction", "", "country of ISO 3166, such as DE")
	flags.StringVar(&f.withdrawal, "withdrawal", "", "`code` of how it can be withdrawn")
	flags.StringVar(&f.caseID, "case", "", "`id` of a case")
	flags.StringVar(&f.receipt, "receipt", "", "write the receipt to this new `file`")
	return cmd
}

// consentData is a record without the person.
type consentData struct {
	Controller   string               `json:"controller"`
	Purpose      string               `json:"purpose"`
	Basis        policy.Basis         `json:"basis"`
	Groups       []string             `json:"groups,omitempty"`
	Notice       noticeData           `json:"notice"`
	Method       string               `json:"method"`
	At           time.Time            `json:"at"`
	State        policy.ConsentAnswer `json:"state"`
	Explicit     bool                 `json:"explicit,omitempty"`
	Until        *time.Time           `json:"until,omitempty"`
	Recipients   []string             `json:"recipients,omitempty"`
	Guardian     string               `json:"guardian,omitempty"`
	Jurisdiction string               `json:"jurisdiction,omitempty"`
	Withdrawal   string               `json:"withdrawal,omitempty"`
	Case         string               `json:"case,omitempty"`
}

type noticeData struct {
	Version  string `json:"version"`
	Language string `json:"language"`
	Digest   string `json:"digest,omitempty"`
}

func (o *Office) consentData(f *consentFlags) (*consentData, error) {
	d := &consentData{
		Controller: f.controller, Purpose: f.purpose, Basis: policy.Consent, Groups: f.groups,
		Notice: noticeData{f.notice, f.language, f.digest}, Method: f.method, At: o.now(), State: policy.Given,
		Explicit: f.explicit, Recipients: f.recipients, Jurisdiction: f.jurisdiction, Withdrawal: f.withdrawal,
		Case: f.caseID,
	}
	if f.refused {
		d.State = policy.Refused
	}
	if f.until == "" {
		return d, nil
	}
	until, err := phrase.ParseExpiry("until", d.At, f.until)
	d.Until = &until
	return d, err
}

// now is a time as records keep it.
func (o *Office) now() time.Time { return event.FromMicros(event.Micros(o.Clock.Now())) }

func (o *Office) recordConsent(ctx context.Context, c *client.Client, m *lethev1.RecordConsentRequest,
	data *consentData, f *consentFlags,
) (err error) {
	if data.Controller == "" {
		if data.Controller, err = o.controller(ctx, c, data.Purpose); err != nil {
			return err
		}
	}
	if data.Guardian, err = o.guardian(ctx, c, f.guardian); err != nil {
		return err
	}
	if m.Data, err = marshal(data); err != nil {
		return err
	}
	if m.Id, err = o.newID(); err != nil {
		return err
	}
	var receipt *os.File
	if f.receipt != "" { // before anything is recorded
		if receipt, err = newFile("receipt", f.receipt); err != nil {
			return err
		}
		defer receipt.Close()
	}
	answer, err := ask(ctx, c.Consents.Record, m)
	if err != nil {
		if receipt != nil {
			_ = os.Remove(f.receipt) // it is empty, and what failed says more
		}
		return err
	}
	if receipt != nil {
		if _, err := receipt.WriteString(answer.GetReceipt() + "\n"); err != nil {
			return fmt.Errorf("write receipt: %w", err)
		}
		o.Out.Say("receipt written to %s; hand it to the person", f.receipt)
	}
	out := struct {
		recordLine
		Receipt json.RawMessage `json:"receipt"`
	}{recordOf(answer.GetKrid(), answer.GetPlaced()), json.RawMessage(answer.GetReceipt())}
	return o.Out.Single(out, append(out.fields("consent"), show.Field{"purpose", data.Purpose},
		show.Field{"answer", string(data.State)})...)
}

// newFile makes a file that is not there yet, for its owner only.
func newFile(what, name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, event.Invalid("file_exists", "write %s: file %s is there already", what, name).
			Hint("name another file, or remove that one")
	}
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", what, err)
	}
	return f, nil
}

// controller is who is asked for consent where nobody is named.
func (o *Office) controller(ctx context.Context, c *client.Client, purpose string) (string, error) {
	d, _, err := o.policy(ctx, c)
	if err != nil {
		return "", err
	}
	if d != nil {
		if name := d.Purposes[purpose].Controller; name != "" {
			return name, nil
		}
		if len(d.Controllers) == 1 {
			for name := range d.Controllers {
				return name, nil
			}
		}
	}
	return "", event.Invalid("usage", "record consent: the policy does not say who asks").
		Hint("name the controller: --controller")
}

func marshal(v any) (string, error) {
	text, err := show.Marshal(v)
	return strings.TrimSpace(string(text)), err
}

// recordLine is where a record of a person came to lie.
type recordLine struct {
	KRID     string `json:"krid"`
	ID       string `json:"id"`
	Position uint64 `json:"position"`
}

func recordOf(krid string, placed *lethev1.PlacedRecord) recordLine {
	return recordLine{krid, placed.GetId(), placed.GetPosition()}
}

func (l *recordLine) fields(what string) []show.Field {
	return []show.Field{{what, l.ID}, {"person", l.KRID}, {"position", position(l.Position)}}
}

func (o *Office) consentWithdrawCommand() *cobra.Command {
	var n naming
	var purposes, consents []string
	var method, caseID string
	cmd := &cobra.Command{
		Use: "withdraw [PERSON]", Short: "End consents of a person", Args: personArg,
		Long: "Ends the consents that are named, and all for the purposes that are named. It holds at the next\n" +
			"opening, everywhere. Where none was in force it is recorded all the same, and a note says so.\n\n" + personHelp,
		Example: "  lethe consent withdraw customer/4711 --purpose newsletter --method e-mail",
	}
	actor := actorFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(purposes)+len(consents) == 0 {
			return usage(cmd, "want --purpose or --consent")
		}
		by, err := actor()
		if err != nil {
			return err
		}
		for _, text := range consents {
			if _, err := parseID("consent", text); err != nil {
				return err
			}
		}
		m := &lethev1.WithdrawConsentRequest{Actor: by}
		if m.Person, err = o.person(cmd, args, &n); err != nil {
			return err
		}
		m.Data, err = marshal(struct {
			Consents []string  `json:"consents,omitempty"`
			Purposes []string  `json:"purposes,omitempty"`
			At       time.Time `json:"at"`
			Method   string    `json:"method,omitempty"`
			Case     string    `json:"case,omitempty"`
		}{consents, purposes, o.now(), method, caseID})
		if err != nil {
			return err
		}
		if m.Id, err = o.newID(); err != nil {
			return err
		}
		return o.Open(cmd.Context(), false, func(c *client.Client) error {
			_, said, looking := o.standing(cmd.Context(), c, m.GetPerson())
			answer, err := ask(cmd.Context(), c.Consents.Withdraw, m)
			if err != nil {
				return err
			}
			if looking == nil { // else one may withdraw, and not look
				o.noteIdle(said, consents, purposes)
			}
			line := recordOf(answer.GetKrid(), answer.GetPlaced())
			return o.Out.Single(line, line.fields("withdrawal")...)
		})
	}
	n.register(cmd.Flags())
	cmd.Flags().StringArrayVar(&purposes, "purpose", nil, "end all consents for this purpose; may be repeated")
	cmd.Flags().StringArrayVar(&consents, "consent", nil, "end this consent, by its `id`; may be repeated")
	cmd.Flags().StringVar(&method, "method", "", "`code` of how it was withdrawn, such as e-mail")
	cmd.Flags().StringVar(&caseID, "case", "", "`id` of a case")
	return cmd
}

// noteIdle says which of the withdrawals ended nothing: a name may be mistyped.
func (o *Office) noteIdle(s *standing, consents, purposes []string) {
	for _, id := range consents {
		if !s.consented(id, "") {
			o.Out.Say("note: no consent %s was in force", id)
		}
	}
	for _, purpose := range purposes {
		if !s.consented("", purpose) {
			o.Out.Say("note: no consent for %s was in force", show.Printable(purpose))
		}
	}
}

// consentLine is a consent as it is shown.
type consentLine struct {
	ID       string     `json:"id"`
	Purpose  string     `json:"purpose"`
	Groups   []string   `json:"groups,omitempty"`
	Notice   string     `json:"notice,omitempty"`
	At       time.Time  `json:"at"`
	Until    *time.Time `json:"until,omitempty"`
	Explicit bool       `json:"explicit,omitempty"`
	Guardian bool       `json:"guardian,omitempty"`
}

func (o *Office) consentShowCommand() *cobra.Command {
	var n naming
	cmd := &cobra.Command{
		Use: "show [PERSON]", Short: "Show what a person consents to now", Args: personArg,
		Long:    "Shows the consents of a person that count now.\n\n" + personHelp,
		Example: "  lethe consent show customer/4711\n  lethe consent show krid_64o3gchk6ko30d9i6ko30d9i6k -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			person, err := o.person(cmd, args, &n)
			if err != nil {
				return err
			}
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				answer, err := ask(cmd.Context(), c.Consents.List, &lethev1.ListConsentsRequest{Person: person})
				if err != nil {
					return err
				}
				var consents []consentLine
				if err := json.Unmarshal([]byte(answer.GetConsents()), &consents); err != nil {
					return fmt.Errorf("read consents: %w", err)
				}
				table := o.Out.List("consent", "purpose", "groups", "notice", "given", "until", "explicit")
				for _, l := range consents {
					groups := list(l.Groups)
					if len(l.Groups) == 0 {
						groups = "all of the purpose"
					}
					err := table.Add(l, l.ID, l.Purpose, groups, l.Notice, second(&l.At), second(l.Until), yes(l.Explicit, "yes"))
					if err != nil {
						return err
					}
				}
				return table.Close()
			})
		},
	}
	n.register(cmd.Flags())
	return cmd
}

func (o *Office) consentHistoryCommand() *cobra.Command {
	var n naming
	cmd := &cobra.Command{
		Use: "history [PERSON]", Short: "Show all that a person ever said about consent", Args: personArg,
		Long:    "Shows every record of a consent of a person, oldest first: given, refused, withdrawn.\n\n" + personHelp,
		Example: "  lethe consent history customer/4711 -o jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			person, err := o.person(cmd, args, &n)
			if err != nil {
				return err
			}
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				m := &lethev1.ListConsentsRequest{Person: person, History: true}
				answer, err := ask(cmd.Context(), c.Consents.List, m)
				if err != nil {
					return err
				}
				return o.showHistory(answer.GetEvents())
			})
		},
	}
	n.register(cmd.Flags())
	return cmd
}

func (o *Office) showHistory(events []*lethev1.Event) error {
	table := o.Out.List("position", "at", "what", "purpose", "record")
	for _, e := range events {
		record, err := policy.ParseRecord(e.GetType(), []byte(e.GetData()))
		if err != nil {
			return err
		}
		line := struct {
			Position uint64        `json:"position"`
			ID       string        `json:"id"`
			What     string        `json:"what"`
			Purposes []string      `json:"purposes,omitempty"`
			Recorded *time.Time    `json:"recorded_at"`
			Record   policy.Record `json:"record"`
		}{Position: e.GetPosition(), ID: e.GetId(), What: "withdrawn", Recorded: at(e.GetRecordedAt()), Record: record}
		switch r := record.(type) {
		case policy.ConsentRecorded:
			line.What, line.Purposes = string(r.State), []string{r.Purpose}
		case policy.ConsentWithdrawn:
			line.Purposes = slices.Clone(r.Purposes)
		}
		err = table.Add(line, position(line.Position), second(line.Recorded), line.What, list(line.Purposes), line.ID)
		if err != nil {
			return err
		}
	}
	return table.Close()
}
