package sealing_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
)

// played is a scenario that goes on over crashes and failures, and what must be true by now.
type played struct {
	*process
	site    *site
	faults  *faults
	written []card
	denied  map[release]bool // who is restricted in what
	agreed  bool             // customer 1 consented to the newsletter
	persons map[int]event.KRID
	reasons int
}

// wrong is what must never happen, whatever failed.
type wrong struct{ error }

func (w wrong) Unwrap() error { return w.error }

// act is one step of a scenario: it may be repeated until it is done.
type act struct {
	name string
	do   func(ctx context.Context, s *played) error
}

// scenario has appends about new and known people, openings, what persons say, a roll, and time that passes.
func scenario() []act {
	first, second := event.ID{1, 8: 0x80}, event.ID{2, 8: 0x80}
	return []act{
		write(card{1, 1, 2, 3}), write(card{2, 1, 2, 1}), read(), passes(), write(card{3, 2, 1, 4}), passes(), read(),
		restrict(first, "identity"), read(), restrict(second, "contact"), passes(), read(),
		let("release", func(s *played) policy.Record {
			return policy.RestrictionReleased{Principal: s.persons[1], Restriction: first, Ground: "resolved"}
		}, func(s *played) { delete(s.denied, release{s.persons[1], "identity"}) }),
		read(),
		let("release", func(s *played) policy.Record {
			return policy.RestrictionReleased{Principal: s.persons[1], Restriction: second, Ground: "resolved"}
		}, func(s *played) { delete(s.denied, release{s.persons[1], "contact"}) }),
		news(),
		let("consent", func(s *played) policy.Record {
			return policy.ConsentRecorded{Principal: s.persons[1], Controller: "bank", Purpose: "newsletter",
				Basis: policy.Consent, Notice: policy.Notice{Version: "3", Language: "en"}, Method: "web-form",
				At: s.site.clock.Now(), State: policy.Given}
		}, func(s *played) { s.agreed = true }),
		news(), push(), roll(), read(), write(card{4, 5, 1, 6}), passes(), govern(),
		writeEach(card{5, 7, 2, 1}, card{6, 8, 7, 9}), read(), words(), roll(), passes(), write(card{7, 9, 1, 2}), read(),
	}
}

func (s *played) reason() string {
	s.reasons++
	return fmt.Sprintf("case %d", s.reasons)
}

func write(c card) act {
	return act{"append", func(ctx context.Context, s *played) error {
		result, err := s.As(event.Actor{}).AppendAll(ctx, one(c.stream(), c.draft()))
		if err != nil {
			return err
		}
		return s.place(ctx, c, result)
	}}
}

func writeEach(list ...card) act {
	return act{"append each", func(ctx context.Context, s *played) error {
		var requests []log.Request
		for _, c := range list {
			requests = append(requests, one(c.stream(), c.draft()))
		}
		var failed error
		for i, o := range s.As(event.Actor{}).AppendEach(ctx, requests) {
			if o.Err == nil {
				o.Err = s.place(ctx, list[i], o.Result)
			}
			failed = errors.Join(failed, o.Err)
		}
		return failed
	}}
}

// place notes an append that was acknowledged, and who the persons are.
func (s *played) place(ctx context.Context, c card, result log.Result) error {
	if len(result.Events) != 1 || result.Events[0].ID != c.id() {
		return wrong{fmt.Errorf("card %d was acknowledged as %v", c.number, result.Events)}
	}
	for _, known := range s.written {
		if known == c {
			return nil
		}
	}
	s.written = append(s.written, c)
	return s.recognise(ctx, c)
}

// recognise finds who the persons of a card are: the same as ever. It asks a process of its own, without faults.
func (s *played) recognise(ctx context.Context, c card) error {
	other, err := s.site.open(ctx, nil)
	if err != nil {
		return wrong{err}
	}
	for _, n := range []int{c.customer, c.spouse, c.guest} {
		krid, err := other.Privacy().Subject(ctx, "customer", who(n))
		if errors.Is(err, event.ErrNotFound) && s.persons[n].IsZero() {
			continue
		}
		if err != nil {
			return wrong{fmt.Errorf("find person %d: %w", n, err)}
		}
		if before, ok := s.persons[n]; ok && before != krid {
			return wrong{fmt.Errorf("person %d was %s, and is %s", n, before, krid)}
		}
		s.persons[n] = krid
	}
	return other.Close()
}

