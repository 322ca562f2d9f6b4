package pgtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// table makes a schema with an empty table `kept` on the shared server.
func table(t testing.TB) string {
	t.Helper()
	address := pgtest.Place(t)
	conn := dial(t, address)
	_, err := conn.Exec(t.Context(), `DO $$ BEGIN EXECUTE 'CREATE SCHEMA ' || current_setting('search_path'); END $$`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept (n int PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	return address
}

// transact inserts n in a small transaction: a round trip with parameters, and a pipeline.
func transact(t testing.TB, address string, n int) error {
	conn, err := connect(t, address)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT * FROM kept WHERE n = $1", n); err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue("INSERT INTO kept VALUES ($1)", n)
		batch.Queue("SELECT count(*) FROM kept")
		return tx.SendBatch(t.Context(), batch).Close()
	})
	return errors.Join(err, conn.Close(t.Context()))
}

func TestPlace(t *testing.T) {
	var first, second string
	t.Run("used", func(t *testing.T) {
		first, second = table(t), table(t)
		for _, address := range []string{first, second} {
			if err := transact(t, address, 1); err != nil {
				t.Error(err)
			}
			expect(t, address, "SELECT count(*) FROM kept", "1")
		}
	})
	if first == second {
		t.Errorf("two places are the same: %s", first)
	}
	for _, address := range []string{first, second} {
		expect(t, address, "to_regnamespace(current_setting('search_path')) IS NULL", "true")
	}
}

// settled tells whether row n is there, once no transaction is under way that could still add it.
func settled(t testing.TB, address string, n int) bool {
	t.Helper()
	conn := dial(t, address)
	var there bool
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "LOCK TABLE kept"); err != nil {
			return err
		}
		return tx.QueryRow(t.Context(), "SELECT count(*) = 1 FROM kept WHERE n = $1", n).Scan(&there)
	})
	if err = errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatalf("look for row %d: %v", n, err)
	}
	return there
}

// TestCutAt cuts a transaction before and after each of its messages. There is one message that makes it hold, the
// commit; it is acknowledged some messages later.
func TestCutAt(t *testing.T) {
	target := table(t)
	proxy := pgtest.Proxy(t, target)
	if err := transact(t, proxy.Address(), 0); err != nil {
		t.Fatal(err)
	}
	all := proxy.Count()
	held, acknowledged := 0, 0
	for id := 2; id < 2*all+2; id++ {
		number, after := id/2, id%2 == 1
		proxy.CutAt(number, after)
		err := transact(t, proxy.Address(), id)
		want := number
		if !after {
			want--
		}
		if got := proxy.Count(); got != want {
			t.Errorf("cut at %d, after it: %v: %d messages passed", number, after, got)
		}
		switch there := settled(t, target, id); {
		case there:
			held++
		case err == nil:
			t.Errorf("cut at %d, after it: %v: what was acknowledged is lost", number, after)
		case held > 0:
			t.Errorf("cut at %d, after it: %v: nothing holds, and it did when cut earlier", number, after)
		}
		if err == nil {
			acknowledged++
		}
	}
	if acknowledged == 0 || held <= acknowledged || held >= 2*all {
		t.Errorf("of %d transactions %d hold and %d are acknowledged", 2*all, held, acknowledged)
	}
	if err := transact(t, proxy.Address(), 1); err != nil {
		t.Errorf("after all cuts: %v", err)
	}
}

func TestCutAll(t *testing.T) {
	proxy := pgtest.Proxy(t, pgtest.Place(t))
	idle, busy := dial(t, proxy.Address()), dial(t, proxy.Address())
	answer := make(chan error)
	before := proxy.Count()
	go func() {
		_, err := busy.Exec(t.Context(), "SELECT pg_sleep(3600)", pgx.QueryExecModeSimpleProtocol)
		answer <- err
	}()
	for proxy.Count() == before {
		time.Sleep(time.Millisecond)
	}
	proxy.CutAll()
	if err := <-answer; err == nil {
		t.Error("a query that takes an hour was answered")
	}
	if err := idle.Ping(t.Context()); err == nil {
		t.Error("a connection that was cut answers")
	}
	expect(t, proxy.Address(), "SELECT 1", "1")
}

func TestRefuse(t *testing.T) {
	proxy := pgtest.Proxy(t, pgtest.Place(t))
	old := dial(t, proxy.Address())
	proxy.Refuse(true)
	if _, err := connect(t, proxy.Address()); err == nil {
		t.Error("a new connection is let in")
	}
	if err := old.Ping(t.Context()); err != nil {
		t.Errorf("an old connection: %v", err)
	}
	proxy.Refuse(false)
	expect(t, proxy.Address(), "SELECT 1", "1")
}

