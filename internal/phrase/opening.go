package phrase

import (
	"github.com/spf13/pflag"

	"github.com/lethe-es/lethe/event"
)

// Opening is flags that say who opens personal data, for which purpose and why.
type Opening struct{ purpose, reason, actor string }

// Register adds a flag for each part.
func (f *Opening) Register(flags *pflag.FlagSet) {
	flags.StringVar(&f.purpose, "purpose", "", "open personal data for this purpose; the use is recorded")
	flags.StringVar(&f.reason, "reason", "", "why it is opened: a code and the `id` of a case, such as \"ticket 7\"")
	flags.StringVar(&f.actor, "actor", "", "who opens it, `kind/id` (LETHE_ACTOR)")
}

// Parse is the opening that the flags mean; the zero one opens nothing.
func (f *Opening) Parse() (event.Opening, error) {
	if f.purpose == "" {
		if f.reason != "" || f.actor != "" {
			return event.Opening{}, event.Invalid("usage", "--reason and --actor go with --purpose only").
				Hint("say what it is opened for: --purpose; lethe purpose ls lists the purposes")
		}
		return event.Opening{}, nil
	}
	o := event.Opening{Purpose: f.purpose, Reason: f.reason}
	if f.actor == "" {
		return o, nil
	}
	var err error
	o.Actor, err = ParseActor(f.actor)
	return o, err
}
