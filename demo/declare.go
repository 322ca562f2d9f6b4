package demo

import (
	"context"
	_ "embed" // the policy
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/schema"
)

// Clerk is the role of who may open what a loan needs.
const Clerk = "clerk"

// Clerks are the employees who look after applications.
func Clerks() []event.ActorID {
	var all []event.ActorID
	for n := range clerks {
		all = append(all, event.ActorID(strconv.Itoa(firstClerk+n)))
	}
	return all
}

//go:embed policy.json
var policyText []byte

// Policy is the bank's policy, in JSON: what it holds of people, for which purposes, and who may open it. Employees
// whose aliases are given have the role Clerk.
func Policy(staff ...event.KRID) []byte {
	document := make(map[string]any)
	if err := json.Unmarshal(policyText, &document); err != nil {
		panic("the embedded policy is no JSON")
	}
	entities := make([]any, len(staff))
	for i, krid := range staff {
		entities[i] = map[string]any{
			"uid":     map[string]string{"type": Employee, "id": krid.String()},
			"parents": []any{map[string]string{"type": "Role", "id": Clerk}},
			"attrs":   struct{}{},
		}
	}
	if len(entities) > 0 {
		document["entities"] = entities
	}
	text, err := json.Marshal(document)
	if err != nil {
		panic("what was JSON is none any more")
	}
	return text
}

// Declare makes a store the bank's: it sets Policy, with Clerks as they are known there, and pushes Schemas. What is
// there already stays as it is, whoever declared it, so calling it again changes nothing. The store must be open in
// this process, with a key service and the notation of JSON Schema; one that holds applications without people is
// refused.
func Declare(ctx context.Context, store *lethe.Store) error {
	room, keeper := store.Privacy(), store.Keeper()
	if room == nil || keeper == nil {
		return event.Errorf(event.ErrUnsupported, "declare the bank: the store is a server's, or has no key service").
			Hint("open it in this process, with a key service")
	}
	there, err := room.Policy(ctx)
	if err != nil {
		return fmt.Errorf("declare the bank: %w", err)
	}
	if there.Position == 0 {
		var refs []keyring.Reference
		for _, number := range Clerks() {
			refs = append(refs, keyring.Reference{Kind: Employee, Ref: string(number)})
		}
		krids, err := keeper.Resolve(ctx, refs, true)
		if err == nil {
			_, err = room.SetPolicy(ctx, event.Actor{}, Policy(krids...), false)
		}
		if err != nil {
			return fmt.Errorf("declare the bank: %w", err)
		}
	}
	registry, err := room.Schemas(ctx)
	if err != nil {
		return fmt.Errorf("declare the bank: %w", err)
	}
	for _, s := range Schemas() {
		if registry.Current(s.Type) != nil {
			continue
		}
		if _, err := room.PushSchema(ctx, event.Actor{}, s, false); err != nil {
			return fmt.Errorf("declare the bank: %w", err)
		}
	}
	return nil
}

// declared refuses a store that does not know the schemas of all Types: it would keep people in clear.
func declared(ctx context.Context, session *lethe.Session) error {
	pushed := event.Filter{{Stream: event.Stream(event.SystemKind, schema.StreamName), Types: []string{schema.TypePushed}}}
	known := 0
	for _, err := range session.Query(ctx, lethe.Query{Filter: pushed, Limit: len(Types())}) {
		if err != nil {
			return fmt.Errorf("play people: %w", err)
		}
		known++
	}
	if known < len(Types()) {
		return event.Invalid("no_schema", "play people: the store does not know the schemas of all their events").
			Hint("call demo.Declare first")
	}
	return nil
}
