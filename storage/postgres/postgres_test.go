package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/storagetest"
)

func TestMain(m *testing.M) { pgtest.Run(m) }

func open(t testing.TB, address string, o postgres.Options) *postgres.Store {
	t.Helper()
	o.Create = true
	s, err := postgres.Open(context.Background(), address, &o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// engine has an index that is written out every flush events.
func engine(flush int) storagetest.Open {
	return func(t testing.TB) *storagetest.Engine {
		return engineAt(t, pgtest.Place(t), postgres.Options{Indexed: storagetest.Indexed(), Flush: flush})
	}
}

func engineAt(t testing.TB, address string, options postgres.Options) *storagetest.Engine {
	t.Helper()
	e := &storagetest.Engine{
		Store:    open(t, address, options),
		Features: storagetest.Features{Durable: true, Remains: true, Examines: true},
		Events:   600,
	}
	e.Reopen = func(t testing.TB) {
		if err := e.Store.Close(); err != nil {
			t.Fatal(err)
		}
		e.Store = open(t, address, options)
	}
	e.Dump = func(t testing.TB) [][]byte { return dump(t, address) }
	e.Bytes = func(t testing.TB) int64 { return total(t, address) }
	t.Cleanup(func() {
		if err := e.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	t.Run("index written at the default size", func(t *testing.T) { storagetest.Run(t, engine(0)) })
	t.Run("index written every 7 events", func(t *testing.T) { storagetest.Run(t, engine(7)) })
}

func BenchmarkStore(b *testing.B) { storagetest.Bench(b, engine(0)) }

func connect(t testing.TB, address string) (*pgx.Conn, string) {
	t.Helper()
	text, schema, err := postgres.SplitForTest(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, schema
}

// dump is every row of every table, as PostgreSQL writes it out, with bytes as they are.
func dump(t testing.TB, address string) (all [][]byte) {
	conn, schema := connect(t, address)
	for _, table := range tables(t, conn, schema) {
		rows, err := conn.Query(context.Background(), "SELECT * FROM "+pgx.Identifier{schema, table}.Sanitize())
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

func tables(t testing.TB, conn *pgx.Conn, schema string) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), `SELECT tablename::text FROM pg_tables WHERE schemaname = $1`, schema)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// total is what all tables take, with their indexes and what lies beside them.
func total(t testing.TB, address string) (bytes int64) {
	conn, schema := connect(t, address)
	err := conn.QueryRow(context.Background(), `SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'S')`, schema).Scan(&bytes)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}
