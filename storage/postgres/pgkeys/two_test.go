package pgkeys_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

func person() (k event.KRID) {
	rand.Read(k[:]) // never fails
	return k
}

// minting is the change by which a person comes to be, who is found by a token.
func minting(k event.KRID, token storage.LookupToken) storage.KeyChange {
	return storage.KeyChange{
		Keyring: &storage.Keyring{
			KRID: k, Version: 1, Epoch: 1, State: storage.KeyLive, Record: append([]byte("keys of "), k[:]...),
		},
		Add: []storage.Lookup{{Token: token, State: storage.KeyLive, KRID: k}},
	}
}

func use(n int, krids ...event.KRID) storage.Use {
	u := storage.Use{
		At: int64(n), Actor: event.Actor{Kind: "clerk", ID: "7"}, Purpose: "advice", Reason: fmt.Sprint("case ", n),
	}
	for _, k := range krids {
		u.Entries = append(u.Entries, storage.UseEntry{KRID: k, Group: "contact", Count: 1, First: 1, Last: 2})
	}
	return u
}

// uses are all that match, newest first.
func uses(t testing.TB, k *pgkeys.Keystore, q storage.UseQuery) (all []storage.Use) {
	t.Helper()
	for q.Limit = 100; ; {
		page, err := k.PageUses(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page.Uses...); page.Done {
			return all
		}
		q.Before = page.Scanned
	}
}

// twins are two keystores at one address, as two processes have them.
func twins(t *testing.T) (address string, both [2]*pgkeys.Keystore) {
	address = pgtest.Place(t)
	for i := range both {
		both[i] = ready(t, address, pgkeys.Options{Flush: 500, Clock: hasty{}})
	}
	return address, both
}

