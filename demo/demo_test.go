package demo_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage/memory"
)

func generate(t *testing.T, seed uint64, n int) []demo.Life {
	t.Helper()
	lives, err := demo.Generate(seed, n)
	if err != nil {
		t.Fatal(err)
	}
	return lives
}

// unexported compares lives as a whole.
var unexported = cmp.AllowUnexported(demo.Life{})

func TestSeedDecides(t *testing.T) {
	once, again, other := generate(t, 7, 100), generate(t, 7, 100), generate(t, 8, 100)
	if diff := cmp.Diff(once, again, unexported); diff != "" {
		t.Errorf("one seed gave two worlds:\n%s", diff)
	}
	if once[0].Steps[0].Draft.ID == other[0].Steps[0].Draft.ID {
		t.Error("two seeds gave one world")
	}
	if diff := cmp.Diff(once[:50], generate(t, 7, 50), unexported); diff != "" {
		t.Errorf("more applications changed the first ones:\n%s", diff)
	}
}

func TestLivesAreWellFormed(t *testing.T) {
	seen := make(map[event.ID]bool)
	types := make(map[string]bool)
	for _, life := range generate(t, 3, 400) {
		last := time.Time{}
		for i, step := range life.Steps {
			d := step.Draft
			types[d.Type] = true
			if err := d.Validate(); err != nil {
				t.Fatalf("%s: step %d: %v", life.Stream, i, err)
			}
			if seen[d.ID] || step.Cause >= i || step.Cause < 0 != (i == 0) || d.OccurredAt.Before(last) {
				t.Fatalf("%s: step %d repeats an id, precedes its cause or goes back in time", life.Stream, i)
			}
			seen[d.ID], last = true, d.OccurredAt
		}
	}
	if len(types) != 9 {
		t.Errorf("only these types occur: %v", types)
	}
}

