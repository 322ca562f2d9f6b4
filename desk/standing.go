package desk

import (
	"encoding/json"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
)

// standingJSON is what a person said, and what was decided for them, as messages have it.
type standingJSON struct {
	Restrictions []restrictionJSON `json:"restrictions,omitempty"`
	Consents     []consentJSON     `json:"consents,omitempty"`
	Objections   []objectionJSON   `json:"objections,omitempty"`
	Minorities   []minorityJSON    `json:"minorities,omitempty"`
}

type restrictionJSON struct {
	ID     event.ID `json:"id"`
	Groups []string `json:"groups,omitempty"` // none: all
}

type consentJSON struct {
	ID       event.ID   `json:"id"`
	Purpose  string     `json:"purpose"`
	Groups   []string   `json:"groups,omitempty"` // none: all of the purpose
	Notice   string     `json:"notice,omitempty"`
	At       time.Time  `json:"at"`
	Until    *time.Time `json:"until,omitempty"`
	Explicit bool       `json:"explicit,omitempty"`
	Guardian bool       `json:"guardian,omitempty"`
}

type objectionJSON struct {
	ID        event.ID   `json:"id"`
	Purposes  []string   `json:"purposes,omitempty"` // none: all that one can object to
	Marketing bool       `json:"marketing,omitempty"`
	At        time.Time  `json:"at"`
	Outcome   string     `json:"outcome"`
	Decided   *time.Time `json:"decided,omitempty"`
}

type minorityJSON struct {
	ID    event.ID   `json:"id"`
	Until *time.Time `json:"until,omitempty"`
}

// standingText is a standing as JSON, of its consents those that count; nothing was said: nothing.
func standingText(s *policy.Standing, counting []policy.ConsentState) (string, error) {
	if s.Empty() {
		return "", nil
	}
	out := standingJSON{Consents: consents(counting)}
	for _, r := range s.Restrictions {
		out.Restrictions = append(out.Restrictions, restrictionJSON(r))
	}
	for _, o := range s.Objections {
		j := objectionJSON{ID: o.ID, Purposes: o.Purposes, Marketing: o.Marketing, At: event.FromMicros(o.At),
			Outcome: string(o.Outcome), Decided: moment(o.Decided)}
		if o.Outcome == policy.Pending {
			j.Outcome = "pending"
		}
		out.Objections = append(out.Objections, j)
	}
	for _, m := range s.Minorities {
		out.Minorities = append(out.Minorities, minorityJSON{m.ID, moment(m.Until)})
	}
	text, err := json.Marshal(out)
	return string(text), err
}

func consents(states []policy.ConsentState) []consentJSON {
	list := make([]consentJSON, 0, len(states))
	for i := range states {
		c := &states[i]
		list = append(list, consentJSON{ID: c.ID, Purpose: c.Purpose, Groups: c.Groups, Notice: c.Notice,
			At: event.FromMicros(c.At), Until: moment(c.Until), Explicit: c.Explicit, Guardian: c.Guardian})
	}
	return list
}

// moment is a time in microseconds; 0 is nil.
func moment(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	at := event.FromMicros(micros)
	return &at
}
