package torture_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// load is what goes on while a database is killed: callers append through two stores, each repeating a request as it is
// until it is answered, and watchers follow at both.
type load struct {
	address string
	crowds  []*crowd
	enough  chan struct{} // closed when callers shall come to an end
	callers sync.WaitGroup

	mu       sync.Mutex
	account  *account
	again    int // answers that left an outcome open, or said that the database is away
	oddities error
}

func startLoad(t *testing.T, address string, seed uint64) *load {
	l := &load{address: address, enough: make(chan struct{}), account: newAccount()}
	for n := range 2 {
		_, store := openAt(t, address, patience)
		l.crowds = append(l.crowds, watchAt(t.Context(), store, seed+uint64(n), n))
	}
	for n := range uint16(8) {
		store := l.crowds[n%2].store
		l.callers.Go(func() { l.call(t.Context(), store, n) })
	}
	return l
}

// openAt opens a store that waits so long for a database that is away, or does not answer.
func openAt(t *testing.T, address string, patience time.Duration) (*postgres.Store, *lethe.Store) {
	t.Helper()
	engine, err := postgres.Open(t.Context(), address,
		&postgres.Options{Flush: 64, Create: true, Patience: patience, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	store, err := lethe.Open(t.Context(), engine, kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	return engine, store
}

// call is one caller.
func (l *load) call(ctx context.Context, store *lethe.Store, n uint16) {
	for seq := uint32(1); ; seq++ {
		select {
		case <-l.enough:
			return
		default:
		}
		if !l.request(ctx, store, ticket{1, n, seq}) {
			return
		}
	}
}

func (l *load) request(ctx context.Context, store *lethe.Store, k ticket) bool {
	for {
		res, err := store.As(event.Actor{}).AppendAll(ctx, k.request())
		l.mu.Lock()
		switch {
		case err == nil:
			l.account.acked[k] = res.Events[0].Position
		case errors.Is(err, event.ErrUnknown), errors.Is(err, event.ErrUnavailable):
			l.again++
		default:
			l.oddities = errors.Join(l.oddities, err)
		}
		odd := l.oddities != nil
		l.mu.Unlock()
		if err == nil || odd {
			return !odd
		}
	}
}

// wait returns when so many more requests are acknowledged.
func (l *load) wait(t *testing.T, more int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	before := -1
	err := poll(ctx, func() (bool, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if before < 0 {
			before = len(l.account.acked)
		}
		return len(l.account.acked) >= before+more, l.oddities
	})
	if err != nil {
		t.Fatalf("while callers are at work: %v", err)
	}
}

// end lets everyone come to an end, and holds the log against what was acknowledged and what was seen. It returns what
// is to be said of it.
func (l *load) end(t *testing.T) string {
	t.Helper()
	close(l.enough)
	l.callers.Wait()
	err := l.oddities
	for _, c := range l.crowds {
		if err == nil {
			err = c.drain(t.Context(), c.store, 2*patience)
		}
	}
	for _, c := range l.crowds {
		err = errors.Join(err, c.stop(), c.store.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	engine, store := openAt(t, l.address, patience)
	events, err := l.account.examine(t.Context(), engine)
	for _, c := range l.crowds {
		err = errors.Join(err, c.check(events))
	}
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d appends acknowledged, %d answers that left it open: 0 lost, 0 doubled, "+
		"%d events seen once by 8", len(l.account.acked), l.again, len(events))
}

// TestDatabaseKilled kills the database under load, again and again. Everything goes on by itself.
func TestDatabaseKilled(t *testing.T) {
	t.Parallel()
	from := seed(t)
	random := chance(from, 0)
	server := pgtest.Start(t, nil)
	l := startLoad(t, server.Address("lethe"), from)
	kills := scale(t, "LETHE_DATABASE_KILLS", 5)
	for range kills {
		l.wait(t, 10+random.IntN(150))
		server.Kill(t)
		server.Restart(t)
	}
	l.wait(t, 100)
	t.Logf("%d kills: %s", kills, l.end(t))
}

// pairAddress is the address of whichever of two servers can be written to.
func pairAddress(t *testing.T, a, b *pgtest.Server) string {
	t.Helper()
	first, err := url.Parse(a.Address("lethe"))
	second, failure := url.Parse(b.Address("lethe"))
	if err = errors.Join(err, failure); err != nil {
		t.Fatal(err)
	}
	query := first.Query()
	query.Set("target_session_attrs", "read-write")
	first.Host, first.RawQuery = first.Host+","+second.Host, query.Encode()
	return first.String()
}

// TestFailover kills a primary under load and promotes its synchronous replica; the second time the replica was away
// for a while before, so that commits were waiting for it that it never got.
func TestFailover(t *testing.T) {
	t.Parallel()
	from := seed(t)
	for n := range scale(t, "LETHE_FAILOVERS", 2) {
		random := chance(from, n)
		primary := pgtest.Start(t, nil)
		replica := primary.Replica(t, true)
		l := startLoad(t, pairAddress(t, primary, replica), random.Uint64())
		l.wait(t, 50+random.IntN(200))
		if n%2 == 1 {
			replica.Kill(t)
			waitForSync(t, primary.Address("lethe"))
		}
		primary.Kill(t)
		if n%2 == 1 {
			replica.Restart(t)
		}
		replica.Promote(t)
		l.wait(t, 200)
		t.Logf("failover %d: %s", n, l.end(t))
	}
}

// waitForSync returns when a commit waits for a replica that is away.
func waitForSync(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Del("schema")
	u.RawQuery = query.Encode()
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	err = poll(t.Context(), func() (waits bool, err error) {
		err = conn.QueryRow(t.Context(),
			`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')`).Scan(&waits)
		return waits, err
	})
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestRepeatBeforeReplica: what the replica does not have is acknowledged by nobody, also not to a caller who asks
// another process, which finds it in the log of a primary that was killed and came back.
func TestRepeatBeforeReplica(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t, nil)
	replica := primary.Replica(t, true)
	address := primary.Address("lethe")
	_, first := openAt(t, address, time.Second)
	ask := func(store *lethe.Store, seq uint32) error {
		_, err := store.As(event.Actor{}).AppendAll(t.Context(), ticket{1, 0, seq}.request())
		return err
	}
	if err := ask(first, 1); err != nil {
		t.Fatal(err)
	}
	replica.Kill(t)
	if err := ask(first, 2); !errors.Is(err, event.ErrUnknown) {
		t.Fatalf("append without the replica: %v; want ErrUnknown", err)
	}
	primary.Kill(t)
	primary.Restart(t)
	_, second := openAt(t, address, time.Second)
	if err := ask(second, 2); err == nil {
		t.Error("another process acknowledged what the replica does not have")
	}
	replica.Restart(t)
	for _, store := range []*lethe.Store{second, first} {
		err := poll(t.Context(), func() (bool, error) {
			err := ask(store, 2)
			if errors.Is(err, event.ErrUnknown) || errors.Is(err, event.ErrUnavailable) {
				return false, nil
			}
			return err == nil, err
		})
		if err = errors.Join(err, store.Close()); err != nil {
			t.Errorf("with the replica: %v", err)
		}
	}
}
