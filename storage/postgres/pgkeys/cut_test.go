package pgkeys_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgkeys"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// quiet is a clock under which a keystore does nothing by itself, so that the messages of one call can be counted.
type quiet struct{ event.SystemClock }

func (c quiet) After(d time.Duration) <-chan time.Time {
	if d == time.Second {
		return nil
	}
	return c.SystemClock.After(d)
}

// desk is a keystore over a line that is cut, and the same one over none.
type desk struct {
	t     *testing.T
	line  *pgtest.Line
	keys  *pgkeys.Keystore
	plain *pgkeys.Keystore
	n     int
}

func newDesk(t *testing.T, patience time.Duration) *desk {
	address := pgtest.Place(t)
	d := &desk{t: t, line: pgtest.Proxy(t, address)}
	d.plain = ready(t, address, pgkeys.Options{Clock: quiet{}})
	d.keys = ready(t, d.line.Address(), pgkeys.Options{Clock: quiet{}, Patience: patience, Timeout: 5 * time.Second})
	return d
}

// sweep does an errand twice in peace, to know how many messages it takes, and then once for each of them, cut off
// before and after it. The errand must come to its end, and be done once.
func (d *desk) sweep(errand func() error) (cuts int) {
	d.t.Helper()
	for range 2 {
		d.line.CutAt(0, false)
		if err := errand(); err != nil {
			d.t.Fatal(err)
		}
	}
	messages := d.line.Count()
	for number := 1; number <= messages; number++ {
		for _, after := range []bool{false, true} {
			d.line.CutAt(number, after)
			if err := errand(); err != nil {
				d.t.Errorf("cut at message %d of %d (after it: %t): %v", number, messages, after, err)
			}
			d.line.CutAt(0, false)
			if err := errand(); err != nil { // on a new connection, so that the next one is as long as the first
				d.t.Fatal(err)
			}
			cuts++
		}
	}
	return cuts
}

// TestCutWhileKeysChange cuts the connection at every message of a change that mints a person, replaces a lookup and
// changes what is there, of two callers at once.
func TestCutWhileKeysChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 10*time.Second)
	shared := person()
	var want []event.KRID
	errand := func() error {
		d.n++
		token := storage.LookupToken{byte(d.n), byte(d.n >> 8)}
		krid := person()
		change := minting(krid, token)
		change.Replace = []storage.Lookup{{Token: storage.LookupToken{15: 9}, State: storage.KeyDestroyed, Until: int64(d.n)}}
		change.Applied = event.Position(d.n)
		outcomes, err := d.keys.ChangeKeys(t.Context(), []storage.KeyChange{change, {Keyring: &storage.Keyring{
			KRID: shared, Version: uint64(d.n), State: storage.KeyLive, Record: fmt.Append(nil, d.n),
		}}, minting(person(), token)})
		want = append(want, krid)
		if err != nil {
			return err
		}
		if there := outcomes[2].Lookup; !outcomes[0].Stored || !outcomes[1].Stored || there == nil || there.KRID != krid {
			return fmt.Errorf("outcomes are %+v", outcomes)
		}
		return nil
	}
	if cuts := d.sweep(errand); cuts < 40 {
		t.Errorf("there were %d cuts only", cuts)
	}
	rings, err := d.plain.Keyrings(t.Context(), append(want, shared))
	if err != nil {
		t.Fatal(err)
	}
	for i, krid := range want {
		if rings[i].Version != 1 || rings[i].KRID != krid {
			t.Errorf("the keyring of errand %d is %+v", i+1, rings[i])
		}
	}
	if last := rings[len(want)]; last.Version != uint64(d.n) || string(last.Record) != fmt.Sprint(d.n) {
		t.Errorf("what all errands changed is %+v, want version %d", last, d.n)
	}
	everyone, err := d.plain.ScanKeyrings(t.Context(), storage.KeyringQuery{Limit: 10_000})
	if err != nil || len(everyone) != len(want)+1 {
		t.Errorf("there are %d keyrings, want %d: %v", len(everyone), len(want)+1, err)
	}
	head, err := d.plain.KeyHead(t.Context())
	if err != nil || head.Applied != event.Position(d.n) {
		t.Errorf("applied up to %d, want %d: %v", head.Applied, d.n, err)
	}
}

