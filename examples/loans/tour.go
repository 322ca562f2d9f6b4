package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/kms/localkms"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/schema"
	"github.com/lethe-es/lethe/schema/jsonschema"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

// tour is one demonstration: each of its methods is a step, and says what it did and how long it took.
type tour struct {
	w       io.Writer
	dir     string // of the store, and its wrapped keys
	keys    string // of the root keys: elsewhere, so that a copy of the store opens nothing
	options Options
	clock   event.Clock

	engine  *sqlite.Store
	service *localkms.KMS
	store   *lethe.Store
	lives   []demo.Life
	report  *Report
	head    event.Position
	root    ledger.Hash
}

func (t *tour) run(ctx context.Context) (err error) {
	fmt.Fprintf(t.w, "\n  Lethe · %d loan applications, seed %d\n\n", t.options.Applications, t.options.Seed)
	if err := t.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.closeStore()) }()
	for _, step := range []func(context.Context) error{
		t.appendAndFollow, t.reveal, t.restrict, t.ask, t.explain, t.show, t.prove, t.reopen,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// say writes one line of the demonstration: which step, what it came to, and what it took since start.
func (t *tour) say(step string, start time.Time, format string, args ...any) {
	took := t.clock.Now().Sub(start)
	fmt.Fprintf(t.w, "  %-8s %-78s %8.1f ms\n", step, fmt.Sprintf(format, args...), float64(took.Microseconds())/1000)
}

func (t *tour) open(ctx context.Context) error {
	start := t.clock.Now()
	if err := t.openStore(ctx); err != nil {
		return err
	}
	err := demo.Declare(ctx, t.store)
	if err != nil {
		return errors.Join(err, t.closeStore())
	}
	head, err := t.store.Head(ctx)
	if err != nil {
		return errors.Join(err, t.closeStore())
	}
	t.say("open", start, "a store on embedded SQLite, with %s events", thousands(int(head.Position)))
	return nil
}

// openStore opens log, keystore and key service. A store closes the first two.
func (t *tour) openStore(ctx context.Context) (err error) {
	if t.service, err = localkms.Open(ctx, t.keys, nil); err != nil {
		return err
	}
	if t.engine, err = sqlite.Open(ctx, t.dir, nil); err != nil {
		return errors.Join(err, t.service.Close())
	}
	keystore, err := sqlitekeys.Open(ctx, t.dir, nil)
	if err != nil {
		return errors.Join(err, t.engine.Close(), t.service.Close())
	}
	o := &lethe.Options{Keystore: keystore, Notations: []schema.Notation{jsonschema.New()}, Code: "examples/loans"}
	if t.store, err = lethe.Open(ctx, t.engine, t.service, o); err != nil {
		return errors.Join(err, keystore.Close(), t.engine.Close(), t.service.Close())
	}
	return nil
}

func (t *tour) closeStore() error { return errors.Join(t.store.Close(), t.service.Close()) }

// appendAndFollow plays the lives while a follower reads along.
func (t *tour) appendAndFollow(ctx context.Context) (err error) {
	if t.lives, err = demo.Generate(t.options.Seed, t.options.Applications); err != nil {
		return err
	}
	t.lives = demo.WithPeople(t.lives)
	t.report = NewReport()
	checkpoints := memory.Open(memory.Options{}) // what is derived in memory keeps its checkpoint there, too
	following, stop := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() {
		err := follow.Run(following, t.store.As(event.Actor{}), checkpoints, t.report, nil)
		stop(err)
		ended <- err
	}()
	err = t.appendAll(following)
	stop(nil)
	if end := <-ended; err == nil && !errors.Is(end, context.Canceled) {
		err = end
	}
	return err
}

func (t *tour) appendAll(ctx context.Context) error {
	start := t.clock.Now()
	played, err := demo.PlayAll(ctx, t.store.As(event.Actor{}), t.lives)
	if err != nil {
		return err
	}
	seconds := t.clock.Now().Sub(start).Seconds()
	t.say("append", start, "%s events from %d desks, each durable before the next: %s per second",
		thousands(played.Events), demo.Desks, thousands(int(float64(played.Events)/seconds)))
	if played.Repeated > 0 {
		fmt.Fprintf(t.w, "           (%s of them were there already, so they were not added again)\n",
			thousands(played.Repeated))
	}
	start = t.clock.Now()
	if err := t.report.Reached(ctx, played.Last); err != nil {
		return err
	}
	t.say("follow", start, "a report read along meanwhile; after the last append it was complete in another")
	return nil
}

// ask puts a question to the index.
func (t *tour) ask(ctx context.Context) error {
	start := t.clock.Now()
	issuer := event.Relation{Role: event.RoleIssuer, Kind: demo.Employee, ID: string(demo.System)}
	declined := event.Match{Types: []string{demo.Declined}, Relations: []event.Relation{issuer}}
	found, err := query(ctx, t.store.As(program), declined)
	if err != nil {
		return err
	}
	t.say("query", start, "%s with type %s: %s events", issuer, demo.Declined, thousands(len(found)))
	return nil
}

func query(ctx context.Context, s *lethe.Session, m event.Match) ([]event.Event, error) {
	var found []event.Event
	for e, err := range s.Query(ctx, lethe.Query{Filter: event.Filter{m}}) {
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}

// explain shows one application as a tree of causes.
func (t *tour) explain(ctx context.Context) error {
	start := t.clock.Now()
	life := t.interesting()
	found, err := query(ctx, t.staffing(), event.Match{Correlation: life.Steps[0].Draft.Correlation})
	if err != nil {
		return err
	}
	t.say("query", start, "all that followed from registering %s: %d events, by cause", life.Stream, len(found))
	fmt.Fprintln(t.w)
	printCauses(t.w, found)
	return nil
}

// interesting is the first life that is neither too short nor too long to show and ends well, or simply the first.
func (t *tour) interesting() *demo.Life {
	for i := range t.lives {
		steps := t.lives[i].Steps
		if n := len(steps); n >= 7 && n <= 8 && steps[n-1].Draft.Type == demo.Accepted {
			return &t.lives[i]
		}
	}
	return &t.lives[0]
}

// show prints the report. It knows employees by their aliases, which are looked up for this once.
func (t *tour) show(ctx context.Context) error {
	system, err := t.system(ctx)
	if err != nil {
		return err
	}
	summary, err := t.name(ctx, t.report.Summary(system))
	if err != nil {
		return err
	}
	fmt.Fprintln(t.w)
	summary.Print(t.w)
	fmt.Fprintln(t.w)
	return nil
}

// prove hashes every stored event again and compares the result with the tree that the appends built.
func (t *tour) prove(ctx context.Context) error {
	start := t.clock.Now()
	proof, err := log.Verify(ctx, t.engine, nil)
	if err != nil {
		return err
	}
	if !proof.OK() {
		return event.Errorf(event.ErrCorrupt, "verify log: at position %d: %s",
			proof.Findings[0].Position, proof.Findings[0].Cause)
	}
	t.head, t.root = event.Position(proof.Events), proof.Root
	t.say("verify", start, "%s events hashed again: their Merkle root is %x…", thousands(int(proof.Events)), t.root[:8])
	return nil
}

// reopen closes the store, searches its files, opens it again and reads everything anew.
func (t *tour) reopen(ctx context.Context) error {
	if err := t.closeStore(); err != nil {
		return err
	}
	if err := t.search(ctx); err != nil {
		return err
	}
	start := t.clock.Now()
	if err := t.openStore(ctx); err != nil {
		return err
	}
	fresh := NewReport()
	read, err := query(ctx, t.store.As(program), fresh.Filter()[0])
	if err != nil {
		return err
	}
	fresh.Take(read...)
	head, err := t.store.Head(ctx)
	if err != nil {
		return err
	}
	frontier, err := ledger.ParseFrontier(head.Frontier)
	if err != nil {
		return err
	}
	same := reflect.DeepEqual(fresh.Summary(""), t.report.Summary(""))
	if head.Position != t.head || frontier.Root() != t.root || !same {
		return event.Errorf(event.ErrCorrupt, "reopen store: position, root or report is not what it was")
	}
	t.say("reopen", start, "closed, opened, read again: position %s, the same root, the same report",
		thousands(int(head.Position)))
	return nil
}

// thousands writes a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}
