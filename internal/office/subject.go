package office

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/wire"
)

func (o *Office) subjectCommand() *cobra.Command {
	return o.Group("subject", "Look at what is held of a person, and restrict it",
		`A data subject is a person of whom the store holds data. These commands show what is held and until
when, who read it and what for; they restrict its use, and record objections, how they were
decided, and who is a child. Only show --purpose opens something: the references.

`+personHelp,
		o.subjectShowCommand(), o.subjectMapCommand(), o.subjectUsesCommand(), o.subjectRestrictCommand(),
		o.subjectReleaseCommand(), o.subjectObjectCommand(), o.subjectBalanceCommand(), o.subjectChildCommand())
}

// standing is what a person said, and what was decided for them.
type standing struct {
	Restrictions []struct {
		ID     string   `json:"id"`
		Groups []string `json:"groups"`
	} `json:"restrictions"`
	Consents   []consentLine `json:"consents"`
	Objections []struct {
		ID        string   `json:"id"`
		Purposes  []string `json:"purposes"`
		Marketing bool     `json:"marketing"`
		Outcome   string   `json:"outcome"`
	} `json:"objections"`
	Minorities []struct {
		ID    string     `json:"id"`
		Until *time.Time `json:"until"`
	} `json:"minorities"`
}

// standing is the alias of a person, and what stands of them.
func (o *Office) standing(ctx context.Context, c *client.Client, about *lethev1.Person) (string, *standing, error) {
	answer, err := ask(ctx, c.Subjects.Show, &lethev1.ShowSubjectRequest{Person: about})
	if err != nil {
		return "", nil, err
	}
	said, err := parseStanding(answer.GetStanding())
	return answer.GetKrid(), said, err
}

func parseStanding(text string) (*standing, error) {
	said := new(standing)
	if text == "" {
		return said, nil
	}
	if err := json.Unmarshal([]byte(text), said); err != nil {
		return nil, fmt.Errorf("read standing: %w", err)
	}
	return said, nil
}

// restricted tells whether a restriction is in force.
func (s *standing) restricted(id string) bool {
	for _, r := range s.Restrictions {
		if r.ID == id {
			return true
		}
	}
	return false
}

// objected tells whether an objection stands that can be decided.
func (s *standing) objected(id string) bool {
	for _, o := range s.Objections {
		if o.ID == id {
			return !o.Marketing
		}
	}
	return false
}

// noted tells whether a note that the person is a child holds after a time.
func (s *standing) noted(id string, at time.Time) bool {
	for _, m := range s.Minorities {
		if m.ID == id {
			return m.Until == nil || m.Until.After(at)
		}
	}
	return false
}

// consented tells whether a consent is in force: of an id, or for a purpose.
func (s *standing) consented(id, purpose string) bool {
	for _, c := range s.Consents {
		if c.ID == id || purpose != "" && c.Purpose == purpose {
			return true
		}
	}
	return false
}

func (s *standing) fields() []show.Field {
	var restrictions, consents, objections, minorities []string
	for _, r := range s.Restrictions {
		what := list(r.Groups)
		if len(r.Groups) == 0 {
			what = "everything"
		}
		restrictions = append(restrictions, r.ID+" "+what)
	}
	for _, c := range s.Consents {
		consents = append(consents, c.ID+" "+c.Purpose+yes(c.Until != nil, " until "+second(c.Until)))
	}
	for _, x := range s.Objections {
		what := list(x.Purposes)
		switch {
		case x.Marketing:
			what = "direct marketing"
		case what == "":
			what = "all that one can object to"
		}
		objections = append(objections, x.ID+" "+what+yes(x.Outcome != "" && !x.Marketing, ", "+x.Outcome))
	}
	for _, c := range s.Minorities {
		minorities = append(minorities, c.ID+yes(c.Until != nil, " until "+lastMonth(c.Until)))
	}
	return fields(show.Field{"restricted", strings.Join(restrictions, "\n")},
		show.Field{"consents", strings.Join(consents, "\n")}, show.Field{"objections", strings.Join(objections, "\n")},
		show.Field{"child", strings.Join(minorities, "\n")})
}

// lastMonth is the month that was given for the end of childhood, or when it was cleared.
func lastMonth(end *time.Time) string {
	if end == nil {
		return ""
	}
	if at := end.UTC(); at.Day() == 1 && at.Equal(at.Truncate(24*time.Hour)) {
		return at.AddDate(0, -1, 0).Format(month)
	}
	return second(end)
}

