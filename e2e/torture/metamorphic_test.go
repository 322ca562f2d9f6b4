package torture_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pgtest"
)

// TestMetamorphic runs random programmes of every operation on memory, on SQLite, and some of them on PostgreSQL: every
// answer is the same, down to ids, leaves and error codes. A failing programme is printed with the flag that runs it
// again.
func TestMetamorphic(t *testing.T) {
	t.Parallel()
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set(strconv.Itoa(scale(t, "LETHE_PROGRAMMES", 500))); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := checks.Value.Set(before); err != nil {
			t.Error(err)
		}
	}()
	dir, n, third := t.TempDir(), 0, 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		folder := filepath.Join(dir, strconv.Itoa(n))
		p := drawProgramme(r)
		worlds := []*world{memoryWorld(p.seed, p.batch), sqliteWorld(p.seed, folder, p.batch, p.flush)}
		if p.third {
			third++
			worlds = append(worlds, postgresWorld(p.seed, pgtest.Place(t), p.batch, p.flush))
		}
		if err := p.compare(t.Context(), worlds...); err != nil {
			r.Fatal(err)
		}
		if err := os.RemoveAll(folder); err != nil {
			r.Fatal(err)
		}
	})
	t.Logf("%d programmes, %d of them on PostgreSQL too: 0 differences", n, third)
	if third == 0 {
		t.Error("no programme ran on PostgreSQL")
	}
}

// programme is what is done in two worlds or three.
type programme struct {
	seed         uint64
	batch, flush int
	third        bool // on PostgreSQL too
	deeds        []deed
}

func drawProgramme(r *rapid.T) *programme {
	p := &programme{
		seed:  rapid.Uint64().Draw(r, "seed"),
		batch: rapid.SampledFrom([]int{0, 3}).Draw(r, "batch"),
		flush: rapid.SampledFrom([]int{7, 7, 0}).Draw(r, "flush"),
		third: rapid.SampledFrom([]int{3, 2, 2, 2, 2, 2, 2, 2, 2, 2}).Draw(r, "engines") == 3,
	}
	draw := &programmer{r: r}
	for range rapid.IntRange(1, 40).Draw(r, "steps") {
		p.deeds = append(p.deeds, draw.deed())
	}
	return p
}

// compare runs the programme in all worlds and says where one differs from the first.
func (p *programme) compare(ctx context.Context, worlds ...*world) (err error) {
	for _, w := range worlds {
		if err := w.reopen(ctx); err != nil {
			return fmt.Errorf("open %s: %w", w.name, err)
		}
		defer func() { err = errors.Join(err, w.close()) }()
	}
	for _, d := range append(p.deeds, deed{"in the end", func(ctx context.Context, w *world) string {
		return w.everything(ctx)
	}}) {
		want := d.do(ctx, worlds[0])
		for _, w := range worlds[1:] {
			if diff := cmp.Diff(want, d.do(ctx, w)); diff != "" {
				return fmt.Errorf("%s on %s:\n%s", d.name, w.name, diff)
			}
		}
	}
	for _, w := range worlds {
		if _, err := inspect(ctx, w.engine); err != nil {
			return fmt.Errorf("inspect %s: %w", w.name, err)
		}
	}
	return nil
}

// programmer draws the steps of a programme.
type programmer struct {
	r    *rapid.T
	past []log.Request // that had ids of their own
	head int           // about how many events there are
}

func (p *programmer) deed() deed {
	draws := []func() deed{
		p.append, p.append, p.append, p.append, p.appendEach, p.repeat, p.life, p.age, p.read, p.query, p.query,
		p.list, p.find, p.subscribe, p.checkpoint, p.reopen,
	}
	return rapid.SampledFrom(draws).Draw(p.r, "deed")()
}

func (p *programmer) pick(what string, values ...string) string {
	return rapid.SampledFrom(values).Draw(p.r, what)
}

func (p *programmer) number(what string, from, to int) int {
	return rapid.IntRange(from, to).Draw(p.r, what)
}

func (p *programmer) chance(what string, of int) bool { return p.number(what, 1, of) == 1 }

func (p *programmer) stream() event.StreamID {
	if p.chance("odd stream", 60) {
		return event.Stream(p.pick("kind", "a", "lethe", ""), p.pick("id", "x@y.example", "streams", "1"))
	}
	return event.Stream(p.pick("kind", "a", "a", "b"), p.pick("id", "1", "2", "3"))
}

func (p *programmer) id() event.ID {
	return event.ID{8: 0x80, 15: byte(p.number("id", 1, 60))}
}

