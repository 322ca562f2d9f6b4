package office

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/show"
)

func (o *Office) keyCommand() *cobra.Command {
	return o.Group("key", "Look after the keys of a store",
		`What is personal is sealed under keys of each person. They are wrapped by the keys of an epoch, and
those by a root key that never leaves the key service: a folder on this machine (--kms
local:FOLDER), outside of every store, or Vault or OpenBao (--kms vault:https://host:8200/mount).
docs/keys.md says how to run them.

A store that holds nothing personal needs no key service, and asks none.`,
		o.keyListCommand(), o.keyStatusCommand(), o.keyRollCommand())
}

// epochLine is an epoch as it is shown.
type epochLine struct {
	Number  uint32     `json:"number"`
	State   string     `json:"state"`
	Created *time.Time `json:"created_at,omitempty"`
	Name    string     `json:"name"`
	Open    bool       `json:"open"`
}

func epochOf(e *lethev1.KeyEpoch) epochLine {
	return epochLine{e.GetNumber(), e.GetState(), at(e.GetCreatedAt()), e.GetName(), e.GetOpen()}
}

func (o *Office) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the epochs of a store's keys", Args: o.Want(),
		Long: "Lists the epochs: periods of one root key each. Name is the root key's in the key service, open\n" +
			"says that its keys are in memory now.",
		Example: "  lethe key ls\n  lethe key ls -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				m, err := ask(cmd.Context(), c.Keys.Status, new(lethev1.KeyStatusRequest))
				if err != nil {
					return err
				}
				list := o.Out.List("epoch", "state", "created", "root key", "open")
				for _, e := range m.GetEpochs() {
					line := epochOf(e)
					err := list.Add(line, fmt.Sprint(line.Number), line.State, second(line.Created), line.Name,
						yes(line.Open, "open"))
					if err != nil {
						return err
					}
				}
				return list.Close()
			})
		},
	}
}

// keyStatus is the answer of key status.
type keyStatus struct {
	Service  string           `json:"service"`
	Usable   bool             `json:"usable"`
	Fault    string           `json:"fault,omitempty"`
	Current  uint32           `json:"epoch"`
	Behind   bool             `json:"behind"`
	Lease    *time.Time       `json:"lease_until,omitempty"`
	Keyrings *keyrings        `json:"keyrings,omitempty"`
	Sizes    map[string]int64 `json:"bytes"`
	Epochs   []epochLine      `json:"epochs"`
}

type keyrings struct {
	Live      uint64 `json:"live"`
	Destroyed uint64 `json:"destroyed"`
}

func (o *Office) keyStatusCommand() *cobra.Command {
	count := false
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether keys can be used", Args: o.Want(),
		Long: "Shows the key service, the epoch that wraps what is written, until when work goes on if the\n" +
			"service is away, and what the keystore takes. Keys that cannot be used end it with exit code 6.",
		Example: "  lethe key status\n  lethe key status --count -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				m, err := ask(cmd.Context(), c.Keys.Status, &lethev1.KeyStatusRequest{Count: count})
				if err != nil {
					return err
				}
				return o.showKeys(m)
			})
		},
	}
	cmd.Flags().BoolVar(&count, "count", false, "also count the keyrings of persons, which reads all of them")
	return cmd
}

func (o *Office) showKeys(m *lethev1.KeyStatusResponse) error {
	s := keyStatus{
		Service: m.GetService(), Usable: m.GetFault() == "", Fault: m.GetFault(), Current: m.GetCurrent(),
		Behind: m.GetBehind(), Lease: at(m.GetLeaseUntil()), Sizes: m.GetSizes(), Epochs: []epochLine{},
	}
	for _, e := range m.GetEpochs() {
		s.Epochs = append(s.Epochs, epochOf(e))
	}
	count := ""
	if k := m.GetKeyrings(); k != nil {
		s.Keyrings = &keyrings{k.GetLive(), k.GetDestroyed()}
		count = fmt.Sprintf("%d live, %d destroyed", k.GetLive(), k.GetDestroyed())
	}
	epoch := "none yet: nobody was spoken of"
	if s.Current > 0 {
		epoch = fmt.Sprint(s.Current) + yes(s.Behind, ", and a roll is not complete: lethe key roll")
	}
	state := "yes"
	if !s.Usable {
		state = "no: " + s.Fault
	}
	var sizes []string
	for _, part := range slices.Sorted(maps.Keys(s.Sizes)) {
		sizes = append(sizes, part+" "+humanize.Bytes(uint64(s.Sizes[part])))
	}
	err := o.Out.Single(s, fields(show.Field{"service", s.Service}, show.Field{"usable", state},
		show.Field{"epoch", epoch}, show.Field{"lease until", second(s.Lease)}, show.Field{"keyrings", count},
		show.Field{"keystore", strings.Join(sizes, ", ")})...)
	if err != nil || s.Usable {
		return err
	}
	return &event.Error{Sentinel: event.ErrUnavailable, Code: s.Fault, Message: "use keys: " + s.Service +
		" does not give out those of the store", Next: "check that it is the store's key service, and is there: --kms"}
}

func (o *Office) keyRollCommand() *cobra.Command {
	return &cobra.Command{
		Use: "roll", Short: "Move all keys under a new root key", Args: o.Want(),
		Long: `Starts a new epoch with a root key of its own and wraps every keyring anew under it; nothing that
is sealed changes. Appends and reads go on. The old root key stays live, and no command ends it
yet: do not delete it. A roll that was interrupted goes on where it ended, by the same command.`,
		Example: "  lethe key roll\n  lethe key roll --progress plain -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Open(cmd.Context(), false, func(c *client.Client) error {
				meter := o.Out.Meter("roll keys")
				defer meter.Stop()
				last, err := tell(cmd.Context(), c.Keys.Roll, new(lethev1.RollKeysRequest), func(m *lethev1.RollKeysResponse) {
					meter.At(int64(m.GetDone()), int64(m.GetTotal()), int64(m.GetDone()), "keyrings")
				})
				if err != nil {
					return err
				}
				meter.Stop()
				done := struct {
					Epoch    uint32 `json:"epoch"`
					Keyrings uint64 `json:"keyrings"`
				}{last.GetEpoch(), last.GetDone()}
				return o.Out.Single(done, show.Field{"epoch", fmt.Sprint(done.Epoch)},
					show.Field{"keyrings", fmt.Sprint(done.Keyrings)})
			})
		},
	}
}
