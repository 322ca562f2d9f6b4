package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
	"github.com/lethe-es/lethe/storage/storagetest"
)

func TestExplore(t *testing.T) {
	server := pgtest.Start(t, map[string]string{"max_connections": "12"})
	show := func(name, address string) *postgres.Store {
		s, err := postgres.Open(context.Background(), address, &postgres.Options{Create: true, Patience: 200 * time.Millisecond})
		fmt.Printf("== %s\n   %v\n   code %s\n", name, err, event.Code(err))
		return s
	}
	with := func(a, k, v string) string {
		u, _ := url.Parse(a)
		q := u.Query()
		q.Set(k, v)
		u.RawQuery = q.Encode()
		return u.String()
	}
	base := server.Address("loans")
	show("wrong password", server.AddressOf("postgres", "hunter2", "loans"))
	show("no user", server.AddressOf("nobody", "hunter2", "loans"))
	u, _ := url.Parse(base)
	u.Path = "/missing"
	show("no database", u.String())
	show("require tls", with(base, "sslmode", "require"))
	show("bad param", with(base, "sslmode", "maybe"))
	show("bad runtime param", with(base, "foo", "maybe"))
	u, _ = url.Parse(base)
	u.Host = "127.0.0.1:1"
	show("no server", u.String())
	u.Host = "db.invalid:5432"
	show("no host", u.String())
	show("bad url", "postgres://lethe:hunter2@[::1/x")
	show("bad url2", "postgres://lethe:hun ter2@host:port/x")
	server.Exec(t, "CREATE SCHEMA foreigners", "CREATE TABLE foreigners.x()", "CREATE USER app PASSWORD 'hunter2'", "CREATE USER ro PASSWORD 'hunter2'",
		"CREATE SCHEMA hidden", "CREATE TABLE hidden.x()", "CREATE SCHEMA usable", "GRANT USAGE ON SCHEMA usable TO app")
	show("foreign", server.Address("foreigners"))
	show("no create", server.AddressOf("app", "hunter2", "loans"))
	show("no usage", server.AddressOf("app", "hunter2", "hidden"))
	show("usage no create", server.AddressOf("app", "hunter2", "usable"))
	s := show("ok", base)
	storagetest.Append(t, s, storagetest.Item{Stream: event.Stream("application", "1"), Draft: event.Draft{Type: "Noted", Data: []byte(`{"n":1}`)}})
	s.Close()
	show("nothing granted", server.AddressOf("app", "hunter2", "loans"))
	server.Exec(t, "GRANT USAGE ON SCHEMA loans TO ro", "GRANT SELECT ON ALL TABLES IN SCHEMA loans TO ro")
	s = show("ro", server.AddressOf("ro", "hunter2", "loans"))
	if s != nil {
		_, err := s.AddToken, error(nil)
		_ = err
		fmt.Println(s.AddToken(context.Background(), storage.Token{ID: "x"}))
		r, err2 := s.Scrub(context.Background())
		fmt.Println(r, err2)
		s.Close()
	}
	server.Exec(t, "UPDATE loans.lethe_format SET format = 99")
	show("newer", base)
	server.Exec(t, "ALTER USER ro SET default_transaction_read_only = on")
	show("readonly", server.AddressOf("ro", "hunter2", "loans"))
}
