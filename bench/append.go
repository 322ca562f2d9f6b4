package bench

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// AppendResult is how a store takes events in.
type AppendResult struct {
	Run
	Machine
	Latency                  // of one append, as its caller waits for it
	Batch          int       `json:"batch"`
	Condition      Condition `json:"condition"`
	Streams        int       `json:"streams"`
	PayloadBytes   int       `json:"payload_bytes"`
	Relations      int       `json:"relations"`
	Appends        uint64    `json:"appends"`
	AppendsPer     float64   `json:"appends_per_second"`
	Bytes          Bytes     `json:"bytes_per_event"`
	*Disk                    // nil: of a store over the network
	*SealingResult           // nil: nothing is personal
}

// Disk is how the engine used its disk, and what that disk gives.
type Disk struct {
	Commits         uint64  `json:"commits"` // durable writes; callers who wait at the same time share one
	EventsPerCommit float64 `json:"events_per_commit"`
	*Raw                    // nil: the disk is elsewhere
}

// Append appends until o.Duration is over or o.Events are appended. Each client has streams of its own, so that no
// append fails.
func (b *Bench) Append(ctx context.Context, o Options) (*AppendResult, error) {
	o = o.defaults()
	if err := o.check(b); err != nil {
		return nil, err
	}
	o.Streams = max(o.Streams, o.Clients)
	var result *AppendResult
	err := b.with(ctx, &o, func(t *target) error {
		var err error
		if o.Personal == 0 { // otherwise the store must be new
			err = b.mayAppend(ctx, t)
		}
		if err != nil {
			return err
		}
		result, err = b.append(ctx, t, &o)
		return err
	})
	return result, err
}

func (b *Bench) append(ctx context.Context, t *target, o *Options) (*AppendResult, error) {
	people, err := b.people(ctx, t, o)
	if err != nil {
		return nil, err
	}
	before, err := t.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	committed := t.commits()
	m, err := b.appendAll(ctx, t, o)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // what was measured is told, also when it was ended early
	after, err := t.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	r := &AppendResult{
		Run: m.run("append", o.Clients), Machine: machine(), Latency: m.latency.latency(), Batch: o.Batch,
		Condition: o.Condition, Streams: o.Streams, PayloadBytes: o.Payload, Relations: o.Relations,
		Appends: m.steps, AppendsPer: per(float64(m.steps), m.elapsed.Seconds()),
		Bytes: bytesPerEvent(before, after, m.events, float64(o.Payload)), SealingResult: people,
	}
	if people != nil {
		data, err := people.weigh(ctx, t)
		if err != nil {
			return nil, err
		}
		r.Bytes.seal(data, people.Boxes.total())
	}
	if t.engine == nil {
		return r, nil
	}
	commits := t.commits() - committed
	r.Disk = &Disk{Commits: commits, EventsPerCommit: per(float64(m.events), float64(commits))}
	if m.events == 0 {
		return r, nil
	}
	each := max(r.Bytes.Total(), float64(o.Payload+2*hash)) // files grow by pages: of a few events nothing may be seen
	if b.Folder == "" {
		return r, nil
	}
	if r.Raw, err = b.raw(m.elapsed, r.EventsPerCommit, each); err != nil {
		return nil, fmt.Errorf("measure raw writes: %w", err)
	}
	r.RatioToRaw = per(r.EventsPer, r.RawEventsPer)
	return r, nil
}

// appendAll lets the clients append.
func (b *Bench) appendAll(ctx context.Context, t *target, o *Options) (*measured, error) {
	clients := make([]*appender, o.Clients)
	for c := range clients {
		clients[c] = newAppender(t, o, c)
	}
	var reserved atomic.Int64
	r := &race{bench: b, phase: "append", clients: o.Clients, duration: o.Duration, total: o.Events}
	r.step = func(ctx context.Context, c int) (int, error) {
		if n := reserved.Add(int64(o.Batch)); o.Events > 0 && n-int64(o.Batch) >= int64(o.Events) {
			return 0, errDone
		}
		err := clients[c].append(ctx)
		r.went(o.Batch)
		return o.Batch, err
	}
	return r.run(ctx)
}

// appender is one client: it goes round its streams and knows where each stands.
type appender struct {
	t         *target
	maker     *maker
	condition Condition
	streams   []state
	next      int
	seen      event.Position // how far it knows the log: up to its last append
}

type state struct {
	name    string
	version event.Version
}

func newAppender(t *target, o *Options, client int) *appender {
	a := &appender{t: t, maker: newMaker(o, client), condition: o.Condition, seen: t.start}
	for n := client; n < o.Streams; n += o.Clients {
		name := fmt.Sprintf("%s-%d", t.name(n), os.Getpid()) // another process may measure the same store
		a.streams = append(a.streams, state{name: name})
	}
	return a
}

func (a *appender) append(ctx context.Context) error {
	s := &a.streams[a.next]
	a.next = (a.next + 1) % len(a.streams)
	drafts := a.maker.next(s.name)
	write := log.Write{Stream: event.Stream(Kind, s.name), Expected: event.Any, Events: drafts}
	var condition *event.Condition
	switch a.condition {
	case Version:
		write.Expected = event.At(s.version)
	case Query:
		condition = &event.Condition{Filter: about(s.name, drafts[0].Relations), After: a.seen}
	}
	result, err := a.t.session.AppendAll(ctx, log.Request{Writes: []log.Write{write}, Condition: condition})
	if err != nil {
		return err
	}
	s.version, a.seen = result.Events[len(result.Events)-1].Version, result.Last()
	return nil
}

// about means the events about an entity: by the relation to it, or by its stream where events have no relations.
func about(name string, relations []event.Relation) event.Filter {
	if len(relations) == 0 {
		return event.Filter{{Stream: event.Stream(Kind, name)}}
	}
	return event.Filter{{Relations: []event.Relation{{Role: "affected", Kind: "application", ID: name}}}}
}
