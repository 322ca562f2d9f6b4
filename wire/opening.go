package wire

import (
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
)

// Opening is the message of an opening; nothing is opened by no message.
func Opening(o event.Opening) *lethev1.Opening {
	if o.IsZero() {
		return nil
	}
	m := &lethev1.Opening{Purpose: o.Purpose, Reason: o.Reason, Code: o.Code}
	if !o.Actor.IsZero() {
		m.Actor = o.Actor.String()
	}
	return m
}

// ParseOpening reads an opening; no message, or one without a purpose, opens nothing. Who acts may be named by a direct
// identifier; where nobody is named it is the zero Actor.
func ParseOpening(m *lethev1.Opening) (event.Opening, error) {
	if m.GetPurpose() == "" {
		return event.Opening{}, nil
	}
	actor, err := ParseActor(m.GetActor())
	return event.Opening{Actor: actor, Purpose: m.GetPurpose(), Reason: m.GetReason(), Code: m.GetCode()}, err
}

// ParseActor reads kind/id; nothing is nobody. The id may be a direct identifier.
func ParseActor(text string) (event.Actor, error) {
	s, err := ParseStream(text)
	if err != nil {
		return event.Actor{}, event.Invalid("malformed_actor", "read actor: want kind/id, such as employee/7")
	}
	return event.Actor{Kind: s.Kind, ID: event.ActorID(s.ID)}, nil
}

// Names is the messages of references behind aliases.
func Names(list []event.Name) []*lethev1.Name {
	if len(list) == 0 {
		return nil
	}
	messages := make([]*lethev1.Name, len(list))
	for i, n := range list {
		messages[i] = &lethev1.Name{Krid: n.KRID.String(), Kind: n.Kind, Ref: n.Ref}
	}
	return messages
}

// ParseNames reads references behind aliases.
func ParseNames(messages []*lethev1.Name) ([]event.Name, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	list := make([]event.Name, len(messages))
	for i, m := range messages {
		krid, err := event.ParseKRID(m.GetKrid())
		if err != nil {
			return nil, err
		}
		list[i] = event.Name{KRID: krid, Kind: m.GetKind(), Ref: m.GetRef()}
	}
	return list, nil
}

func withheld(list []event.Withheld) []*lethev1.Withheld {
	if len(list) == 0 {
		return nil
	}
	messages := make([]*lethev1.Withheld, len(list))
	for i, w := range list {
		messages[i] = &lethev1.Withheld{Path: w.Path, Group: w.Group, Reason: string(w.Reason), Receipt: w.Receipt}
	}
	return messages
}

func parseWithheld(messages []*lethev1.Withheld) []event.Withheld {
	if len(messages) == 0 {
		return nil
	}
	list := make([]event.Withheld, len(messages))
	for i, m := range messages {
		list[i] = event.Withheld{Path: m.GetPath(), Group: m.GetGroup(), Reason: event.Withholding(m.GetReason()),
			Receipt: m.GetReceipt()}
	}
	return list
}