func (o *Office) subjectShowCommand() *cobra.Command {
	var n naming
	var f phrase.Opening
	cmd := &cobra.Command{
		Use: "show [PERSON]", Short: "Show what is known of a person's keys, and what they said", Args: personArg,
		Long: "Shows the alias of a person, which data groups have keys, restrictions, consents and objections.\n" +
			"References are shown only for a purpose that may see them; the use is recorded.\n\n" + personHelp,
		Example: "  lethe subject show customer/4711\n" +
			"  lethe subject show krid_64o3gchk6ko30d9i6ko30d9i6k --purpose support --reason \"ticket 7\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			opening, err := o.Opening(&f)
			if err != nil {
				return err
			}
			m := new(lethev1.ShowSubjectRequest)
			if m.Person, err = o.person(cmd, args, &n); err != nil {
				return err
			}
			m.Opening = wire.Opening(opening)
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				answer, err := ask(cmd.Context(), c.Subjects.Show, m)
				if err != nil {
					return err
				}
				if len(answer.GetNames()) > 0 {
					o.Out.UseLogged(opening)
				}
				return o.showSubject(answer)
			})
		},
	}
	n.register(cmd.Flags())
	f.Register(cmd.Flags())
	return cmd
}

// groupLine is which keys of a group there are.
type groupLine struct {
	Group       string   `json:"group"`
	Generations []uint32 `json:"generations"`
	Receipt     string   `json:"receipt,omitempty"`
}

func (o *Office) showSubject(m *lethev1.ShowSubjectResponse) error {
	out := struct {
		KRID     string          `json:"krid"`
		State    string          `json:"state"`
		Names    []string        `json:"names,omitempty"`
		Groups   []groupLine     `json:"groups"`
		Standing json.RawMessage `json:"standing,omitempty"`
		Receipt  string          `json:"receipt,omitempty"`
		Epoch    uint32          `json:"epoch"`
	}{KRID: m.GetKrid(), State: m.GetState(), Receipt: m.GetReceipt(), Epoch: m.GetEpoch(), Groups: []groupLine{}}
	for _, name := range m.GetNames() {
		out.Names = append(out.Names, name.GetKind()+"/"+name.GetRef())
	}
	var groups []string
	for _, g := range m.GetGroups() {
		out.Groups = append(out.Groups, groupLine{g.GetGroup(), append([]uint32{}, g.GetGenerations()...), g.GetReceipt()})
		groups = append(groups, g.GetGroup()+yes(g.GetReceipt() != "", " (erased, "+g.GetReceipt()+")"))
	}
	said, err := parseStanding(m.GetStanding())
	if err != nil {
		return err
	}
	out.Standing = json.RawMessage(m.GetStanding())
	all := fields(show.Field{"person", out.KRID}, show.Field{"state", out.State}, show.Field{"names", list(out.Names)},
		show.Field{"groups", list(groups)}, show.Field{"receipt", out.Receipt}, show.Field{"epoch", fmt.Sprint(out.Epoch)})
	return o.Out.Single(out, append(all, said.fields()...)...)
}

// holdingLine is where values of a person lie.
type holdingLine struct {
	Group string   `json:"group"`
	Class string   `json:"retention,omitempty"`
	Until string   `json:"until,omitempty"`
	Boxes uint64   `json:"boxes"`
	First uint64   `json:"first"`
	Last  uint64   `json:"last"`
	Types []string `json:"types"`
	Joint bool     `json:"joint,omitempty"`
}

func (o *Office) subjectMapCommand() *cobra.Command {
	var n naming
	cmd := &cobra.Command{
		Use: "map [PERSON]", Short: "Show what the log holds of a person, where, and until when", Args: personArg,
		Long: "Walks the events that speak of a person and shows of every data group how much is held, in which\n" +
			"types of events, and until when. It opens nothing.\n\n" + personHelp,
		Example: "  lethe subject map customer/4711\n  lethe subject map customer/4711 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			person, err := o.person(cmd, args, &n)
			if err != nil {
				return err
			}
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				meter := o.Out.Meter("map")
				defer meter.Stop()
				m := &lethev1.MapSubjectRequest{Person: person}
				last, err := tell(cmd.Context(), c.Subjects.Map, m, func(m *lethev1.MapSubjectResponse) {
					meter.At(int64(m.GetEvents()), 0, int64(m.GetEvents()), "events")
				})
				if err != nil {
					return err
				}
				meter.Stop()
				return o.showMap(last.GetFootprint())
			})
		},
	}
	n.register(cmd.Flags())
	return cmd
}