// TestHang stops a transaction half-way: neither side learns that the other one is gone, and the server keeps its
// locks, until the silence ends.
func TestHang(t *testing.T) {
	target := table(t)
	proxy := pgtest.Proxy(t, target)
	conn := dial(t, proxy.Address())
	if _, err := conn.Exec(t.Context(), "BEGIN; INSERT INTO kept VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	proxy.Hang(true)
	passed := proxy.Count()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(short, "COMMIT"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit into silence: %v, want that the deadline ends it", err)
	}
	if _, err := pgx.Connect(short, proxy.Address()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connect into silence: %v, want that the deadline ends it", err)
	}
	if got := proxy.Count(); got != passed {
		t.Errorf("%d messages passed a silent line", got-passed)
	}
	locks := "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'kept'::regclass"
	expect(t, target, locks, "true")
	proxy.Hang(false)
	if settled(t, target, 1) {
		t.Error("a commit that was swallowed holds")
	}
	if err := transact(t, proxy.Address(), 1); err != nil {
		t.Errorf("after the silence: %v", err)
	}
}

func TestDelay(t *testing.T) {
	proxy := pgtest.Proxy(t, table(t))
	conn := dial(t, proxy.Address())
	const late = 40 * time.Millisecond
	proxy.Delay(late)
	batch := &pgx.Batch{}
	for n := range 50 {
		batch.Queue("INSERT INTO kept VALUES ($1)", n)
	}
	start := time.Now()
	if err := conn.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 2*late {
		t.Errorf("a round trip took %v, on a line that needs %v each way", took, late)
	}
}

// TestAnswer refuses a query in each of the ways in which pgx sends one, inside a transaction.
func TestAnswer(t *testing.T) {
	for name, mode := range map[string]pgx.QueryExecMode{
		"simple": pgx.QueryExecModeSimpleProtocol, "unnamed": pgx.QueryExecModeExec,
		"described": pgx.QueryExecModeDescribeExec, "prepared": pgx.QueryExecModeCacheStatement,
	} {
		t.Run(name, func(t *testing.T) {
			target := table(t)
			proxy := pgtest.Proxy(t, target)
			conn := dial(t, proxy.Address())
			insert := func(query execer, n int) error {
				_, err := query.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", mode, n)
				return err
			}
			if err := insert(conn, 1); err != nil {
				t.Fatal(err)
			}
			proxy.Answer("40001", "not now", func(query string) bool { return strings.HasPrefix(query, "INSERT") })
			err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), "SELECT 1"); err != nil {
					return err
				}
				refused := insert(tx, 2)
				_, err := tx.Exec(t.Context(), "SELECT 1")
				wantCode(t, err, "25P02", "current transaction is aborted, commands ignored until end of transaction block")
				return refused
			})
			wantCode(t, err, "40001", "not now")
			if err := insert(conn, 3); err != nil {
				t.Errorf("after the answer: %v", err)
			}
			expect(t, target, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM kept", "1 3")
		})
	}
}

// TestAnswerInPipeline refuses the second of three queries that are sent together.
func TestAnswerInPipeline(t *testing.T) {
	target := table(t)
	proxy := pgtest.Proxy(t, target)
	conn := dial(t, proxy.Address()+"&default_query_exec_mode=exec")
	proxy.Answer("23505", "there already", func(query string) bool { return strings.Contains(query, "$1 + 0") })
	batch := &pgx.Batch{}
	for _, query := range []string{"$1", "$1 + 0", "$1 + 1"} {
		batch.Queue("INSERT INTO kept VALUES ("+query+") RETURNING n", 1)
	}
	results := conn.SendBatch(t.Context(), batch)
	if _, err := results.Exec(); err != nil {
		t.Errorf("the first query: %v", err)
	}
	_, err := results.Exec()
	wantCode(t, err, "23505", "there already")
	wantCode(t, results.Close(), "23505", "there already")
	expect(t, target, "SELECT count(*) FROM kept", "0")
	if err := transact(t, proxy.Address(), 1); err != nil {
		t.Errorf("after the answer: %v", err)
	}
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func wantCode(t testing.TB, err error, code, message string) {
	t.Helper()
	var got *pgconn.PgError
	if !errors.As(err, &got) || got.Code != code || got.Message != message {
		t.Errorf("error is %v, want %s: %s", err, code, message)
	}
}
