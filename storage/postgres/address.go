package postgres

import (
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/event"
)

// address is a parsed address of a store.
type address struct {
	text   string // for libpq's rules: without what is ours
	schema string
	place  string // as a person would name it: without a password
}

// Place is an address without its password, as messages may show it.
func Place(text string) string {
	a, err := parse(text)
	if err != nil {
		return "postgres://…"
	}
	return a.place
}

func parse(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return address{}, event.Invalid("malformed_address", "read address: it is not postgres://user@host/database")
	}
	q := u.Query()
	a := address{schema: "lethe"}
	if q.Has("schema") {
		a.schema = q.Get("schema")
	}
	if !validSchema(a.schema) {
		return a, event.Invalid("malformed_address", "read address: want a schema of at most 63 lower-case letters, digits "+
			"and _, a letter first, that does not begin with pg_")
	}
	q.Del("schema")
	u.RawQuery = q.Encode()
	a.text = u.String()
	shown := url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path, RawQuery: url.Values{"schema": {a.schema}}.Encode()}
	if name := u.User.Username(); name != "" {
		shown.User = url.User(name)
	}
	a.place = shown.String()
	if _, err := pgx.ParseConfig(a.text); err != nil {
		return a, event.Invalid("malformed_address", "read address %s: the database library does not understand it", a.place).
			Hint("check host, port and parameters; they are libpq's")
	}
	return a, nil
}

func validSchema(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 63 && !strings.HasPrefix(s, "pg_")
}

// configure makes every connection see the store's tables, and no others of that name.
func (a address) configure(c *pgx.ConnConfig) {
	c.RuntimeParams["search_path"] = a.schema
	c.RuntimeParams["application_name"] = "lethe"
	c.RuntimeParams["timezone"] = "UTC"
	c.ConnectTimeout = min(max(c.ConnectTimeout, time.Second), 5*time.Second)
}

// readers bounds the connections of a process beside those of its writer and its listener.
const readers = 8

func (a address) pool() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(a.text)
	if err != nil {
		return nil, event.Invalid("malformed_address", "read address %s: the database library does not understand it", a.place)
	}
	a.configure(c.ConnConfig)
	if !strings.Contains(a.text, "pool_max_conns") {
		c.MaxConns = readers
	}
	return c, nil
}
