package token_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/token"
)

// clock stands still until it is moved.
type clock struct {
	event.Clock
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var start = time.Date(2026, time.March, 1, 12, 0, 0, 123_456_000, time.UTC)

// desk is a keeper with its clock and its store, in which one step can be made to fail.
type desk struct {
	*token.Keeper
	clock *clock
	store *memory.Store
	fail  func(step string) error
	steps []string // that changed the store
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{clock: &clock{now: start}}
	d.store = memory.Open(memory.Options{Fail: func(step string) error {
		if step != memory.OpToken {
			d.steps = append(d.steps, step)
		}
		if d.fail != nil {
			return d.fail(step)
		}
		return nil
	}})
	d.Keeper = token.New(d.store, d.clock, rand.NewChaCha8([32]byte{7}))
	t.Cleanup(func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *desk) create(t testing.TB, g token.Grant) token.Secret {
	t.Helper()
	secret, _, err := d.Create(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

var reader = token.Grant{Label: "reader", Scope: token.Scope{Read: true}}

// refuses holds that a text is denied with a code, a next step, and no word of a secret.
func (d *desk) refuses(t *testing.T, text, code string) {
	t.Helper()
	b, err := d.Check(t.Context(), text)
	var e *event.Error
	if !errors.Is(err, event.ErrDenied) || event.Code(err) != code || !errors.As(err, &e) || e.Next == "" {
		t.Errorf("check gave %s (%v) instead of %s", event.Code(err), err, code)
		return
	}
	if diff := cmp.Diff(token.Bearer{}, b); diff != "" {
		t.Errorf("who was denied is\n%s", diff)
	}
	if len(text) > 30 && strings.Contains(err.Error(), text[20:30]) {
		t.Errorf("the error holds the secret: %v", err)
	}
}

func TestCreateAndCheck(t *testing.T) {
	d := newDesk(t)
	g := token.Grant{
		Label: "Nachtlauf für Anträge", Expires: start.Add(time.Hour),
		Scope: token.Scope{Read: true, Append: true, Open: true, Kinds: []string{"application", "offer"}},
	}
	secret, stored, err := d.Create(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	want := storage.Token{
		ID: secret.ID(), Hash: stored.Hash, Label: g.Label, Read: true, Append: true, Open: true, Kinds: g.Kinds,
		Created: start.UnixMicro(), Expires: start.Add(time.Hour).UnixMicro(),
	}
	list, err := d.List(t.Context())
	if diff := cmp.Diff([]storage.Token{want}, list); diff != "" || err != nil || !cmp.Equal(want, stored) {
		t.Errorf("stored (%v):\n%s", err, diff)
	}
	for _, b := range d.store.Dump() {
		if strings.Contains(string(b), secret.Reveal()[19:62]) {
			t.Error("the store holds the secret")
		}
	}
	bearer, err := d.Check(t.Context(), secret.Reveal())
	diff := cmp.Diff(token.Bearer{ID: secret.ID(), Scope: g.Scope, Expires: g.Expires}, bearer)
	if err != nil || diff != "" {
		t.Errorf("bearer (%v):\n%s", err, diff)
	}
	admin := d.create(t, token.Grant{Scope: token.Scope{Admin: true}})
	bearer, err = d.Check(t.Context(), admin.Reveal())
	diff = cmp.Diff(token.Bearer{ID: admin.ID(), Scope: token.Scope{Admin: true}}, bearer)
	if err != nil || diff != "" {
		t.Errorf("bearer (%v):\n%s", err, diff)
	}
}

func TestCreateRefuses(t *testing.T) {
	d := newDesk(t)
	scope := reader.Scope
	for name, c := range map[string]struct {
		grant token.Grant
		code  string
	}{
		"no permission":      {token.Grant{Label: "x"}, "malformed_scope"},
		"a long label":       {token.Grant{Scope: scope, Label: strings.Repeat("é", 50) + "x"}, "malformed_label"},
		"a label of lines":   {token.Grant{Scope: scope, Label: "a\nb"}, "malformed_label"},
		"a label of colours": {token.Grant{Scope: scope, Label: "\x1b[31m"}, "malformed_label"},
		"a label not UTF-8":  {token.Grant{Scope: scope, Label: "a\xff"}, "malformed_label"},
		"a label turned":     {token.Grant{Scope: scope, Label: "a\u202eb"}, "malformed_label"},
		"expiry past":        {token.Grant{Scope: scope, Expires: start.Add(-time.Hour)}, "malformed_time"},
		"expiry now":         {token.Grant{Scope: scope, Expires: start}, "malformed_time"},
		"expiry below a µs":  {token.Grant{Scope: scope, Expires: start.Add(999)}, "malformed_time"},
		"expiry out of range": {token.Grant{Scope: scope, Expires: time.Date(10000, 1, 2, 0, 0, 0, 0, time.UTC)},
			"malformed_time"},
		"expiry overflowing": {token.Grant{Scope: scope, Expires: time.Unix(1<<60, 0)}, "malformed_time"},
	} {
		secret, _, err := d.Create(t.Context(), c.grant)
		if !errors.Is(err, event.ErrInvalid) || event.Code(err) != c.code || secret.Reveal() != "" {
			t.Errorf("%s: %s (%v), secret %q", name, event.Code(err), err, secret)
		}
	}
	if list, err := d.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("tokens are there: %v, %v", list, err)
	}
	d.create(t, token.Grant{Scope: scope, Label: strings.Repeat("é", 50), Expires: start.Add(time.Microsecond)})

	d.fail = func(string) error { return event.Errorf(event.ErrFull, "no room") }
	if secret, _, err := d.Create(t.Context(), reader); !errors.Is(err, event.ErrFull) || secret.Reveal() != "" {
		t.Errorf("created without room: %v", err)
	}
	dry := token.New(d.store, d.clock, strings.NewReader("short"))
	if secret, _, err := dry.Create(t.Context(), reader); err == nil || secret.Reveal() != "" {
		t.Error("created without randomness")
	}
}

func TestCheckRefuses(t *testing.T) {
	d, other := newDesk(t), newDesk(t)
	good := d.create(t, reader).Reveal()
	d.refuses(t, "", "token_missing")
	d.refuses(t, "Bearer "+good, "token_malformed")
	d.refuses(t, good[:len(good)-1], "token_malformed")
	d.refuses(t, good[:40]+"!"+good[41:], "token_malformed")
	d.refuses(t, mint(t, 99).Reveal(), "token_unknown")
	other.refuses(t, good, "token_unknown") // of another store

	// A token with the id of a good one and another secret is no better known than one with an unknown id.
	random := make([]byte, 40)
	if _, err := rand.NewChaCha8([32]byte{7}).Read(random); err != nil {
		t.Fatal(err)
	}
	random[39] ^= 1
	wrong, err := token.Mint(strings.NewReader(string(random)))
	if err != nil || wrong.ID() != good[6:18] {
		t.Fatalf("minted %v, %v", wrong, err)
	}
	d.refuses(t, wrong.Reveal(), "token_unknown")
	_, err1 := d.Check(t.Context(), wrong.Reveal())
	_, err2 := other.Check(t.Context(), wrong.Reveal())
	if err1.Error() != err2.Error() {
		t.Errorf("a wrong secret and an unknown id are told apart: %v, %v", err1, err2)
	}
	// Nor is it told that the token has ended.
	if _, err := d.Revoke(t.Context(), wrong.ID()); err != nil {
		t.Fatal(err)
	}
	d.refuses(t, wrong.Reveal(), "token_unknown")
	d.refuses(t, good, "token_revoked")
}

func TestCheckExpiry(t *testing.T) {
	d := newDesk(t)
	g := reader
	g.Expires = start.Add(time.Minute)
	text := d.create(t, g).Reveal()
	for _, step := range []struct {
		pass time.Duration
		good bool
	}{
		{0, true}, {time.Minute - time.Microsecond, true}, {time.Microsecond, false}, {time.Hour, false},
		{-2 * time.Hour, true}, // the clock was set back
	} {
		if d.clock.pass(step.pass); !step.good {
			d.refuses(t, text, "token_expired")
		} else if _, err := d.Check(t.Context(), text); err != nil {
			t.Errorf("check at %s: %v", d.clock.Now(), err)
		}
	}
	d.clock.pass(3 * time.Hour)
	if _, err := d.Revoke(t.Context(), text[6:18]); err != nil {
		t.Fatal(err)
	}
	d.refuses(t, text, "token_revoked") // whatever the clock says
}

// TestCheckFailsClosed holds that an error of the store lets nobody in, and comes out as it is.
func TestCheckFailsClosed(t *testing.T) {
	d := newDesk(t)
	text := d.create(t, reader).Reveal()
	for _, fault := range []error{event.Errorf(event.ErrUnavailable, "busy"), errors.New("odd"), context.Canceled} {
		d.fail = func(string) error { return fault }
		b, err := d.Check(t.Context(), text)
		if err != fault || b.ID != "" || b.Read { //nolint:errorlint // the hook's own value
			t.Errorf("check with a fault: %+v, %v", b, err)
		}
		if _, err := d.List(t.Context()); err != fault { //nolint:errorlint // the hook's own value
			t.Errorf("list with a fault: %v", err)
		}
		if _, err := d.Revoke(t.Context(), text[6:18]); err != fault { //nolint:errorlint // the hook's own value
			t.Errorf("revoke with a fault: %v", err)
		}
	}
	d.fail = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Check(ended, text); !errors.Is(err, context.Canceled) {
		t.Errorf("check with an ended context: %v", err)
	}
	if _, err := d.Check(t.Context(), text); err != nil {
		t.Errorf("check: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	d := newDesk(t)
	gone, left := d.create(t, reader), d.create(t, reader)
	d.clock.pass(time.Second)
	want := d.clock.Now().UnixMicro()
	for range 2 {
		revoked, err := d.Revoke(t.Context(), gone.ID())
		if err != nil || revoked.Revoked != want {
			t.Errorf("revoked at %d, %v", revoked.Revoked, err)
		}
		d.refuses(t, gone.Reveal(), "token_revoked")
		d.clock.pass(time.Hour)
	}
	if _, err := d.Check(t.Context(), left.Reveal()); err != nil {
		t.Errorf("another token: %v", err)
	}
	if _, err := d.Revoke(t.Context(), "unknown"); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("revoke an unknown id: %v", err)
	}
}

// used is when a token was last used: as the store has it, and as the keeper lists it.
func (d *desk) used(t *testing.T, id string) (stored, listed time.Duration) {
	t.Helper()
	x, err := d.store.Token(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	since := func(us int64) time.Duration {
		if us == 0 {
			return -1
		}
		return event.FromMicros(us).Sub(start)
	}
	for _, y := range list {
		if y.ID == id {
			return since(x.Used), since(y.Used)
		}
	}
	t.Fatalf("token %s is not listed", id)
	return 0, 0
}

func TestUsesAreGathered(t *testing.T) {
	d := newDesk(t)
	a, b := d.create(t, reader), d.create(t, reader)
	d.steps = nil
	expect := func(when string, stored, listed time.Duration) {
		t.Helper()
		if s, l := d.used(t, a.ID()); s != stored || l != listed {
			t.Errorf("%s: stored %s, listed %s instead of %s, %s", when, s, l, stored, listed)
		}
	}
	flush := func(writes int) {
		t.Helper()
		if err := d.Flush(t.Context()); err != nil {
			t.Errorf("flush: %v", err)
		}
		if len(d.steps) != writes {
			t.Errorf("%d writes instead of %d", len(d.steps), writes)
		}
		d.steps = nil
	}
	check := func(s token.Secret) {
		t.Helper()
		if _, err := d.Check(t.Context(), s.Reveal()); err != nil {
			t.Error(err)
		}
	}
	flush(0)
	expect("before any use", -1, -1)
	d.refuses(t, mint(t, 3).Reveal(), "token_unknown")
	flush(0)
	for range 59 {
		check(a)
		check(b)
		d.clock.pass(time.Second)
	}
	expect("before the flush", -1, 0)
	flush(1)
	expect("after the flush", 0, 0)
	check(a)
	flush(0) // within a minute of the noted use
	d.clock.pass(time.Second)
	check(a)
	expect("a minute later", 0, time.Minute)
	flush(1)
	expect("a minute later, flushed", time.Minute, time.Minute)
	d.clock.pass(-time.Hour)
	check(a)
	flush(0) // the clock was set back

	d.clock.pass(3 * time.Hour)
	check(a)
	d.fail = func(string) error { return event.Errorf(event.ErrFull, "no room") }
	if err := d.Flush(t.Context()); !errors.Is(err, event.ErrFull) {
		t.Errorf("flush without room: %v", err)
	}
	d.fail, d.steps = nil, nil
	expect("after a flush that failed", time.Minute, 2*time.Hour+time.Minute)
	flush(1)
	expect("after the next flush", 2*time.Hour+time.Minute, 2*time.Hour+time.Minute)
	if stored, _ := d.used(t, b.ID()); stored != 0 {
		t.Errorf("the other token was last used at %s", stored)
	}
}

// TestConcurrentUse is for the race detector, and for what must hold at the end.
func TestConcurrentUse(t *testing.T) {
	store := memory.Open(memory.Options{})
	defer store.Close()
	now := &clock{now: start}
	k := token.New(store, now, rand.NewChaCha8([32]byte{1}))
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			for n := range 50 {
				secret, _, err := k.Create(t.Context(), token.Grant{Label: fmt.Sprint(worker, n), Scope: reader.Scope})
				if err != nil {
					t.Error(err)
					return
				}
				revoked, release := k.Watch(secret.ID())
				_, err = k.Check(t.Context(), secret.Reveal())
				now.pass(time.Second)
				_, err1 := k.List(t.Context())
				err2 := k.Flush(t.Context())
				_, err3 := k.Revoke(t.Context(), secret.ID())
				if err := errors.Join(err, err1, err2, err3); err != nil {
					t.Error(err)
				}
				<-revoked
				release()
				if _, err := k.Check(t.Context(), secret.Reveal()); event.Code(err) != "token_revoked" {
					t.Errorf("check after revoke: %v", err)
				}
			}
		})
	}
	running.Wait()
	list, err := k.List(t.Context())
	if err != nil || len(list) != 200 {
		t.Errorf("%d tokens, %v", len(list), err)
	}
	for _, x := range list {
		if x.Used == 0 || x.Revoked == 0 {
			t.Errorf("token %s was used at %d, revoked at %d", x.ID, x.Used, x.Revoked)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name  string
		scope token.Scope
	}{
		{"all kinds", token.Scope{Read: true}}, {"two kinds", token.Scope{Read: true, Kinds: []string{"a", "b"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := newDesk(b)
			text := d.create(b, token.Grant{Scope: c.scope}).Reveal()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Check(b.Context(), text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