// passes lets leases and memories end.
func passes() act {
	return act{"time passes", func(_ context.Context, s *played) error {
		s.site.clock.(*stepClock).step(20 * time.Minute)
		return nil
	}}
}

// push pushes another version of the schema.
func push() act {
	return act{"push", func(ctx context.Context, s *played) error {
		text := strings.Replace(cardSchema, `"amount"`, `"more": {"type": "number", "x-not-personal": "business-fact"}, "amount"`, 1)
		v := &schema.Version{Type: "Carded", Notation: jsonschema.Name, Text: []byte(text)}
		_, err := s.Privacy().PushSchema(ctx, event.Actor{}, v, false)
		return err
	}}
}

// govern sets another policy.
func govern() act {
	return act{"set policy", func(ctx context.Context, s *played) error {
		text := strings.Replace(document, `"store-only": {}}`, `"store-only": {}, "more": {}}`, 1)
		_, err := s.Privacy().SetPolicy(ctx, event.Actor{}, []byte(text), false)
		return err
	}}
}

func roll() act {
	return act{"roll", func(ctx context.Context, s *played) error {
		_, err := s.Keeper().Roll(ctx, nil)
		return err
	}}
}

// let records something about customer 1.
func let(name string, what func(*played) policy.Record, then func(*played)) act {
	return act{name, func(ctx context.Context, s *played) error {
		_, err := s.Privacy().Record(ctx, event.Actor{Kind: "clerk", ID: stem + "-clerk-0"}, event.ID{}, what(s))
		if err == nil {
			then(s)
		}
		return err
	}}
}

// restrict restricts customer 1, under an id of its own so that it can be repeated.
func restrict(id event.ID, group string) act {
	return act{"restrict", func(ctx context.Context, s *played) error {
		_, err := s.Privacy().Record(ctx, event.Actor{}, id, policy.SubjectRestricted{Principal: s.persons[1],
			Groups: []string{group}, Ground: policy.AccuracyContested})
		if err == nil {
			s.denied[release{s.persons[1], group}] = true
		}
		return err
	}}
}

// read opens all cards, for everything.
func read() act {
	return act{"open", func(ctx context.Context, s *played) error { return s.look(ctx, all(s.reason())) }}
}

// words opens with words for a reason, which are sealed under the keyring of who says them.
func words() act {
	return act{"open with words", func(ctx context.Context, s *played) error {
		o := all(stem + " asked for it")
		o.Actor = event.Actor{Kind: "clerk", ID: stem + "-clerk-9"}
		return s.look(ctx, o)
	}}
}

// news opens for a purpose that needs consent.
func news() act {
	return act{"open for newsletter", func(ctx context.Context, s *played) error {
		o := all(s.reason())
		o.Purpose = "newsletter"
		return s.look(ctx, o)
	}}
}

// look opens, and compares what is shown with what may be.
func (s *played) look(ctx context.Context, o event.Opening) error {
	events, err := s.opened(ctx, o)
	if err != nil {
		if len(events) > 0 {
			return wrong{fmt.Errorf("an opening failed, and released %d events: %w", len(events), err)}
		}
		return err
	}
	at := 0
	for i := range events {
		e := &events[i]
		c := cardOf(e.ID)
		if at < len(s.written) && c == s.written[at] { // others may be there whose answer was lost
			at++
		}
		if err := s.right(e, c, o.Purpose); err != nil {
			return wrong{err}
		}
	}
	if at != len(s.written) {
		return wrong{fmt.Errorf("%d of %d cards are read, or they are out of order", at, len(s.written))}
	}
	recorded := o.Reason
	if strings.HasPrefix(recorded, stem) {
		recorded = "words"
	}
	if err := s.accounted(ctx, recorded, events); err != nil {
		return wrong{err}
	}
	return nil
}

// right says how an opened card differs from what the opening may show of it.
func (s *played) right(e *event.Event, c card, purpose string) error {
	withheld := map[string]event.Withholding{}
	for _, w := range e.Withheld {
		withheld[w.Path] = w.Reason
	}
	text := string(e.Data)
	for n, krid := range s.persons {
		text = strings.ReplaceAll(text, krid.String(), who(n))
	}
	want := c.data(func(f *field) bool { return s.may(f, purpose) == "" })
	if text != want {
		return fmt.Errorf("card %d for %s opens as\n%s\nwant\n%s", c.number, purpose, text, want)
	}
	for _, f := range c.fields() {
		if why := s.may(&f, purpose); withheld[f.path] != why {
			return fmt.Errorf("card %d withholds %s as %q, want %q", c.number, f.path, withheld[f.path], why)
		}
	}
	return nil
}