// TestFirstUse lets a thousand callers of two processes make a keyring for the same person, whom nobody knows yet, at
// once: one of them does, and all others are told which.
func TestFirstUse(t *testing.T) {
	t.Parallel()
	_, both := twins(t)
	token := storage.LookupToken{7}
	const callers = 1000
	mine := make([]event.KRID, callers)
	outcomes := make([]storage.KeyOutcome, callers)
	errs := make([]error, callers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range callers {
		mine[i] = person()
		wg.Go(func() {
			<-start
			list, err := both[i%2].ChangeKeys(t.Context(), []storage.KeyChange{minting(mine[i], token)})
			if errs[i] = err; err == nil {
				outcomes[i] = list[0]
			}
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var winner event.KRID
	for i, o := range outcomes {
		if o.Stored && !winner.IsZero() {
			t.Error("two keyrings were made for one person")
		}
		if o.Stored {
			winner = mine[i]
		}
	}
	for i, o := range outcomes {
		if !o.Stored && (o.Lookup == nil || o.Lookup.KRID != winner) {
			t.Errorf("caller %d is told %+v, want person %s", i, o, winner)
		}
	}
	for _, k := range both {
		rings, err := k.ScanKeyrings(t.Context(), storage.KeyringQuery{Limit: 10})
		if err != nil || len(rings) != 1 || rings[0].KRID != winner {
			t.Errorf("there are keyrings %v, want one, of %s: %v", rings, winner, err)
		}
	}
}

// TestNoLostUpdate lets callers of two processes count in one keyring: none overwrites what another one counted.
func TestNoLostUpdate(t *testing.T) {
	t.Parallel()
	_, both := twins(t)
	const callers, each = 8, 25
	krid := person()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := 0; n < each; {
				rings, err := both[c%2].Keyrings(t.Context(), []event.KRID{krid})
				if err != nil {
					t.Error(err)
					return
				}
				var count uint64
				if old := rings[0].Record; old != nil {
					count = binary.BigEndian.Uint64(old)
				}
				list, err := both[c%2].ChangeKeys(t.Context(), []storage.KeyChange{{Keyring: &storage.Keyring{
					KRID: krid, Version: rings[0].Version + 1, State: storage.KeyLive,
					Record: binary.BigEndian.AppendUint64(nil, count+1),
				}}})
				if err != nil {
					t.Error(err)
					return
				}
				if list[0].Stored {
					n++
				}
			}
		})
	}
	wg.Wait()
	rings, err := both[0].Keyrings(t.Context(), []event.KRID{krid})
	if err != nil {
		t.Fatal(err)
	}
	if count := binary.BigEndian.Uint64(rings[0].Record); count != callers*each || rings[0].Version != callers*each {
		t.Errorf("%d were counted in %d versions, want %d", count, rings[0].Version, callers*each)
	}
}

// TestUsesOfTwo records uses at two processes, which write and merge their index against each other and remove old
// ones meanwhile: numbers have no gap, and each person's uses are found at both.
func TestUsesOfTwo(t *testing.T) {
	t.Parallel()
	address, both := twins(t)
	const callers, each = 6, 200
	krids := make([]event.KRID, callers)
	for i := range krids {
		krids[i] = person()
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := range each {
				k := both[(c+n/20)%2]
				err := k.RecordUses(t.Context(), []storage.Use{use(n+1, krids[c], krids[n%callers])})
				if err == nil && n%50 == 49 {
					_, err = k.PruneUses(t.Context(), int64(n-60))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := both[0].PruneUses(t.Context(), 150); err != nil {
		t.Fatal(err)
	}
	everything := uses(t, both[0], storage.UseQuery{})
	if len(everything) != callers*(each-149) {
		t.Errorf("%d uses are left, want %d", len(everything), callers*(each-149))
	}
	if everything[0].Number != callers*each {
		t.Errorf("the last of %d uses has number %d", callers*each, everything[0].Number)
	}
	for c, krid := range krids {
		var want []uint64
		for _, u := range everything {
			if slices.ContainsFunc(u.Entries, func(e storage.UseEntry) bool { return e.KRID == krid }) {
				want = append(want, u.Number)
			}
		}
		for i, k := range both {
			var got []uint64
			for _, u := range uses(t, k, storage.UseQuery{KRID: krid}) {
				got = append(got, u.Number)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("uses of person %d at keystore %d (-want +got):\n%s", c, i, diff)
			}
		}
	}
	conn := connect(t, address)
	var segments int
	err := conn.QueryRow(t.Context(), `SELECT count(*) FROM key_segment WHERE level > 0`).Scan(&segments)
	if err != nil || segments == 0 {
		t.Errorf("%d segments of the index were merged, %v", segments, err)
	}
}

// held locks what all changes of keys wait for, until release is called.
func held(t *testing.T, address string) (release func()) {
	t.Helper()
	conn := connect(t, address)
	_, err := conn.Exec(t.Context(), "BEGIN; SELECT FROM keystore FOR UPDATE", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(context.Background(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
	}
}

// awaitLock returns when somebody waits for a lock of the schema's keystore.
func awaitLock(t *testing.T, address string) {
	t.Helper()
	conn := connect(t, address)
	for range 2000 {
		var waits bool
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
			AND query LIKE '%FROM keystore FOR NO KEY%')`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
		<-event.SystemClock{}.After(5 * time.Millisecond)
	}
	t.Fatal("nobody waits for the keystore")
}

// TestContextEndsInLine: a change that is being made is made, whatever becomes of its caller's context; one that waits
// behind it is taken back.
func TestContextEndsInLine(t *testing.T) {
	server := pgtest.Start(t, nil)
	address := server.Address("keys")
	k := ready(t, address, pgkeys.Options{})
	release := held(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	first, second := person(), person()
	var firstErr, secondErr error
	var outcomes []storage.KeyOutcome
	wg.Go(func() {
		outcomes, firstErr = k.ChangeKeys(ctx, []storage.KeyChange{minting(first, storage.LookupToken{1})})
	})
	awaitLock(t, address)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, secondErr = k.ChangeKeys(ctx, []storage.KeyChange{minting(second, storage.LookupToken{2})})
	}()
	cancel()
	<-gone
	release()
	wg.Wait()
	if firstErr != nil || !outcomes[0].Stored {
		t.Errorf("the change that was under way: %+v, %v", outcomes, firstErr)
	}
	if !errors.Is(secondErr, context.Canceled) {
		t.Errorf("the change that waited: %v", secondErr)
	}
	rings, err := k.Keyrings(t.Context(), []event.KRID{first, second})
	if err != nil || rings[0].Version != 1 || rings[1].Version != 0 {
		t.Errorf("keyrings are %+v, want the first only: %v", rings, err)
	}
}

// TestCloseInLine: Close waits for what is being made, and refuses what waits behind it.
func TestCloseInLine(t *testing.T) {
	server := pgtest.Start(t, nil)
	address := server.Address("keys")
	k := open(t, address, pgkeys.Options{})
	release := held(t, address)
	errs := make(chan error, 3)
	for i := range cap(errs) {
		if i == 1 {
			awaitLock(t, address)
		}
		go func() {
			_, err := k.ChangeKeys(context.Background(), []storage.KeyChange{minting(person(), storage.LookupToken{byte(i)})})
			errs <- err
		}()
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeKeys(t, k)
	}()
	release()
	<-closed
	for range cap(errs) {
		if err := <-errs; err != nil && !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("a change while the keystore closes: %v", err)
		}
	}
}
