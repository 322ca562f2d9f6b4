package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// hasty is a clock under which segments are merged as soon as they can be.
type hasty struct{ event.SystemClock }

func (c hasty) After(d time.Duration) <-chan time.Time {
	if d == time.Second {
		d /= 100
	}
	return c.SystemClock.After(d)
}

// twins are two stores on one schema, as two processes have them.
func twins(t *testing.T, address string) [2]*postgres.Store {
	var both [2]*postgres.Store
	for i := range both {
		both[i] = open(t, address, postgres.Options{Flush: 7, Clock: hasty{}, Indexed: storagetest.Indexed()})
	}
	t.Cleanup(func() {
		if err := errors.Join(both[0].Close(), both[1].Close()); err != nil {
			t.Error(err)
		}
	})
	return both
}

// follow reads what matches until it has looked as far as the end, and gives the positions it saw.
func follow(ctx context.Context, s storage.Log, f event.Filter, end event.Position) (seen []event.Position, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for at := event.Position(0); at < end; {
		if err := s.Wait(ctx, at); err != nil {
			return seen, err
		}
		page, err := s.Page(ctx, storage.Query{Filter: f, From: uint64(at) + 1, To: uint64(end), Limit: 9})
		if err != nil {
			return seen, err
		}
		for i := range page.Records {
			seen = append(seen, page.Records[i].Position)
		}
		at = max(at, event.Position(page.Scanned))
	}
	return seen, nil
}

// said is event n of caller c: what it is about says where it must be found.
func said(c, n int) storagetest.Item {
	return storagetest.Item{Stream: event.Stream("caller", fmt.Sprint(c)), Draft: event.Draft{
		Type: fmt.Sprint("T", n%3), Data: []byte(`{}`),
		Relations: []event.Relation{{Role: "of", Kind: "caller", ID: fmt.Sprint(c)}},
	}}
}

