package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// program is lethe with arguments, without settings that this process was given for the tests.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command("lethe", args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LETHE_") })
	return cmd
}

// instance is one of several lethe serve on one database, at a port it keeps over restarts.
type instance struct {
	t       *testing.T
	place   string
	listen  string
	flags   []string
	address string
	cmd     *exec.Cmd
	log     bytes.Buffer
}

func startInstance(t *testing.T, place string, flags ...string) *instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &instance{t: t, place: place, listen: l.Addr().String(), flags: flags}
	l.Close()
	x.start()
	t.Cleanup(x.stop)
	return x
}

func (x *instance) start() {
	x.t.Helper()
	file := filepath.Join(x.t.TempDir(), "address")
	x.cmd = program(append([]string{"serve", "--create", "--listen", x.listen, "--store", x.place,
		"--address-file", file}, x.flags...)...)
	x.cmd.Stderr = &x.log
	if err := x.cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	var err error
	if x.address, err = ready(file); err != nil {
		x.t.Fatal(err, x.log.String())
	}
}

// stop is what an init system does before it starts the new version.
func (x *instance) stop() {
	if x.cmd == nil {
		return
	}
	if err := errors.Join(x.cmd.Process.Signal(syscall.SIGTERM), x.cmd.Wait()); err != nil {
		x.t.Errorf("an instance ended with %v: %s", err, x.log.String())
	}
	x.cmd = nil
}

// TestRollingRestart restarts two servers of one database in turn while clients of both append and read and a follower
// follows: no call of a client fails, every event is there once, and the follower sees each once, in order.
func TestRollingRestart(t *testing.T) {
	place := pgtest.Place(t)
	instances := []*instance{startInstance(t, place, "--no-tokens"), startInstance(t, place, "--no-tokens")}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var calls sync.WaitGroup
	var done atomic.Bool
	var appended atomic.Int64
	for i, x := range instances {
		c, err := client.Open(ctx, x.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for n := range 4 {
			calls.Go(func() { appended.Add(appendUntil(t, c.Store, fmt.Sprint(i, "-", n), &done)) })
		}
	}
	seen := followAll(ctx, t, instances[0].address)
	for range 2 {
		for _, x := range instances {
			x.stop()
			x.start()
		}
	}
	done.Store(true)
	calls.Wait()
	if t.Failed() {
		return
	}
	want := event.Position(appended.Load())
	for at := event.Position(1); at <= want; at++ {
		select {
		case p := <-seen:
			if p != at {
				t.Fatalf("the follower saw position %d instead of %d", p, at)
			}
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	if out, err := program("doctor", "--store", place).CombinedOutput(); err != nil {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	t.Logf("rolling restart: 4 restarts, %d appends, 0 calls failed", want)
}

// appendUntil appends to a stream of its own with exact versions, and reads what it appended back.
func appendUntil(t *testing.T, store *lethe.Store, name string, done *atomic.Bool) (appended int64) {
	session := store.As(event.Actor{})
	stream := event.Stream("counter", name)
	for expected := event.None; !done.Load(); {
		r, err := session.Append(t.Context(), stream, expected, event.Draft{Type: "Counted"})
		if err != nil {
			t.Errorf("append %d to %s: %v", appended+1, name, err)
			return appended
		}
		appended++
		expected = event.Expected(r.Events[0].Version)
		if _, err := session.Event(t.Context(), r.Events[0].ID); err != nil {
			t.Errorf("read event %d of %s back: %v", appended, name, err)
			return appended
		}
	}
	return appended
}

// followAll gives the positions a subscription to everything delivers, in the order it delivers them.
func followAll(ctx context.Context, t *testing.T, address string) <-chan event.Position {
	c, err := client.Open(ctx, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan event.Position, 100_000)
	var following sync.WaitGroup
	following.Go(func() {
		for e, err := range c.As(event.Actor{}).Subscribe(ctx, nil, event.Cursor{}) {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("follow: %v", err)
				}
				return
			}
			seen <- e.Position
		}
	})
	t.Cleanup(func() {
		following.Wait()
		c.Close()
	})
	return seen
}

// TestRevokedElsewhere revokes a token at the database while a subscription with it is open at a server: that ends, and
// nothing begins with it any more at any server.
func TestRevokedElsewhere(t *testing.T) {
	place := pgtest.Place(t)
	server := startInstance(t, place)
	out, err := program("token", "create", "--read", "--store", place, "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ ID, Secret string }
	if err := json.Unmarshal(out, &made); err != nil || made.ID == "" {
		t.Fatalf("token create answered %d bytes: %v", len(out), err)
	}
	c, err := client.Open(t.Context(), server.address, &client.Options{Token: made.Secret})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	session := c.As(event.Actor{})
	revoked := false
	for batch, err := range session.Batches(t.Context(), nil, event.Cursor{}) {
		if err != nil {
			if !revoked || event.Code(err) != "token_revoked" {
				t.Errorf("the subscription ended with %v", err)
			}
			break
		}
		if batch.Live && !revoked {
			if out, err := program("token", "revoke", made.ID, "--store", place).CombinedOutput(); err != nil {
				t.Fatalf("revoke: %v: %s", err, out)
			}
			revoked = true
		}
	}
	_, err = session.Page(t.Context(), lethe.PageQuery{Query: storage.Query{Limit: 1}})
	if !errors.Is(err, event.ErrDenied) {
		t.Errorf("a page with a revoked token: %v", err)
	}
}