func (p *programmer) draft() event.Draft {
	d := event.Draft{Type: p.pick("type", "T0", "T1", "T2", "T3")}
	if p.chance("own id", 3) {
		d.ID = p.id()
	}
	d.Data = []byte(p.pick("data", "", "{}", `{"a":1}`, `{ "a": [true, null], "b": "ü" }`))
	if p.chance("bad data", 60) {
		d.Data = []byte(p.pick("data", "[]", `{"a":1,"a":2}`, "{"))
	}
	for range p.number("relations", 0, 3) {
		d.Relations = append(d.Relations, p.relation("owner", "issuer"))
	}
	if p.chance("metadata", 2) {
		d.Metadata = map[string]string{p.pick("key", "channel", "branch", "other"): p.pick("value", "x", "y", "")}
	}
	if p.chance("correlation", 3) {
		d.Correlation = p.pick("correlation", "c1", "c2")
	}
	if p.chance("causation", 4) {
		d.Causation = p.id()
	}
	if p.chance("occurred", 4) {
		d.OccurredAt = time.Unix(int64(p.number("occurred", -5, 5)), 123_456_789)
	}
	return d
}

func (p *programmer) relation(roles ...string) event.Relation {
	role := p.pick("role", roles...)
	return event.Relation{Role: role, Kind: p.pick("kind", "person", "thing"), ID: p.pick("id", "1", "2")}
}

func (p *programmer) filter() event.Filter {
	var f event.Filter
	for range p.number("alternatives", 0, 2) {
		var m event.Match
		if p.chance("by type", 2) {
			m.Types = rapid.SliceOfN(rapid.SampledFrom([]string{"T0", "T1", "T2", "Never"}), 1, 2).Draw(p.r, "types")
		}
		if p.chance("by kind", 4) {
			m.Kinds = []string{p.pick("kind", "a", "b", "lethe", "c")}
		}
		if p.chance("by stream", 4) {
			m.Stream = p.stream()
		}
		for range p.number("by relation", 0, 2) / 2 {
			m.Relations = append(m.Relations, p.relation("", "owner", "issuer"))
		}
		if p.chance("by metadata", 6) {
			m.Metadata = map[string]string{p.pick("key", "channel", "branch", "other"): p.pick("value", "x", "y")}
		}
		if p.chance("by correlation", 6) {
			m.Correlation = p.pick("correlation", "c1", "c2")
		}
		if p.chance("by causation", 8) {
			m.Causation = p.id()
		}
		f = append(f, m)
	}
	return f
}

func (p *programmer) request() log.Request {
	var req log.Request
	for range 1 + p.number("second stream", 0, 3)/3 {
		w := log.Write{Stream: p.stream(), Expected: event.Any}
		if p.chance("expected", 2) {
			w.Expected = event.Expected(p.number("version", -2, 9))
		}
		for range p.number("events", 1, 3) {
			w.Events = append(w.Events, p.draft())
			p.head++
		}
		req.Writes = append(req.Writes, w)
	}
	if p.chance("condition", 4) {
		req.Condition = &event.Condition{Filter: p.filter(), After: event.Position(p.number("after", 0, p.head+1))}
	}
	p.past = append(p.past, req)
	return req
}

func (p *programmer) actor() event.Actor {
	if p.chance("actor", 3) {
		return event.Actor{Kind: "person", ID: event.ActorID(p.pick("id", "1", "2"))}
	}
	return event.Actor{}
}

func (p *programmer) append() deed {
	req, actor := p.request(), p.actor()
	return deed{"append", func(ctx context.Context, w *world) string {
		return showResult(w.store.As(actor).AppendAll(ctx, clone(req)))
	}}
}

// clone lets each world have drafts of its own.
func clone(req log.Request) log.Request {
	req.Writes = slices.Clone(req.Writes)
	for i := range req.Writes {
		req.Writes[i].Events = slices.Clone(req.Writes[i].Events)
	}
	return req
}

func (p *programmer) appendEach() deed {
	var requests []log.Request
	for range p.number("requests", 1, 8) {
		requests = append(requests, p.request())
	}
	return deed{"append each", func(ctx context.Context, w *world) string {
		own := slices.Clone(requests)
		for i := range own {
			own[i] = clone(own[i])
		}
		answers := ""
		for _, o := range w.store.As(event.Actor{}).AppendEach(ctx, own) {
			answers += showResult(o.Result, o.Err) + "\n"
		}
		return answers
	}}
}

// repeat appends something again, exactly or with a change.
func (p *programmer) repeat() deed {
	if len(p.past) == 0 {
		return p.append()
	}
	req := clone(p.past[p.number("which", 0, len(p.past)-1)])
	switch p.number("change", 0, 3) {
	case 1:
		req.Writes[0].Events[0].Type = "T3"
	case 2:
		req.Writes[0].Expected = event.Any
	}
	return deed{"repeat", func(ctx context.Context, w *world) string {
		return showResult(w.store.As(event.Actor{}).AppendAll(ctx, clone(req)))
	}}
}

// life closes or truncates a stream.
func (p *programmer) life() deed {
	s, version, actor := p.stream(), event.Version(p.number("before", 0, 9)), p.actor()
	if p.chance("close", 4) {
		return deed{"close", func(ctx context.Context, w *world) string {
			return shown(w.store.As(actor).CloseStream(ctx, s))
		}}
	}
	return deed{"truncate", func(ctx context.Context, w *world) string {
		return shown(w.store.As(actor).TruncateStream(ctx, s, version))
	}}
}

