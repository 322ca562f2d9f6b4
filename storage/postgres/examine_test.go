package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/storagetest"
)

// found is a check by its name.
func found(t *testing.T, s *postgres.Store, name string, old time.Duration) storage.Check {
	t.Helper()
	checks, err := s.ExamineForTest(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %s in %v", name, checks)
	return storage.Check{}
}

func expect(t *testing.T, c storage.Check, ok bool, says string) {
	t.Helper()
	if c.OK != ok || !strings.Contains(c.Detail, says) {
		t.Errorf("it says %+v, want %v and %q", c, ok, says)
	}
}

// TestExamineServer holds what is said of replicas, of what holds vacuum back, and to whom.
func TestExamineServer(t *testing.T) {
	server := pgtest.Start(t, nil)
	address := server.Address("loans")
	s := open(t, address, postgres.Options{})
	defer s.Close()
	expect(t, found(t, s, "database", time.Hour), true, "PostgreSQL ")
	expect(t, found(t, s, "format", time.Hour), true, "tables of schema loans in format 2")
	expect(t, found(t, s, "durability", time.Hour), true,
		"synchronous_commit=on: commits wait for this server's disk; it has no")
	expect(t, found(t, s, "vacuum", time.Hour), true, "no transaction holds it back")

	other, _ := connect(t, address)
	_, err := other.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	storagetest.Append(t, s, noted(), noted())
	expect(t, found(t, s, "vacuum", time.Hour), true, "no transaction holds it back")
	expect(t, found(t, s, "vacuum", 0), true, " has held it back for ")

	server.Replica(t, true)
	expect(t, found(t, s, "durability", time.Hour), true, "and for synchronous replicas, of which 1 are connected")
	server.Exec(t, "CREATE USER reader PASSWORD 'secret'", "GRANT USAGE ON SCHEMA loans TO reader",
		"GRANT SELECT ON ALL TABLES IN SCHEMA loans TO reader")
	reader, err := postgres.Open(t.Context(), server.AddressOf("reader", "secret", "loans"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	expect(t, found(t, reader, "durability", time.Hour), true, "which this user may not see")
	expect(t, found(t, reader, "vacuum", 0), true, " holds it back by ")
}

func noted() storagetest.Item {
	return storagetest.Item{Stream: event.Stream("application", "1"), Draft: event.Draft{Type: "Noted"}}
}

// TestExamineFindsGap holds that an index whose segments do not follow each other is found.
func TestExamineFindsGap(t *testing.T) {
	address := pgtest.Place(t)
	s := open(t, address, postgres.Options{Flush: 2})
	defer s.Close()
	for range 8 {
		storagetest.Append(t, s, noted())
	}
	expect(t, found(t, s, "segments", 0), true, "4 of the index, up to position 8; 0 commits beyond")
	conn, schema := connect(t, address)
	table := pgx.Identifier{schema, "segment"}.Sanitize()
	if _, err := conn.Exec(t.Context(), "DELETE FROM "+table+" WHERE first = 3"); err != nil {
		t.Fatal(err)
	}
	expect(t, found(t, s, "segments", 0), false, "3 of the index end at position 8 and cover 6, want 8")
}

// TestSame holds that stores are told apart by server, database and schema, and by nothing else.
func TestSame(t *testing.T) {
	const bank = "postgres://lethe@db/bank"
	for _, other := range []string{
		"postgres://lethe:secret@db/bank", "postgresql://db:5432/bank?schema=lethe", "postgres://clerk@db/bank?sslmode=disable",
		"postgres:///bank?host=db", "postgres:///?host=db&port=5432&dbname=bank", "postgres://other,db:5432/bank",
	} {
		if !postgres.Same(bank, other) || !postgres.Same(other, bank) {
			t.Errorf("%s and %s are one store", bank, other)
		}
	}
	for _, other := range []string{
		"postgres://lethe@db/bank?schema=trial", "postgres://lethe@db/loans", "postgres://lethe@db2/bank",
		"postgres://lethe@db:5433/bank", "postgres:///bank?host=db2", "postgres://lethe@db/", "postgres://[", "data",
	} {
		if postgres.Same(bank, other) || postgres.Same(other, bank) {
			t.Errorf("%s and %s are two stores", bank, other)
		}
	}
	if postgres.Same("postgres://[", "postgres://[") {
		t.Error("an address that cannot be read names a store")
	}
}

// TestPlace holds that a place keeps what a store is found by, and nothing secret.
func TestPlace(t *testing.T) {
	for text, want := range map[string]string{
		"postgresql://lethe:s3cret@db:5432/bank?schema=x&sslmode=require": "postgres://lethe@db:5432/bank?schema=x",
		"postgres://db/bank?user=a&password=s3cret&sslpassword=s3cret":    "postgres://db/bank?schema=lethe&user=a",
		"postgres:///bank?host=/run/pg":                                   "postgres:///bank?host=%2Frun%2Fpg&schema=lethe",
		"postgres:///?host=db&port=5433&dbname=bank&passfile=/etc/s3cret": "postgres:///?dbname=bank&host=db&port=5433&schema=lethe",
		"postgres://lethe:s3cret@db/x?schema=Bad":                         "postgres://…",
		"postgres://lethe:s3cret%@db/bank":                                "postgres://…",
	} {
		if got := postgres.Place(text); got != want {
			t.Errorf("the place of %s is %s, want %s", text, got, want)
		}
	}
}
