package pglink

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/event"
)

// Address is a parsed address of a store.
type Address struct {
	Text   string // for libpq's rules: without what is ours
	Schema string
	place  string // as a person would name it: without a password
	// limited: the address says how many connections the pool has
	limited bool
}

// Place is an address as a person would name it, and as messages may show it: with what tells stores apart, and without
// passwords and other parameters. Of an address that cannot be read it says nothing.
func Place(text string) string {
	a, err := Parse(text)
	if err != nil {
		return "postgres://…"
	}
	return a.place
}

// Same tells whether two addresses name one store: one schema of one database of one server, as whatever user. Of two
// names of one server it knows only that they differ.
func Same(a, b string) bool {
	x, err := Parse(a)
	if err != nil {
		return false
	}
	y, err := Parse(b)
	if err != nil || x.Schema != y.Schema {
		return false
	}
	p, err := x.pool()
	if err != nil {
		return false
	}
	q, err := y.pool()
	if err != nil || p.ConnConfig.Database != q.ConnConfig.Database {
		return false
	}
	others := servers(&q.ConnConfig.Config)
	return slices.ContainsFunc(servers(&p.ConnConfig.Config),
		func(server string) bool { return slices.Contains(others, server) })
}

// Parse reads an address; what it does not understand is event.ErrInvalid.
func Parse(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || !plain(u) {
		return Address{}, event.Invalid("malformed_address", "read address: it is not postgres://user@host/database").
			Hint("write : / ? # @ and %% in a password as %%3A %%2F %%3F %%23 %%40 and %%25")
	}
	q := u.Query()
	a := Address{Schema: "lethe", limited: q.Has("pool_max_conns")}
	if q.Has("schema") {
		a.Schema = q.Get("schema")
	}
	if !validSchema(a.Schema) {
		return a, event.Invalid("malformed_address", "read address: want a schema of at most 57 lower-case letters, digits "+
			"and _, a letter first, that does not begin with pg_").Hint("name one, such as ?schema=lethe")
	}
	q.Del("schema")
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // the library takes a + for a +
	a.Text, a.place = u.String(), shown(u, a.Schema)
	if _, err := a.pool(); err != nil {
		return a, err
	}
	return a, nil
}

// plain tells whether the parts of an address are what their author took them for: a character of a password that is
// not escaped begins another part, which is shown where a password is not.
func plain(u *url.URL) bool {
	for key := range u.Query() {
		for _, c := range []byte(key) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '.' {
				return false
			}
		}
	}
	return u.Opaque == "" && u.Fragment == "" && !strings.ContainsAny(u.EscapedPath(), "@:")
}

// shown is an address as a person would name it: what tells stores apart, and no password.
func shown(u *url.URL, schema string) string {
	named := url.Values{"schema": {schema}}
	for _, key := range []string{"host", "port", "user", "dbname", "service", "servicefile"} {
		if u.Query().Has(key) {
			named.Set(key, u.Query().Get(key))
		}
	}
	s := url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path, RawQuery: named.Encode()}
	if name := u.User.Username(); name != "" {
		s.User = url.User(name)
	}
	return s.String()
}

// mostSchema leaves room for the name of the channel, lethe_ and the schema, of which PostgreSQL takes 63 bytes.
const mostSchema = 63 - len("lethe_")

func validSchema(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= mostSchema && !strings.HasPrefix(s, "pg_")
}

// configure makes every connection see the store's tables, and no others of that name.
func (a Address) configure(c *pgx.ConnConfig) {
	for name := range c.RuntimeParams {
		if strings.HasPrefix(name, "pool_") {
			delete(c.RuntimeParams, name) // the pool's, which the server does not know
		}
	}
	c.RuntimeParams["search_path"] = a.Schema
	c.RuntimeParams["application_name"] = "lethe"
	c.RuntimeParams["timezone"] = "UTC"
	c.RuntimeParams["default_transaction_isolation"] = "read committed" // each statement sees what the lock let through
	// Every statement is written for an index. The planner, which goes by statistics of a while ago, would rather read
	// all of a table that was small then, translate a statement that it takes for long, or plan each time anew, which
	// takes longer than what is planned.
	c.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	c.RuntimeParams["enable_seqscan"] = "off"
	c.RuntimeParams["jit"] = "off"
	c.ConnectTimeout = min(max(c.ConnectTimeout, time.Second), 5*time.Second)
}

// readers bounds the connections of a process beside those of its writer and its listener.
const readers = 8

func (a Address) pool() (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(a.Text)
	if err != nil {
		return nil, event.Invalid("malformed_address", "read address %s: the database library does not understand it%s",
			a.place, reason(err)).Hint("check host, port and parameters; they are libpq's")
	}
	a.configure(c.ConnConfig)
	if !a.limited {
		c.MaxConns = readers
	}
	return c, nil
}

// reason is what the database library has to say of an address, where that names a parameter or a file and not the
// address as a whole.
func reason(err error) string {
	var parsing *pgconn.ParseConfigError
	var quoting *url.Error
	if !errors.As(err, &parsing) || errors.As(err, &quoting) || errors.Unwrap(parsing) == nil {
		return ""
	}
	return ": " + errors.Unwrap(parsing).Error()
}
