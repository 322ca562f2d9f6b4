package token_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWatch(t *testing.T) {
	d := newDesk(t)
	a, b := d.create(t, reader), d.create(t, reader)
	first, release1 := d.Watch(a.ID())
	second, release2 := d.Watch(a.ID())
	other, release3 := d.Watch(b.ID())
	release1()
	release1() // as if it had been called once
	if closed(first) || closed(second) || closed(other) {
		t.Error("a watch was closed without a revocation")
	}
	if _, err := d.Revoke(t.Context(), a.ID()); err != nil {
		t.Fatal(err)
	}
	if !closed(second) || closed(other) {
		t.Errorf("after the revocation its watch is closed: %t, another: %t", closed(second), closed(other))
	}
	for range 2 { // who comes between Check and Watch
		late, release := d.Watch(a.ID())
		if !closed(late) {
			t.Error("a watch of a revoked token is open")
		}
		release()
		release2()
	}
	release3()
	again, release := d.Watch(b.ID())
	if closed(again) {
		t.Error("a watch that was released is closed")
	}
	if _, err := d.Revoke(t.Context(), b.ID()); err != nil {
		t.Fatal(err)
	}
	if !closed(again) {
		t.Error("a watch after a release misses the revocation")
	}
	release()
}

// TestWatchOfAFailedRevoke holds that nobody is cut while a token is surely good, and all are where it may be revoked.
// TestRecheckFindsRevocationsOfOthers revokes through another keeper of the same store, as another process does.
func TestRecheckFindsRevocationsOfOthers(t *testing.T) {
	engine := memory.Open(memory.Options{})
	d := token.New(engine, event.SystemClock{}, rand.NewChaCha8([32]byte{1}))
	other := token.New(engine, event.SystemClock{}, rand.NewChaCha8([32]byte{2}))
	var channels []<-chan struct{}
	var ids []string
	for range 3 {
		secret, _, err := d.Create(t.Context(), token.Grant{Scope: token.Scope{Read: true}})
		if err != nil {
			t.Fatal(err)
		}
		revoked, release := d.Watch(secret.ID())
		defer release()
		channels, ids = append(channels, revoked), append(ids, secret.ID())
	}
	if _, err := other.Revoke(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if closed(channels[0]) || !closed(channels[1]) || closed(channels[2]) {
			t.Errorf("watches closed: %t %t %t", closed(channels[0]), closed(channels[1]), closed(channels[2]))
		}
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Recheck(t.Context()); event.Code(err) != "unavailable" || closed(channels[0]) {
		t.Errorf("recheck without a store: %v", err)
	}
}

func TestWatchOfAFailedRevoke(t *testing.T) {
	d := newDesk(t)
	s := d.create(t, reader)
	for _, c := range []struct {
		fault error
		cut   bool
	}{
		{event.Errorf(event.ErrFull, "no room"), false}, {errors.New("odd"), false},
		{event.Errorf(event.ErrUnknown, "the disk failed in the middle"), true},
	} {
		d.fail = func(step string) error {
			if step == memory.OpRevokeToken {
				return c.fault
			}
			return nil
		}
		revoked, release := d.Watch(s.ID())
		if _, err := d.Revoke(t.Context(), s.ID()); !errors.Is(err, c.fault) {
			t.Errorf("revoke: %v", err)
		}
		if closed(revoked) != c.cut {
			t.Errorf("after %v the watch is closed: %t", c.fault, closed(revoked))
		}
		release()
	}
}

// TestWatchesRace lets subscriptions come and go while the token is revoked: each that came in must be cut.
func TestWatchesRace(t *testing.T) {
	for range 20 {
		store := memory.Open(memory.Options{})
		k := token.New(store, &clock{now: start}, rand.NewChaCha8([32]byte{3}))
		secret, _, err := k.Create(t.Context(), reader)
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() { subscribe(t, k, secret) })
		}
		if _, err := k.Revoke(t.Context(), secret.ID()); err != nil {
			t.Error(err)
		}
		running.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// subscribe comes and goes until the token is denied, and stays at last. It hangs if it misses the revocation.
func subscribe(t *testing.T, k *token.Keeper, secret token.Secret) {
	for n := range 100 {
		_, err := k.Check(t.Context(), secret.Reveal())
		if event.Code(err) == "token_revoked" {
			return
		}
		if err != nil {
			t.Error(err)
		}
		revoked, release := k.Watch(secret.ID())
		if n == 99 {
			<-revoked
		}
		release()
	}
}

// TestWatchesLeaveNothing counts what is kept after many subscriptions.
func TestWatchesLeaveNothing(t *testing.T) {
	d := newDesk(t)
	a, b := d.create(t, reader).ID(), d.create(t, reader).ID()
	_, hold := d.Watch(b)
	for n := range 10_000 {
		id := []string{a, b, mint(t, byte(n)).ID()}[n%3]
		_, release := d.Watch(id)
		release()
	}
	if n := token.WatchedForTest(d.Keeper); n != 1 {
		t.Errorf("%d tokens are watched instead of 1", n)
	}
	hold()
	_, release := d.Watch(a)
	if _, err := d.Revoke(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	release()
	if n := token.WatchedForTest(d.Keeper); n != 0 {
		t.Errorf("%d tokens are watched instead of none", n)
	}
}
