package pgkeys_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/keystest"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

// hasty is a clock under which the index of uses is tended all the time.
type hasty struct{ event.SystemClock }

func (c hasty) After(d time.Duration) <-chan time.Time {
	if d == time.Second {
		d /= 100
	}
	return c.SystemClock.After(d)
}

// open opens a keystore that the test closes.
func open(t testing.TB, address string, o pgkeys.Options) *pgkeys.Keystore {
	t.Helper()
	o.Create = true
	k, err := pgkeys.Open(context.Background(), address, &o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ready opens a keystore that is closed when the test has ended.
func ready(t testing.TB, address string, o pgkeys.Options) *pgkeys.Keystore {
	t.Helper()
	k := open(t, address, o)
	t.Cleanup(func() { closeKeys(t, k) })
	return k
}

func closeKeys(t testing.TB, k *pgkeys.Keystore) {
	t.Helper()
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// tended is a keystore that is measured when nothing is left to do for its index.
type tended struct{ *pgkeys.Keystore }

func (k tended) KeySizes(ctx context.Context) ([]storage.Size, error) {
	if ctx.Err() == nil {
		_ = pgkeys.TendForTest(ctx, k.Keystore) // a closed keystore says so itself
	}
	return k.Keystore.KeySizes(ctx)
}

func engineAt(t testing.TB, address string, o pgkeys.Options) *keystest.Engine {
	t.Helper()
	e := &keystest.Engine{Keys: tended{open(t, address, o)}, Features: keystest.Features{Durable: true, Remains: true}}
	e.Reopen = func(t testing.TB) {
		if err := e.Keys.Close(); err != nil {
			t.Fatal(err)
		}
		e.Keys = tended{open(t, address, o)}
	}
	e.Dump = func(t testing.TB) [][]byte { return dump(t, address) }
	e.Bytes = func(t testing.TB) int64 { return total(t, address) }
	t.Cleanup(func() {
		if err := e.Keys.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	t.Run("index written at the default size", func(t *testing.T) {
		keystest.Run(t, func(t testing.TB) *keystest.Engine {
			e := engineAt(t, pgtest.Place(t), pgkeys.Options{})
			e.Uses = 60 // it is not written for that few
			return e
		})
	})
	for name, run := range map[string]func(*testing.T, keystest.Open){
		"UsesDurable": keystest.UsesDurable, "UsesFound": keystest.UsesFound, "UsesPruned": keystest.UsesPruned,
		"ScrubRemoves": keystest.ScrubRemoves, "SizesAddUp": keystest.SizesAddUp,
	} {
		t.Run("index written all the time/"+name, func(t *testing.T) {
			run(t, func(t testing.TB) *keystest.Engine {
				e := engineAt(t, pgtest.Place(t), pgkeys.Options{Flush: 200, Clock: hasty{}})
				e.Uses = 150
				return e
			})
		})
	}
}

// connect looks behind the scenes, into the schema of an address.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	text, schema, err := pgkeys.SplitForTest(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(context.Background(), "SET search_path = "+pgx.Identifier{schema}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// dump is every row of every table, as PostgreSQL writes it out, with bytes as they are.
func dump(t testing.TB, address string) (all [][]byte) {
	t.Helper()
	conn := connect(t, address)
	rows, err := conn.Query(context.Background(), `SELECT tablename::text FROM pg_tables
		WHERE schemaname = current_setting('search_path')`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range names {
		rows, err := conn.Query(context.Background(), "SELECT * FROM "+pgx.Identifier{table}.Sanitize())
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			for _, v := range rows.RawValues() {
				all = append(all, append([]byte(nil), v...))
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// total is what all tables take, with their indexes and what lies beside them.
func total(t testing.TB, address string) (bytes int64) {
	t.Helper()
	err := connect(t, address).QueryRow(context.Background(), `SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_setting('search_path') AND c.relkind IN ('r', 'S')`).Scan(&bytes)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
