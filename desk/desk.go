// Package desk holds the handlers of the services about persons, schemas, purposes and keys: what a store is told about
// personal data, and what it tells of it without opening any. Package server mounts them behind its admission; every
// method gets a message that was read, and answers with one.
//
//	d := desk.Desk{Store: store, Token: bearer.ID}
//	answer, err := d.ShowSubject(ctx, m)
//
// A person is named in the body of a call, by reference or alias. Errors are those of package event and hold neither
// references nor anything else that was sent but names and ids. That a caller may call is decided before it gets here.
package desk

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lethe-es/lethe"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// Desk is a store in this process, and who calls.
type Desk struct {
	Store *lethe.Store
	Token string // id of the caller's; empty: tokens are off
}

// actor is who acts: who the message names, else the token.
func (d Desk) actor(text string) (event.Actor, error) {
	if text == "" && d.Token != "" {
		return event.Actor{Kind: "token", ID: event.ActorID(d.Token)}, nil
	}
	return wire.ParseActor(text)
}

// opening is who opens for what, with the token in the place of nobody.
func (d Desk) opening(m *lethev1.Opening) (event.Opening, error) {
	o, err := wire.ParseOpening(m)
	if err == nil && !o.IsZero() && o.Actor.IsZero() {
		o.Actor, err = d.actor("")
	}
	return o, err
}

// person finds who is meant.
func (d Desk) person(ctx context.Context, m *lethev1.Person) (event.KRID, error) {
	switch byName := m.GetKind() != "" || m.GetRef() != ""; {
	case byName == (m.GetKrid() != ""):
		return event.KRID{}, event.Invalid("malformed_person", "find person: want either krid, or kind and ref")
	case byName:
		return d.Store.Privacy().Subject(ctx, m.GetKind(), m.GetRef())
	}
	return event.ParseKRID(m.GetKrid())
}

// parseID reads the id of an event; nothing is none.
func parseID(text string) (event.ID, error) {
	if text == "" {
		return event.ID{}, nil
	}
	return event.ParseID(text)
}

// stamp is a time in microseconds; 0 is unset.
func stamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(event.FromMicros(micros))
}

// date is a day as yyyymmdd in ISO 8601; 0 is nothing.
func date(day int64) string {
	if day == 0 {
		return ""
	}
	return time.Date(int(day/10000), time.Month(day/100%100), int(day%100), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}