func openMemory(t *testing.T) *lethe.Store {
	t.Helper()
	store, err := lethe.Open(t.Context(), memory.Open(memory.Options{}), kms.None, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// events are all events of a store.
func events(t *testing.T, s *lethe.Store) (all []event.Event) {
	t.Helper()
	for e, err := range s.As(event.Actor{}).Query(t.Context(), lethe.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestPlayingAgainAddsNothing(t *testing.T) {
	lives := generate(t, 5, 40)
	store := openMemory(t)
	first, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives)
	if err != nil {
		t.Fatal(err)
	}
	second, err := demo.PlayAll(t.Context(), store.As(event.Actor{Kind: "employee", ID: "99"}), lives)
	if err != nil {
		t.Fatal(err)
	}
	want := demo.Played{Events: first.Events, Repeated: first.Events, Last: first.Last}
	if diff := cmp.Diff(want, second); diff != "" {
		t.Error(diff)
	}
	if n := len(events(t, store)); n != first.Events {
		t.Errorf("the log has %d events after %d were appended", n, first.Events)
	}
}

// known finds lives by stream, and holds what is in a log against them.
type known map[event.StreamID]demo.Life

func knownOf(lives []demo.Life) known {
	all := make(known)
	for _, life := range lives {
		all[life.Stream] = life
	}
	return all
}

// check compares an event with the step that it is of.
func (k known) check(t *testing.T, e event.Event) {
	t.Helper()
	life, ok := k[e.Stream]
	if !ok || int(e.Version) > len(life.Steps) {
		t.Fatalf("%s at version %d is of no life", e.Stream, e.Version)
	}
	step := life.Steps[e.Version-1]
	issuer := event.Actor{Kind: "employee", ID: step.Actor}.Issuer()
	if e.ID != step.Draft.ID || len(e.Relations) != 1 || e.Relations[0] != issuer {
		t.Errorf("%s at version %d is %s by %v", e.Stream, e.Version, e.Type, e.Relations)
	}
	cause := event.ID{}
	if step.Cause >= 0 {
		cause = life.Steps[step.Cause].Draft.ID
	}
	if e.Causation != cause || e.Correlation != life.Steps[0].Draft.ID.String() {
		t.Errorf("%s at version %d is caused by %s in %s", e.Stream, e.Version, e.Causation, e.Correlation)
	}
}

func TestEventsAreTheSteps(t *testing.T) {
	lives := generate(t, 5, 40)
	store, want := openMemory(t), knownOf(lives)
	if _, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives); err != nil {
		t.Fatal(err)
	}
	for _, e := range events(t, store) {
		want.check(t, e)
	}
}

// stepped is a clock that passes each wait at once, and ends the play when it was asked for the last one.
type stepped struct {
	now   time.Time
	left  int
	end   context.CancelCauseFunc
	sleep time.Duration // passes once more, when Now is asked
	waits []time.Duration
}

var errEnd = errors.New("the test has seen enough")

func (c *stepped) Now() time.Time {
	c.now, c.sleep = c.now.Add(c.sleep), 0
	return c.now
}

func (c *stepped) After(d time.Duration) <-chan time.Time {
	c.waits = append(c.waits, d)
	if c.left--; c.left == 0 {
		c.end(errEnd)
		return nil
	}
	c.now = c.now.Add(d)
	passed := make(chan time.Time, 1)
	passed <- c.now
	return passed
}

// watch plays on a store until n events were tried.
func watch(t *testing.T, s *lethe.Store, n int, o demo.Options) *stepped {
	t.Helper()
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	clock := &stepped{now: time.UnixMicro(0), left: n, end: end}
	o.Clock = clock
	if err := demo.Play(ctx, s.As(event.Actor{}), o); !errors.Is(err, errEnd) {
		t.Fatalf("the play ended with %v", err)
	}
	return clock
}

func TestPlayIsDeterministic(t *testing.T) {
	var logs [2][]event.Event
	for i := range logs {
		store := openMemory(t)
		watch(t, store, 300, demo.Options{Seed: 4})
		logs[i] = events(t, store)
		for j := range logs[i] {
			logs[i][j].RecordedAt, logs[i][j].Leaf = time.Time{}, [32]byte{}
		}
	}
	if diff := cmp.Diff(logs[0], logs[1]); diff != "" {
		t.Errorf("one seed played twice:\n%s", diff)
	}
	want := knownOf(generate(t, 4, 300))
	for _, e := range logs[0] {
		want.check(t, e)
	}
}

// TestSeveralAreAlive: what follows an event is mostly an event of another application.
func TestSeveralAreAlive(t *testing.T) {
	store := openMemory(t)
	watch(t, store, 400, demo.Options{Seed: 1, Alive: 8})
	lives := knownOf(generate(t, 1, 400))
	open, most, changes := make(map[event.StreamID]bool), 0, 0
	var before event.StreamID
	for _, e := range events(t, store) {
		open[e.Stream] = true
		if most = max(most, len(open)); e.Stream != before {
			changes++
		}
		if before = e.Stream; int(e.Version) == len(lives[e.Stream].Steps) {
			delete(open, e.Stream)
		}
	}
	if most != 8 || changes < 200 {
		t.Errorf("%d applications were alive at once, and the log changed %d times from one to another", most, changes)
	}
}

// TestPlayGoesOn: a later play finishes what an earlier one began, and repeats nothing.
func TestPlayGoesOn(t *testing.T) {
	store := openMemory(t)
	o := demo.Options{Seed: 2, Alive: 6}
	lives := generate(t, 2, 400)
	if _, err := demo.PlayAll(t.Context(), store.As(event.Actor{}), lives[:20]); err != nil {
		t.Fatal(err)
	}
	there := len(events(t, store))
	for i := 1; i <= 5; i++ {
		watch(t, store, 60, o)
		if n := len(events(t, store)); n != there+60*i {
			t.Fatalf("after play %d the log has %d events, want %d", i, n, there+60*i)
		}
	}
	want, open := knownOf(lives), make(map[event.StreamID]bool)
	for _, e := range events(t, store) {
		want.check(t, e)
		open[e.Stream] = int(e.Version) < len(want[e.Stream].Steps)
	}
	unfinished := 0
	for _, is := range open {
		if is {
			unfinished++
		}
	}
	if unfinished > o.Alive {
		t.Errorf("%d applications are unfinished, more than are alive at once", unfinished)
	}
}

// meddler is a clock during whose first wait somebody does something.
type meddler struct {
	*stepped
	meddle func()
}

func (m *meddler) After(d time.Duration) <-chan time.Time {
	if len(m.waits) == 0 {
		m.meddle()
	}
	return m.stepped.After(d)
}

// TestMeddlingMeanwhile: an append that finds another version than the play left ends that life alone.
func TestMeddlingMeanwhile(t *testing.T) {
	store := openMemory(t)
	session := store.As(event.Actor{})
	lives := generate(t, 1, 400)
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	clock := &meddler{stepped: &stepped{now: time.UnixMicro(0), left: 60, end: end}}
	clock.meddle = func() {
		for _, life := range lives[:3] {
			if _, err := session.Append(ctx, life.Stream, event.Any, event.Draft{Type: "Note"}); err != nil {
				t.Error(err)
			}
		}
	}
	o := demo.Options{Seed: 1, Alive: 3, Clock: clock}
	if err := demo.Play(ctx, session, o); !errors.Is(err, errEnd) {
		t.Fatalf("the play ended with %v", err)
	}
	notes, steps := make(map[event.StreamID]bool), 0
	for _, e := range events(t, store) {
		switch {
		case e.Type == "Note":
			notes[e.Stream] = true
		case notes[e.Stream]:
			t.Errorf("%s goes on at version %d", e.Stream, e.Version)
		default:
			steps++
		}
	}
	if len(notes) != 3 || steps != 60-3 { // each of the three lives fails once
		t.Errorf("%d lives were meddled with, and %d steps appended", len(notes), steps)
	}
}

// TestMeddling: a stream in which somebody else has written is left alone, and the play goes on.
func TestMeddling(t *testing.T) {
	store := openMemory(t)
	session := store.As(event.Actor{})
	lives := generate(t, 1, 400)
	foreign := func(life int) {
		if _, err := session.Append(t.Context(), lives[life].Stream, event.Any, event.Draft{Type: "Note"}); err != nil {
			t.Fatal(err)
		}
	}
	foreign(0) // before its life began
	watch(t, store, 30, demo.Options{Seed: 1, Alive: 4})
	last := events(t, store)
	stream := last[len(last)-1].Stream
	if err := session.CloseStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	versions := func() map[event.StreamID]event.Version {
		all := make(map[event.StreamID]event.Version)
		for _, e := range events(t, store) {
			all[e.Stream] = e.Version
		}
		return all
	}
	before := versions()
	watch(t, store, 100, demo.Options{Seed: 1, Alive: 4})
	after := versions()
	if after[lives[0].Stream] != 1 || after[stream] != before[stream] || len(after) < len(before)+5 {
		t.Errorf("the streams went from %v to %v", before, after)
	}
}

func TestPace(t *testing.T) {
	for _, test := range []struct {
		rate float64
		wait time.Duration
	}{{0, 200 * time.Millisecond}, {1, time.Second}, {250, 4 * time.Millisecond}, {0.001, 1000 * time.Second}} {
		for _, d := range watch(t, openMemory(t), 20, demo.Options{Rate: test.rate}).waits {
			if d != test.wait {
				t.Errorf("at rate %g it waits %s, want %s", test.rate, d, test.wait)
			}
		}
	}
}

// TestNoBurst: what a machine missed while it slept is not made up for; a short delay is.
func TestNoBurst(t *testing.T) {
	for sleep, want := range map[time.Duration]time.Duration{
		time.Hour:              100 * time.Millisecond,
		140 * time.Millisecond: 60 * time.Millisecond,
	} {
		ctx, end := context.WithCancelCause(t.Context())
		clock := &stepped{now: time.UnixMicro(0), left: 3, end: end}
		slow := &sleeper{stepped: clock, sleep: sleep}
		err := demo.Play(ctx, openMemory(t).As(event.Actor{}), demo.Options{Rate: 10, Clock: slow})
		if end(nil); !errors.Is(err, errEnd) || clock.waits[1] != want {
			t.Errorf("after %s it waits %v, want %s (%v)", sleep, clock.waits, want, err)
		}
	}
}

// sleeper is a clock on which more time than was waited for passes after the first wait.
type sleeper struct {
	*stepped
	sleep time.Duration
}

func (s *sleeper) After(d time.Duration) <-chan time.Time {
	if len(s.waits) == 0 {
		defer func() { s.stepped.sleep = s.sleep }()
	}
	return s.stepped.After(d)
}

func TestPlayRefuses(t *testing.T) {
	session := openMemory(t).As(event.Actor{})
	for _, o := range []demo.Options{
		{Rate: -1}, {Rate: 0.0001}, {Rate: 10_001}, {Rate: math.NaN()}, {Rate: math.Inf(1)}, {Alive: -1}, {Alive: 10_001},
	} {
		if err := demo.Play(t.Context(), session, o); event.Code(err) != "malformed_number" {
			t.Errorf("%+v gives %v", o, err)
		}
	}
}

func TestPlayEnds(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	end(errEnd)
	if err := demo.Play(ctx, openMemory(t).As(event.Actor{}), demo.Options{}); !errors.Is(err, errEnd) {
		t.Errorf("with a context that has ended it gives %v", err)
	}
	closed := openMemory(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := demo.Play(t.Context(), closed.As(event.Actor{}), demo.Options{}); event.Code(err) != "unavailable" {
		t.Errorf("on a closed store it gives %v", err)
	}
}

// The first application of seed 1, from its registration to its end.
func ExampleGenerate() {
	lives, err := demo.Generate(1, 1)
	if err != nil {
		panic("the generator failed")
	}
	for _, step := range lives[0].Steps {
		fmt.Printf("employee/%-4s %-21s %s\n", step.Actor, step.Draft.Type, step.Draft.Data)
	}
	// Output:
	// employee/112  ApplicationRegistered {"amount":2000,"purpose":"studies"}
	// employee/112  ApplicationSubmitted  {}
	// employee/112  CreditScored          {"score":498}
	// employee/14   DocumentsChecked      {"complete":true}
	// employee/14   ApplicationDeclined   {"reason":"documents"}
}