// may is why a field is withheld; empty: it is shown.
func (s *played) may(f *field, purpose string) event.Withholding {
	if purpose == "newsletter" {
		if f.group == "contact" && len(ownersOf(*f)) == 1 && f.owners[0] == 1 && s.agreed {
			return ""
		}
		return event.WithheldDenied
	}
	for _, n := range f.owners {
		if s.denied[release{s.persons[n], f.group}] {
			return event.WithheldRestricted
		}
	}
	return ""
}

// TestSweep fails every call of key service, keystore, use log and log once: refused, or done and the answer lost; and
// it lets every call be the last of its process, done or not, and opens the store again. Nothing is ever stored in
// clear, opened without a use record, called erased, lost or doubled, and afterwards everything works.
func TestSweep(t *testing.T) {
	t.Parallel()
	calls := play(t, &faults{})
	from := seed(t)
	for i, mode := range []struct {
		name string
		way  way
		last bool
	}{
		{"refused", refused, false}, {"answer lost", lost, false}, {"gone before", refused, true}, {"gone after", lost, true},
	} {
		struck := map[string]int{}
		for _, at := range sample(calls, chance(from, i)) {
			f := &faults{at: at, way: mode.way, last: mode.last}
			play(t, f)
			struck[f.struck()]++
			if t.Failed() {
				t.Fatalf("call %d, %s, %s, LETHE_SEED=%d", at, f.struck(), mode.name, from)
			}
		}
		t.Logf("%s, of %d calls: %v", mode.name, len(calls), struck)
		for _, name := range []string{"Commit", "ChangeKeys", "RecordUses", "Head", "Keyrings"} {
			if struck[name] == 0 {
				t.Errorf("%s: no %s failed", mode.name, name)
			}
		}
	}
}

// sample is which calls fail: of each name one in eight, or all of them.
func sample(calls []string, random *rand.Rand) (at []int) {
	of := map[string][]int{}
	for i, name := range calls {
		of[name] = append(of[name], i+1)
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		step := min(8, len(of[name]))
		if os.Getenv("LETHE_SWEEP") == "full" {
			step = 1
		}
		for i := random.IntN(step); i < len(of[name]); i += step {
			at = append(at, of[name][i])
		}
	}
	return at
}

// play runs the scenario under faults, and returns the calls it made.
func play(t *testing.T, f *faults) []string {
	t.Helper()
	place, dump := memorySite(t)
	s := &played{site: place, faults: f, denied: map[release]bool{}, persons: map[int]event.KRID{}}
	ctx := t.Context()
	bare, err := place.open(ctx, nil)
	if err == nil {
		err = declare(ctx, bare)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.arm()
	for _, a := range append([]act{{"open the store", func(ctx context.Context, s *played) (err error) {
		s.process, err = place.open(ctx, f)
		return err
	}}}, scenario()...) {
		if err := s.perform(ctx, a); err != nil {
			t.Errorf("%s: %v", a.name, err)
			return nil
		}
		if err := silent(dump()); err != nil {
			t.Errorf("%s: %v", a.name, err)
			return nil
		}
	}
	f.end()
	if err := s.intact(ctx, "case end", s.written); err != nil {
		t.Error(err)
	}
	return f.calls
}

// perform does an act, and again when it failed: in the same process, or when that is gone in a new one.
func (s *played) perform(ctx context.Context, a act) error {
	for try := 0; ; try++ {
		err := a.do(ctx, s)
		if err == nil {
			return nil
		}
		var never wrong
		if errors.As(err, &never) {
			return err
		}
		if s.faults.struck() == "" || try > 2 {
			return fmt.Errorf("it fails although nothing else does any more: %w", err)
		}
		if strings.Contains(err.Error(), stem) {
			return fmt.Errorf("the error tells: %w", err)
		}
		if !s.faults.last {
			continue
		}
		s.faults.end()
		if s.process, err = s.site.open(ctx, nil); err != nil {
			return fmt.Errorf("open again: %w", err)
		}
		if err := s.recognise(ctx, card{0, 1, 2, 3}); err != nil {
			return err
		}
		if err := s.recognise(ctx, card{0, 4, 5, 6}); err != nil {
			return err
		}
	}
}
