package keyring_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/storage"
)

// askedKeys counts questions, and lets a test come before them.
type askedKeys struct {
	storage.Keys
	lookups, keyrings atomic.Int64
	before            func(ctx context.Context, tokens []storage.LookupToken, krids []event.KRID) error
}

func (a *askedKeys) Lookups(ctx context.Context, tokens []storage.LookupToken) ([]storage.Lookup, error) {
	a.lookups.Add(1)
	if err := a.before(ctx, tokens, nil); err != nil {
		return nil, err
	}
	return a.Keys.Lookups(ctx, tokens)
}

func (a *askedKeys) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	a.keyrings.Add(1)
	if err := a.before(ctx, nil, krids); err != nil {
		return nil, err
	}
	return a.Keys.Keyrings(ctx, krids)
}

// crowd is people who are in the keystore and not in memory. The first question for them waits until go on.
type crowd struct {
	*rig
	k           *keyring.Keeper
	keys        *askedKeys
	refs        []keyring.Reference
	krids       []event.KRID
	held        atomic.Bool
	begun, goOn chan struct{}
	group       sync.WaitGroup
}

const many = 300 // more than may join a question together, if one caller has them all

var errAsked = errors.New("read keyrings: the disk does not answer")

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{rig: newRig(t), begun: make(chan struct{}), goOn: make(chan struct{})}
	for i := range many {
		c.refs = append(c.refs, customer(i))
	}
	k := c.open()
	c.krids = mint(t, k, c.refs...)
	k.Close()
	nothing := func(context.Context, []storage.LookupToken, []event.KRID) error { return nil }
	c.keys = &askedKeys{Keys: c.rig.keys, before: nothing}
	var err error
	if c.k, err = keyring.Open(t.Context(), c.keys, c.service, c.options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.k.Close)
	mint(t, c.k, customer(many)) // epoch and names are known now
	c.keys.lookups.Store(0)
	c.keys.keyrings.Store(0)
	c.keys.before = c.hold
	return c
}

// hold has the first question wait.
func (c *crowd) hold(ctx context.Context, _ []storage.LookupToken, _ []event.KRID) error {
	if c.held.Swap(true) {
		return nil
	}
	close(c.begun)
	select {
	case <-c.goOn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resolve has one person looked for by reference.
func (c *crowd) resolve(ctx context.Context, i int) error {
	krids, err := c.k.Resolve(ctx, c.refs[i:i+1], true)
	if err == nil && krids[0] != c.krids[i] {
		c.t.Errorf("%d is taken for somebody else", i)
	}
	return err
}

func (c *crowd) check(ctx context.Context, i int) error { return c.k.Check(ctx, c.krids[i:i+1]) }

// ask begins with one and has the others come while that is asked. told learns what became of each.
func (c *crowd) ask(ctx context.Context, one func(context.Context, int) error, told func(int, error)) {
	c.group.Go(func() { told(0, one(ctx, 0)) })
	<-c.begun
	for i := 1; i < many; i++ {
		c.group.Go(func() { told(i, one(c.t.Context(), i)) })
	}
	for keyring.AskingForTest(c.k) < many-1 {
		runtime.Gosched()
	}
}

func (c *crowd) well(i int, err error) {
	if err != nil {
		c.t.Errorf("%d: %v", i, err)
	}
}

func TestQuestionsAreGrouped(t *testing.T) {
	c := newCrowd(t)
	c.ask(t.Context(), c.resolve, c.well)
	close(c.goOn)
	c.group.Wait()
	if l, k := c.keys.lookups.Load(), c.keys.keyrings.Load(); l != 2 || k != 2 {
		t.Errorf("%d persons took %d and %d questions, want 2 and 2", many, l, k)
	}
	for i := range many {
		c.well(i, c.resolve(t.Context(), i))
	}
	if n := c.keys.lookups.Load(); n != 2 {
		t.Error("who was read is not in memory")
	}
}

// TestQuestionsOfMany persons at once do not wait for others, nor others for them.
func TestQuestionsOfMany(t *testing.T) {
	c := newCrowd(t)
	c.ask(t.Context(), c.resolve, c.well)
	for range 5 {
		c.k.Forget(nil)
		if err := c.k.Check(t.Context(), c.krids); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.keys.lookups.Load(); n != 1 {
		t.Errorf("%d questions were asked meanwhile", n-1)
	}
	close(c.goOn)
	c.group.Wait()
}

// TestQuestionThatFails is the fault of nobody else.
func TestQuestionThatFails(t *testing.T) {
	c := newCrowd(t)
	bad := c.krids[70]
	c.keys.before = func(ctx context.Context, _ []storage.LookupToken, krids []event.KRID) error {
		if slices.Contains(krids, bad) {
			return errAsked
		}
		return c.hold(ctx, nil, nil)
	}
	c.ask(t.Context(), c.check, func(i int, err error) {
		if (i == 70) != errors.Is(err, errAsked) || i != 70 && err != nil {
			t.Errorf("%d: %v", i, err)
		}
	})
	close(c.goOn)
	c.group.Wait()
}

// TestKeystoreThatFails is told to everyone, and nobody is made anew or taken for erased.
func TestKeystoreThatFails(t *testing.T) {
	c := newCrowd(t)
	changes := c.rig.keys.calls()
	c.keys.before = func(ctx context.Context, _ []storage.LookupToken, _ []event.KRID) error {
		return errors.Join(c.hold(ctx, nil, nil), errAsked)
	}
	c.ask(t.Context(), c.resolve, func(i int, err error) {
		if !errors.Is(err, errAsked) {
			t.Errorf("%d: %v", i, err)
		}
	})
	close(c.goOn)
	c.group.Wait()
	if c.rig.keys.calls() != changes {
		t.Error("something was written")
	}
	c.keys.before = c.hold
	for i := range many {
		c.well(i, c.resolve(t.Context(), i))
	}
}

// TestWaiterGoes at once, and takes nobody along, be it who asks or who waits.
func TestWaiterGoes(t *testing.T) {
	c := newCrowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	c.group.Go(func() { c.well(0, c.resolve(t.Context(), 0)) })
	<-c.begun
	for i := 1; i < many; i++ {
		c.group.Go(func() {
			if i != 50 {
				c.well(i, c.resolve(t.Context(), i))
			} else {
				gone <- c.resolve(ctx, i)
			}
		})
	}
	for keyring.AskingForTest(c.k) < many-1 {
		runtime.Gosched()
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who went is told %v", err)
	}
	close(c.goOn)
	c.group.Wait()

	c = newCrowd(t)
	ctx, cancel = context.WithCancel(t.Context())
	c.ask(ctx, c.resolve, func(i int, err error) {
		if (i == 0) != errors.Is(err, context.Canceled) || i != 0 && err != nil {
			t.Errorf("%d: %v", i, err)
		}
	})
	cancel()
	c.group.Wait()
}

func TestCloseWhileAsked(t *testing.T) {
	c := newCrowd(t)
	c.ask(t.Context(), c.resolve, func(i int, err error) {
		if i > 0 && event.Code(err) != "keeper_closed" || i == 0 && err != nil { // its question was on its way
			t.Errorf("%d: %v", i, err)
		}
	})
	c.k.Close()
	close(c.goOn)
	c.group.Wait()
}
