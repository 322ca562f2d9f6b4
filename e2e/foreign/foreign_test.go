// Package foreign_test calls a real server, with tokens and the SQLite engine, by clients that are not Lethe's own:
//
//   - one in TypeScript, generated from the protobuf sources, over every protocol it knows (node_test.go),
//   - gRPC's own for Go, which learns all it needs by reflection (grpc_test.go),
//   - curl, by hand (curl_test.go) and by the commands of docs/api.md (page_test.go).
//
// scripts/install-test-tools.sh installs node, npm and curl. The packages of the TypeScript client come from npm's
// registry the first time, and from the user's cache folder from then on.
package foreign_test

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/token"
)

// storeName is what the server calls its only store.
const storeName = "loans"

// day is when everything here happens, so that answers can be compared with those on a page.
type day struct{}

func (day) Now() time.Time { return time.Date(2026, time.November, 22, 9, 30, 0, 0, time.UTC) }

func (day) After(d time.Duration) <-chan time.Time { return time.After(d) }

// door is a server of one store.
type door struct {
	Address string // host:port
	URL     string
	Token   string // may do everything
	Store   *lethe.Store
}

// open starts a server on a port of this machine, for as long as the test runs.
func open(t *testing.T) door {
	t.Helper()
	engine, err := sqlite.Open(t.Context(), t.TempDir(), &sqlite.Options{Indexed: []string{"channel"}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := lethe.Open(t.Context(), engine, kmstest.New(t), &lethe.Options{
		Clock: day{}, Keystore: memory.NewKeys(), Notations: []schema.Notation{jsonschema.New()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	secret, _, err := token.New(engine, day{}, rand.Reader).Create(t.Context(), token.Grant{
		Label: "the first one", Scope: token.Scope{Read: true, Append: true, Admin: true, Open: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New([]server.Tenant{{Name: storeName, Store: store, Tokens: engine}},
		server.Options{Version: "0.3.0", Clock: day{}})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(serving, listener, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	address := listener.Addr().String()
	return door{Address: address, URL: "http://" + address, Token: secret.Reveal(), Store: store}
}
