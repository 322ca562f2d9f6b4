package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// variable names the shared server: the URL of a user who may create schemas, with or without a parameter schema.
const variable = "LETHE_TEST_POSTGRES"

// one is the server that the tests of this process share. It is state of the process by its nature: tests that know
// nothing of each other find it, and none of them is the last.
var one struct {
	sync.Mutex
	server  *Server
	address *url.URL // once known
	err     error    // of the first try; there is no second one
}

// Run runs a package's tests and removes the server that Place started for them, if it did:
//
//	func TestMain(m *testing.M) { pgtest.Run(m) }
//
// The exit code is the one of m, which package testing takes from there.
func Run(m *testing.M) {
	m.Run()
	one.Lock()
	defer one.Unlock()
	if one.server == nil {
		return
	}
	if err := one.server.close(); err != nil {
		panic(err)
	}
	one.server = nil
}

// Place is the address of a schema on the shared server that is not there yet, and is dropped with everything in it
// when the test has ended.
func Place(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := shared(ctx)
	if err != nil {
		t.Fatalf("find the shared server: %v", err)
	}
	schema := "test_" + strings.ToLower(rand.Text())
	plain := server.String()
	t.Cleanup(func() { drop(t, plain, schema) })
	query := server.Query()
	query.Set("schema", schema)
	server.RawQuery = query.Encode()
	return server.String()
}

// shared gives a copy of the address, without a schema.
func shared(ctx context.Context) (*url.URL, error) {
	one.Lock()
	defer one.Unlock()
	if one.address == nil && one.err == nil {
		one.address, one.err = find(ctx)
	}
	if one.err != nil {
		return nil, one.err
	}
	address := *one.address
	return &address, nil
}

func find(ctx context.Context) (*url.URL, error) {
	named := os.Getenv(variable)
	if named == "" {
		var err error
		if one.server, err = start(ctx, nil); err != nil {
			return nil, err
		}
		return one.server.url(superuser, one.server.password, database), nil
	}
	address, err := url.Parse(named)
	if err != nil || address.Host == "" {
		return nil, errors.New(variable + " is not a URL such as postgres://user@host:port/database")
	}
	query := address.Query()
	query.Del("schema")
	address.RawQuery = query.Encode()
	return address, nil
}

// drop says so when a connection that the test left open is in the way, instead of waiting for it forever.
func drop(t testing.TB, address, schema string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := execute(ctx, address, "SET lock_timeout = '30s'; SET client_min_messages = warning",
		"DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
	if err != nil {
		t.Errorf("drop the test's schema: %v; close every transaction before the test ends", err)
	}
}