func (o *Office) showMap(f *lethev1.Footprint) error {
	holdings := []holdingLine{}
	for _, h := range f.GetHoldings() {
		holdings = append(holdings, holdingLine{h.GetGroup(), h.GetClass(), h.GetUntil(), h.GetBoxes(), h.GetFirst(),
			h.GetLast(), h.GetTypes(), h.GetJoint()})
	}
	if o.Out.Format == show.JSON {
		return o.Out.Single(struct {
			KRID     string            `json:"krid"`
			Events   uint64            `json:"events"`
			Roles    map[string]uint64 `json:"roles"`
			Holdings []holdingLine     `json:"holdings"`
		}{f.GetKrid(), f.GetEvents(), f.GetRoles(), holdings})
	}
	if o.Out.Format == show.Table {
		var roles []string
		for _, role := range slices.Sorted(maps.Keys(f.GetRoles())) {
			roles = append(roles, fmt.Sprintf("%s %d", role, f.GetRoles()[role]))
		}
		o.Out.Say("events that speak of %s: %d%s", f.GetKrid(), f.GetEvents(), yes(len(roles) > 0, " ("+list(roles)+")"))
	}
	table := o.Out.List("group", "kept until", "retention", "boxes", "positions", "types", "joint")
	for _, h := range holdings {
		until := h.Until
		if until == "" {
			until = "no fixed end"
		}
		err := table.Add(h, h.Group, until, h.Class, fmt.Sprint(h.Boxes), span(h.First, h.Last), list(h.Types),
			yes(h.Joint, "with others"))
		if err != nil {
			return err
		}
	}
	return table.Close()
}

// span is the positions from first to last.
func span(first, last uint64) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d to %d", first, last)
}

// useLine is one batch of personal data that was opened.
type useLine struct {
	Number  uint64     `json:"number"`
	At      *time.Time `json:"at"`
	Actor   string     `json:"actor,omitempty"`
	Purpose string     `json:"purpose"`
	Reason  string     `json:"reason,omitempty"`
	Words   bool       `json:"more_said,omitempty"` // sealed
	Code    string     `json:"code,omitempty"`
	Entries []useEntry `json:"opened"`
}

type useEntry struct {
	Group string `json:"group"`
	Count uint32 `json:"count"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func (o *Office) subjectUsesCommand() *cobra.Command {
	var n naming
	var purpose string
	var limit uint32
	cmd := &cobra.Command{
		Use: "uses [PERSON]", Short: "Show who read what of a person, and what for", Args: personArg,
		Long: "Lists the openings of a person's data, the newest first: when, by whom, for which purpose and\n" +
			"reason, by which program, and which data groups of which events. Those of undisclosed groups and\n" +
			"purposes are left out.\n\n" + personHelp,
		Example: "  lethe subject uses customer/4711\n  lethe subject uses customer/4711 --for support --limit 10 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			person, err := o.person(cmd, args, &n)
			if err != nil {
				return err
			}
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				return o.showUses(cmd.Context(), c, &lethev1.ListUsesRequest{Person: person, Purpose: purpose}, int(limit))
			})
		},
	}
	n.register(cmd.Flags())
	cmd.Flags().StringVar(&purpose, "for", "", "only for this `purpose`")
	cmd.Flags().Uint32Var(&limit, "limit", 0, "at most so many; 0: all")
	return cmd
}

func (o *Office) showUses(ctx context.Context, c *client.Client, m *lethev1.ListUsesRequest, limit int) error {
	table := o.Out.List("use", "at", "actor", "purpose", "reason", "opened", "positions", "code")
	for {
		page, err := ask(ctx, c.Subjects.Uses, m)
		if err != nil {
			return err
		}
		for _, u := range page.GetUses() {
			if limit > 0 && table.Items() == limit {
				return table.Close()
			}
			if err := o.addUse(table, u); err != nil {
				return err
			}
		}
		if m.Before = page.GetNext(); page.GetDone() {
			return table.Close()
		}
	}
}

func (o *Office) addUse(table *show.List, u *lethev1.Use) error {
	l := useLine{u.GetNumber(), at(u.GetAt()), u.GetActor(), u.GetPurpose(), u.GetReason(), u.GetWords(), u.GetCode(), nil}
	var opened, places []string
	for _, e := range u.GetEntries() {
		l.Entries = append(l.Entries, useEntry{e.GetGroup(), e.GetCount(), e.GetFirst(), e.GetLast()})
		opened = append(opened, fmt.Sprintf("%s %d", e.GetGroup(), e.GetCount()))
		if s := span(e.GetFirst(), e.GetLast()); !slices.Contains(places, s) {
			places = append(places, s)
		}
	}
	return table.Add(l, fmt.Sprint(l.Number), second(l.At), l.Actor, l.Purpose, l.Reason+yes(l.Words, " (and more)"),
		list(opened), list(places), l.Code)
}
