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
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage/memory"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// demo is one demonstration: each of its methods is a step, and says what it did and how long it took.
type demo struct {
	w       io.Writer
	dir     string
	options Options
	clock   event.Clock

	engine *sqlite.Store
	store  *lethe.Store
	lives  []Life
	report *Report
	head   event.Position
	root   ledger.Hash
}

func (d *demo) run(ctx context.Context) (err error) {
	fmt.Fprintf(d.w, "\n  Lethe · %d loan applications, seed %d\n\n", d.options.Applications, d.options.Seed)
	if err := d.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.store.Close()) }()
	for _, step := range []func(context.Context) error{d.appendAndFollow, d.ask, d.explain, d.show, d.prove, d.reopen} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// say writes one line of the demonstration: which step, what it came to, and what it took since start.
func (d *demo) say(step string, start time.Time, format string, args ...any) {
	took := d.clock.Now().Sub(start)
	fmt.Fprintf(d.w, "  %-8s %-78s %8.1f ms\n", step, fmt.Sprintf(format, args...), float64(took.Microseconds())/1000)
}

func (d *demo) open(ctx context.Context) error {
	start := d.clock.Now()
	if err := d.openStore(ctx); err != nil {
		return err
	}
	head, err := d.store.Head(ctx)
	if err != nil {
		return errors.Join(err, d.store.Close())
	}
	d.say("open", start, "a store on embedded SQLite, with %s events", thousands(int(head.Position)))
	return nil
}

func (d *demo) openStore(ctx context.Context) (err error) {
	if d.engine, err = sqlite.Open(ctx, d.dir, nil); err != nil {
		return err
	}
	if d.store, err = lethe.Open(ctx, d.engine, kms.None, nil); err != nil {
		return errors.Join(err, d.engine.Close())
	}
	return nil
}

// appendAndFollow plays the lives while a follower reads along.
func (d *demo) appendAndFollow(ctx context.Context) (err error) {
	if d.lives, err = Generate(d.options.Seed, d.options.Applications); err != nil {
		return err
	}
	d.report = NewReport()
	checkpoints := memory.Open(memory.Options{}) // what is derived in memory keeps its checkpoint there, too
	following, stop := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() {
		err := follow.Run(following, d.store.As(event.Actor{}), checkpoints, d.report, nil)
		stop(err)
		ended <- err
	}()
	err = d.appendAll(following)
	stop(nil)
	if end := <-ended; err == nil && !errors.Is(end, context.Canceled) {
		err = end
	}
	return err
}

func (d *demo) appendAll(ctx context.Context) error {
	start := d.clock.Now()
	played, err := Play(ctx, d.store, d.lives)
	if err != nil {
		return err
	}
	seconds := d.clock.Now().Sub(start).Seconds()
	d.say("append", start, "%s events from %d desks, each durable before the next: %s per second",
		thousands(played.Events), desks, thousands(int(float64(played.Events)/seconds)))
	if played.Repeated > 0 {
		fmt.Fprintf(d.w, "           (%s of them were there already, so they were not added again)\n",
			thousands(played.Repeated))
	}
	start = d.clock.Now()
	if err := d.report.Reached(ctx, played.Last); err != nil {
		return err
	}
	d.say("follow", start, "a report read along meanwhile; after the last append it was complete in another")
	return nil
}

// ask puts a question to the index.
func (d *demo) ask(ctx context.Context) error {
	start := d.clock.Now()
	issuer := event.Relation{Role: event.RoleIssuer, Kind: "employee", ID: string(System)}
	found, err := d.query(ctx, event.Match{Types: []string{Declined}, Relations: []event.Relation{issuer}})
	if err != nil {
		return err
	}
	d.say("query", start, "%s with type %s: %s events", issuer, Declined, thousands(len(found)))
	return nil
}

func (d *demo) query(ctx context.Context, m event.Match) ([]event.Event, error) {
	var found []event.Event
	for e, err := range d.store.As(event.Actor{}).Query(ctx, lethe.Query{Filter: event.Filter{m}}) {
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}

// explain shows one application as a tree of causes.
func (d *demo) explain(ctx context.Context) error {
	start := d.clock.Now()
	life := d.interesting()
	found, err := d.query(ctx, event.Match{Correlation: life.Steps[0].Draft.Correlation})
	if err != nil {
		return err
	}
	d.say("query", start, "all that followed from registering %s: %d events, by cause", life.Stream, len(found))
	fmt.Fprintln(d.w)
	printCauses(d.w, found)
	return nil
}

// interesting is the first life that is neither too short nor too long to show and ends well, or simply the first.
func (d *demo) interesting() *Life {
	for i := range d.lives {
		steps := d.lives[i].Steps
		if n := len(steps); n >= 7 && n <= 8 && steps[n-1].Draft.Type == Accepted {
			return &d.lives[i]
		}
	}
	return &d.lives[0]
}

func (d *demo) show(context.Context) error {
	fmt.Fprintln(d.w)
	d.report.Summary().Print(d.w)
	fmt.Fprintln(d.w)
	return nil
}

// prove hashes every stored event again and compares the result with the tree that the appends built.
func (d *demo) prove(ctx context.Context) error {
	start := d.clock.Now()
	proof, err := log.Verify(ctx, d.engine, nil)
	if err != nil {
		return err
	}
	if !proof.OK() {
		return event.Errorf(event.ErrCorrupt, "verify log: at position %d: %s",
			proof.Findings[0].Position, proof.Findings[0].Cause)
	}
	d.head, d.root = event.Position(proof.Events), proof.Root
	d.say("verify", start, "%s events hashed again: their Merkle root is %x…", thousands(int(proof.Events)), d.root[:8])
	return nil
}

// reopen closes the store, opens it again and reads everything anew.
func (d *demo) reopen(ctx context.Context) error {
	start := d.clock.Now()
	if err := d.store.Close(); err != nil {
		return err
	}
	if err := d.openStore(ctx); err != nil {
		return err
	}
	fresh := NewReport()
	read, err := d.query(ctx, fresh.Filter()[0])
	if err != nil {
		return err
	}
	fresh.Take(read...)
	head, err := d.store.Head(ctx)
	if err != nil {
		return err
	}
	frontier, err := ledger.ParseFrontier(head.Frontier)
	if err != nil {
		return err
	}
	if head.Position != d.head || frontier.Root() != d.root || !reflect.DeepEqual(fresh.Summary(), d.report.Summary()) {
		return event.Errorf(event.ErrCorrupt, "reopen store: position, root or report is not what it was")
	}
	d.say("reopen", start, "closed, opened, read again: position %s, the same root, the same report",
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
