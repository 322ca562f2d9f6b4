package lethe_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// tour is shown in README.md; TestReadmeShowsTour holds the two together.
func tour(ctx context.Context, dir string) error {
	engine, err := sqlite.Open(ctx, dir, nil) // a folder; it is made if it is not there
	if err != nil {
		return err
	}
	store, err := lethe.Open(ctx, engine, kms.None, nil) // kms.None: no personal data
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	defer store.Close()

	session := store.As(event.Actor{Kind: "employee", ID: "7"}) // who acts: becomes the issuer
	application := event.Stream("application", "1")
	_, err = session.Append(ctx, application, event.None, // expects that the stream has no events yet
		event.Draft{Type: "ApplicationRegistered", Data: []byte(`{"amount": 20000}`)},
		event.Draft{Type: "ApplicationSubmitted"})
	if err != nil {
		return err // errors.Is(err, event.ErrConflict): read it again and decide anew
	}

	for e, err := range session.Read(ctx, application, lethe.Range{}) {
		if err != nil {
			return err
		}
		fmt.Println(e.Stream, e.Version, e.Type)
	}

	issued := event.Match{Relations: []event.Relation{{Role: event.RoleIssuer, Kind: "employee", ID: "7"}}}
	for e, err := range session.Query(ctx, lethe.Query{Filter: event.Filter{issued}}) {
		if err != nil {
			return err
		}
		fmt.Println("position", e.Position, "by employee/7:", e.Type)
	}
	return nil
}

func Example() {
	dir, err := os.MkdirTemp("", "lethe-example-")
	if err == nil {
		err = tour(context.Background(), dir)
	}
	fmt.Println(errors.Join(err, os.RemoveAll(dir)))
	// Output:
	// application/1 1 ApplicationRegistered
	// application/1 2 ApplicationSubmitted
	// position 1 by employee/7: ApplicationRegistered
	// position 2 by employee/7: ApplicationSubmitted
	// <nil>
}

// openMemory is a store that lives as long as the example.
func openMemory(ctx context.Context) *lethe.Store {
	store, err := lethe.Open(ctx, memory.Open(memory.Options{}), kms.None, nil)
	if err != nil {
		panic("a store in memory always opens")
	}
	return store
}

// A condition makes an append fail when something that matters happened since: here, that somebody took the seat.
func ExampleSession_AppendAll() {
	ctx := context.Background()
	store := openMemory(ctx)
	defer store.Close()
	session := store.As(event.Actor{Kind: "program", ID: "booking"})
	taken := event.Filter{{
		Types:     []string{"SeatTaken"},
		Relations: []event.Relation{{Role: "on", Kind: "flight", ID: "LH1-12A"}},
	}}
	take := func(passenger string) error {
		_, err := session.AppendAll(ctx, log.Request{
			Writes: []log.Write{{
				Stream: event.Stream("booking", passenger), Expected: event.None,
				Events: []event.Draft{{Type: "SeatTaken", Relations: taken[0].Relations}},
			}},
			Condition: &event.Condition{Filter: taken},
		})
		return err
	}
	fmt.Println(take("4711"))
	fmt.Println(take("4712"))
	// Output:
	// <nil>
	// append: an event matching the condition exists after position 0 (at 1); read from there and decide anew
}

// What a program does because of an event inherits its correlation, and names it as the cause.
func ExampleSession_CausedBy() {
	ctx := context.Background()
	store := openMemory(ctx)
	defer store.Close()
	session := store.As(event.Actor{Kind: "program", ID: "scoring"})
	id := event.ID{15: 1}
	_, err := session.Append(ctx, event.Stream("application", "1"), event.Any,
		event.Draft{ID: id, Type: "ApplicationSubmitted", Correlation: "request-81"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for e, err := range session.Subscribe(ctx, event.Filter{{Types: []string{"ApplicationSubmitted"}}}, event.Cursor{}) {
		if err == nil {
			_, err = session.CausedBy(e).Append(ctx, e.Stream, event.At(e.Version), event.Draft{Type: "CreditScored"})
		}
		if err != nil {
			fmt.Println(err)
		}
		break // a real one goes on until its context ends
	}
	for e := range session.Query(ctx, lethe.Query{Filter: event.Filter{{Causation: id}}}) {
		fmt.Println(e.Type, "belongs to", e.Correlation, "and was caused by", e.Causation)
	}
	// Output:
	// CreditScored belongs to request-81 and was caused by 00000000-0000-0000-0000-000000000001
}

// A repeated append with the same ids is the same append: a retry after a lost answer adds nothing.
func ExampleSession_Append_retry() {
	ctx := context.Background()
	store := openMemory(ctx)
	defer store.Close()
	session := store.As(event.Actor{Kind: "employee", ID: "7"})
	draft := event.Draft{ID: event.ID{15: 1}, Type: "ApplicationRegistered"}
	for range 2 {
		res, err := session.Append(ctx, event.Stream("application", "1"), event.None, draft)
		fmt.Println(res.Last(), res.Repeated, err)
	}
	// Output:
	// 1 false <nil>
	// 1 true <nil>
}