// TestCutWhileUsesRecorded cuts the connection at every message of a call that records uses: each is there once.
func TestCutWhileUsesRecorded(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 10*time.Second)
	krid := person()
	errand := func() error {
		d.n++
		return d.keys.RecordUses(t.Context(), []storage.Use{use(d.n, krid), use(-d.n, krid, person())})
	}
	if cuts := d.sweep(errand); cuts < 20 {
		t.Errorf("there were %d cuts only", cuts)
	}
	var got, want []int64
	for i, u := range uses(t, d.plain, storage.UseQuery{KRID: krid}) {
		got = append(got, u.At)
		if u.Number != uint64(2*d.n-i) {
			t.Errorf("use %d of %d has number %d", 2*d.n-i, 2*d.n, u.Number)
		}
	}
	for n := d.n; n > 0; n-- {
		want = append(want, -int64(n), int64(n))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
}

// commitUnheard makes the next call's COMMIT be done, but not be answered, and no new connection be made.
func (d *desk) commitUnheard(call func() error) {
	d.t.Helper()
	for range 2 {
		d.line.CutAt(0, false)
		if err := call(); err != nil {
			d.t.Fatal(err)
		}
	}
	messages := d.line.Count()
	d.line.Refuse(true)
	d.line.CutAt(messages, false)
}

// TestOutcomeUnknown: a database that is away after an unanswered COMMIT leaves it unknown whether anything was done.
func TestOutcomeUnknown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 100*time.Millisecond)
	krid := person()
	version := uint64(0)
	change := func() error {
		version++
		_, err := d.keys.ChangeKeys(t.Context(), []storage.KeyChange{
			{Keyring: &storage.Keyring{KRID: krid, Version: version, State: storage.KeyLive}},
		})
		return err
	}
	d.commitUnheard(change)
	if err := change(); !errors.Is(err, event.ErrUnknown) {
		t.Errorf("a change of which nobody heard again: %v", err)
	}
	d.line.Refuse(false)
	record := func() error { return d.keys.RecordUses(t.Context(), []storage.Use{use(1, krid)}) }
	d.commitUnheard(record)
	if err := record(); !errors.Is(err, event.ErrUnknown) {
		t.Errorf("a use of which nobody heard again: %v", err)
	}
	if err := record(); !errors.Is(err, event.ErrUnavailable) || errors.Is(err, event.ErrUnknown) {
		t.Errorf("a use that could not be sent: %v", err)
	}
	d.line.Refuse(false)
	if err := errors.Join(change(), record()); err != nil {
		t.Errorf("when the database is back: %v", err)
	}
}

// TestOutcomeChanged: where another process has changed all that an unanswered COMMIT wrote before it could be asked
// about, nobody can tell who wrote what came between.
func TestOutcomeChanged(t *testing.T) {
	t.Parallel()
	d := newDesk(t, time.Minute)
	krid := person()
	version := uint64(0)
	change := func() error {
		version++
		_, err := d.keys.ChangeKeys(t.Context(), []storage.KeyChange{
			{Keyring: &storage.Keyring{KRID: krid, Version: version, State: storage.KeyLive}},
		})
		return err
	}
	d.commitUnheard(change)
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = change() })
	for stored := uint64(0); stored < 4; { // 2 in peace, 1 of which nobody heard, and this one
		rings, err := d.plain.Keyrings(t.Context(), []event.KRID{krid})
		if err != nil {
			t.Fatal(err)
		}
		stored = rings[0].Version
		if stored == 3 {
			_, err = d.plain.ChangeKeys(t.Context(), []storage.KeyChange{
				{Keyring: &storage.Keyring{KRID: krid, Version: 4, State: storage.KeyLive}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	d.line.Refuse(false)
	wg.Wait()
	if !errors.Is(err, event.ErrUnknown) {
		t.Errorf("a change that was changed again: %v", err)
	}
	version = 4
	if err := change(); err != nil {
		t.Errorf("the next change: %v", err)
	}
}