// TestTwoStores lets callers append at both stores, which write and merge the index against each other, while
// followers of both read by it: everyone sees all that matches, once and in order.
func TestTwoStores(t *testing.T) {
	t.Parallel()
	const callers, each = 6, 120
	both := twins(t, pgtest.Place(t))
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range each {
				storagetest.Append(t, both[(c+n/20)%2], said(c, n))
			}
		})
	}
	filters := []event.Filter{
		nil, {{Types: []string{"T1"}}}, {{Relations: []event.Relation{{Kind: "caller", ID: "2"}}}},
		{{Kinds: []string{"caller"}, Types: []string{"T2"}}},
	}
	seen := make([][]event.Position, 2*len(filters))
	errs := make([]error, len(seen))
	for i := range seen {
		wg.Go(func() { seen[i], errs[i] = follow(t.Context(), both[i%2], filters[i/2], callers*each) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	records := all(t, both[0])
	if diff := cmp.Diff(records, all(t, both[1])); diff != "" {
		t.Errorf("the two stores hold different records: %s", diff)
	}
	for i, f := range filters {
		var want []event.Position
		for n := range records {
			e, err := records[n].Event()
			if err != nil {
				t.Fatal(err)
			}
			if f.Matches(&e) {
				want = append(want, e.Position)
			}
		}
		for side := range 2 {
			if diff := cmp.Diff(want, seen[2*i+side]); diff != "" || len(want) == 0 {
				t.Errorf("follower of filter %d at store %d: want and seen: %s", i, side, diff)
			}
		}
	}
}

// TestForeignTransactions: transactions of others that stay open, in another database of the server or in the same one,
// that write or only hold an old snapshot, delay nobody: all is seen while they are open.
func TestForeignTransactions(t *testing.T) {
	t.Parallel()
	both := twins(t, pgtest.Place(t))
	storagetest.Append(t, both[0], said(0, 0))
	address := pgtest.Place(t)
	elsewhere := at(address, hostOf(address), "postgres")
	var idle []*pgx.Conn
	for _, x := range []struct{ address, isolation string }{
		{elsewhere, "READ COMMITTED"}, {address, "READ COMMITTED"}, {address, "REPEATABLE READ"},
	} {
		conn, _ := connect(t, x.address)
		_, err := conn.Exec(t.Context(), "BEGIN ISOLATION LEVEL "+x.isolation+"; SELECT count(*) FROM pg_class")
		if err == nil && x.isolation == "READ COMMITTED" {
			_, err = conn.Exec(t.Context(), "SELECT pg_current_xact_id()")
		}
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	const events = 400
	var wg sync.WaitGroup
	var errs [2]error
	for i := range both {
		wg.Go(func() {
			seen, err := follow(t.Context(), both[i], event.Filter{{Kinds: []string{"caller"}}}, events)
			if err == nil && len(seen) != events {
				err = fmt.Errorf("it saw %d events of %d", len(seen), events)
			}
			errs[i] = err
		})
	}
	for n := 1; n < events; n++ {
		storagetest.Append(t, both[n%2], said(n%3, n))
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Errorf("followers beside open transactions: %v", err)
	}
	for i, conn := range idle {
		var still bool
		err := conn.QueryRow(t.Context(), "SELECT now() < statement_timestamp()").Scan(&still)
		if err != nil || !still || conn.PgConn().TxStatus() != 'T' {
			t.Errorf("transaction %d is not open any more: %v", i, err)
		}
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
	}
}

// TestIsolation: a server whose transactions see one snapshot from their first statement on, unless told otherwise, is
// told otherwise: who waited for another process sees what it committed.
func TestIsolation(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"serializable", "repeatable%20read"} {
		both := twins(t, pgtest.Place(t)+"&default_transaction_isolation="+level)
		var wg sync.WaitGroup
		for c := range 4 {
			wg.Go(func() {
				for n := range 30 {
					storagetest.Append(t, both[c%2], said(c, n))
				}
			})
		}
		wg.Wait()
		if n := len(all(t, both[0])); n != 120 {
			t.Errorf("%s: of 120 events there are %d", level, n)
		}
	}
}

// TestAddressParameter: what the address says beside the schema reaches the server as it is, spaces too.
func TestAddressParameter(t *testing.T) {
	t.Parallel()
	address := pgtest.Place(t) + "&options=-c%20geqo_effort%3D3%20-c%20geqo_threshold%3D9"
	s := open(t, address, postgres.Options{})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// errTaken is the answer of a decision that another process came before.
var errTaken = errors.New("it is taken")

// claim appends the one event that a round allows, if it is not there yet. No ids are asked for, as the log does not
// for ids it minted, so that a store may decide before it has locked the head.
func claim(ctx context.Context, s storage.Log, round, by int) error {
	d := event.Draft{ID: event.ID{0: 1, 1: byte(by + 1), 14: byte(round >> 8), 15: byte(round)}, Type: "Claimed",
		Data: []byte(`{}`), Relations: []event.Relation{{Role: "of", Kind: "round", ID: fmt.Sprint(round)}}}
	stream := event.Stream("claimant", fmt.Sprint(by))
	p := storage.Probe{Streams: []event.StreamID{stream}, Conditions: []event.Condition{
		{Filter: event.Filter{{Relations: []event.Relation{{Kind: "round", ID: fmt.Sprint(round)}}}}},
	}}
	_, err := s.Commit(ctx, p, func(h storage.Head, f storage.Found) (storage.Batch, error) {
		if f.Hits[0] != 0 {
			return storage.Batch{}, errTaken
		}
		return storage.Batch{Frontier: []byte("frontier"), Records: []storage.Record{{
			Position: h.Position + 1, ID: d.ID, Stream: stream, Version: f.Streams[0].Version + 1, Type: d.Type,
			Recorded: 1, Commitments: []byte("seed"), Body: event.AppendBody(nil, &d),
			Terms: storage.NewTerms(h.Identity).Append(nil, stream, &d),
		}}}, nil
	})
	return err
}

// TestClaims: of two processes that each believe to be alone, and claim the same at once, one gets it.
func TestClaims(t *testing.T) {
	t.Parallel()
	const rounds = 150
	both := twins(t, pgtest.Place(t))
	for round := range rounds {
		for n := range 6 { // after some commits of its own a store takes itself for the only one
			if err := claim(t.Context(), both[round%2], 1000+6*round+n, round%2); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		var errs [2]error
		for i := range both {
			wg.Go(func() { errs[i] = claim(t.Context(), both[i], round, i) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, errTaken) {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d was won %d times", round, won)
		}
	}
	if n := len(all(t, both[0])); n != 7*rounds {
		t.Errorf("want %d events, there are %d", 7*rounds, n)
	}
}