// age lets time pass, limits ages, or enforces the limits.
func (p *programmer) age() deed {
	d := time.Duration(p.number("seconds", 0, 20)) * time.Second
	kind := p.pick("kind", "a", "b", "lethe")
	switch p.number("age", 0, 2) {
	case 0:
		return deed{"let time pass", func(_ context.Context, w *world) string { w.clock.step(d); return "" }}
	case 1:
		return deed{"set max age", func(ctx context.Context, w *world) string {
			err := w.store.As(event.Actor{}).SetMaxAge(ctx, kind, d)
			ages, also := w.store.MaxAges(ctx)
			return fmt.Sprint(shown(err), ages, shown(also))
		}}
	}
	return deed{"expire", func(ctx context.Context, w *world) string {
		n, err := w.store.As(event.Actor{}).Expire(ctx)
		return fmt.Sprint(n, shown(err))
	}}
}

func (p *programmer) read() deed {
	s := p.stream()
	r := lethe.Range{From: event.Version(p.number("from", 0, 9)), To: event.Version(p.number("to", 0, 12)),
		Backward: p.chance("backward", 2), Limit: p.number("limit", 0, 5), Pruned: p.chance("pruned", 2)}
	return deed{fmt.Sprintf("read %s %+v", s, r), func(ctx context.Context, w *world) string {
		return showEvents(w.store.As(event.Actor{}).Read(ctx, s, r))
	}}
}

func (p *programmer) query() deed {
	q := lethe.Query{Filter: p.filter(), Backward: p.chance("backward", 2), Limit: p.number("limit", 0, 5),
		Pruned: p.chance("pruned", 2)}
	if p.chance("range", 2) {
		q.From, q.To = event.Position(p.number("from", 0, p.head+2)), event.Position(p.number("to", 0, p.head+2))
	}
	if p.chance("times", 4) {
		began := newStepClock().Now()
		q.Since = began.Add(time.Duration(p.number("since", 0, 30)) * time.Second)
		q.Until = q.Since.Add(time.Duration(p.number("until", 0, 30)) * time.Second)
	}
	return deed{fmt.Sprintf("query %+v", q), func(ctx context.Context, w *world) string {
		return showEvents(w.store.As(event.Actor{}).Query(ctx, q))
	}}
}

func (p *programmer) list() deed {
	q := storage.StreamQuery{Kind: p.pick("kind", "", "a", "b", "lethe", "c"), Limit: p.number("limit", 0, 4),
		Pending: p.chance("pending", 4)}
	if p.chance("after", 2) {
		q.After = p.stream()
	}
	return deed{fmt.Sprintf("list %+v", q), func(ctx context.Context, w *world) string {
		streams, err := w.store.Streams(ctx, q)
		return fmt.Sprint(streams, shown(err))
	}}
}

func (p *programmer) find() deed {
	id := p.id()
	return deed{"find " + id.String(), func(ctx context.Context, w *world) string {
		e, err := w.store.As(event.Actor{}).Event(ctx, id)
		return showEvents(func(yield func(event.Event, error) bool) { yield(e, err) })
	}}
}

// subscribe reads until it is live, from somewhere, also from beyond the end or from another life.
func (p *programmer) subscribe() deed {
	f, after := p.filter(), event.Position(p.number("after", 0, p.head+2))
	life := event.Incarnation(p.number("life", 0, 20) / 20)
	return deed{fmt.Sprintf("subscribe %+v after %d", f, after), func(ctx context.Context, w *world) string {
		cursor := w.store.Cursor(after)
		cursor.Incarnation += life
		answers := ""
		for batch, err := range w.store.As(event.Actor{}).Batches(ctx, f, cursor) {
			answers += showEvents(func(yield func(event.Event, error) bool) {
				for _, e := range batch.Events {
					yield(e, nil)
				}
			})
			if err != nil || batch.Live {
				return answers + shown(err) + batch.Cursor.String()
			}
		}
		return answers
	}}
}

func (p *programmer) checkpoint() deed {
	name, stale, at := p.pick("follower", "f1", "f2"), p.chance("stale", 3), event.Position(p.number("at", 0, 50))
	note := []byte(p.pick("note", "", "n"))
	return deed{"checkpoint", func(ctx context.Context, w *world) string {
		from, err := w.engine.Checkpoint(ctx, name)
		if stale {
			from.Revision++
		}
		to, also := w.engine.Advance(ctx, name, from, storage.Checkpoint{Cursor: w.store.Cursor(at), Note: note})
		return fmt.Sprint(from, shown(err), to, shown(also))
	}}
}

func (p *programmer) reopen() deed {
	return deed{"reopen", func(ctx context.Context, w *world) string { return shown(w.reopen(ctx)) }}
}
