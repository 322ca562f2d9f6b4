package bench

import (
	"context"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// ReadResult is how fast the log is scanned.
type ReadResult struct {
	Run
	Machine
	MBPer float64 `json:"mb_per_second"` // of data, 10⁶ bytes
	Scans uint64  `json:"scans"`         // that came to the end of the log
	Log   uint64  `json:"log_events"`
	*SealingResult
}

// Read scans the whole log, decoded, o.Clients times at once and again until o.Duration is over. With a purpose it
// opens what is sealed, and each batch is recorded before it is given out.
func (b *Bench) Read(ctx context.Context, o Options) (*ReadResult, error) {
	o = o.defaults()
	if err := o.check(b); err != nil {
		return nil, err
	}
	var result *ReadResult
	err := b.with(ctx, &o, func(t *target) error {
		people, err := b.people(ctx, t, &o)
		if err != nil {
			return err
		}
		if err := b.fill(ctx, t, &o, streamEvents); err != nil {
			return err
		}
		head, err := t.Head(ctx)
		if err != nil {
			return err
		}
		if o.Purpose != "" {
			t.session = t.As(reader).For(o.Purpose, "")
		}
		scans := make([]scan, o.Clients)
		for i := range scans {
			scans[i].personal = people != nil
		}
		r := &race{bench: b, phase: "read", clients: o.Clients, duration: o.Duration}
		r.step = func(ctx context.Context, c int) (int, error) { return scans[c].all(ctx, t, r.went) }
		m, err := r.run(ctx)
		if err != nil {
			return err
		}
		result = &ReadResult{Run: m.run("read", o.Clients), Machine: machine(), Log: uint64(head.Position),
			SealingResult: people}
		for i := range scans {
			result.MBPer += per(float64(scans[i].bytes)/1e6, m.elapsed.Seconds())
			result.Scans += scans[i].whole
			if people != nil {
				people.Opened += scans[i].opened
				people.Withheld += scans[i].withheld
			}
		}
		if people == nil {
			return nil
		}
		people.Purpose = o.Purpose
		_, err = people.weigh(context.WithoutCancel(ctx), t)
		return err
	})
	return result, err
}

// scan is what one client has read.
type scan struct {
	bytes, whole     uint64
	personal         bool
	opened, withheld uint64 // events of which everything personal was opened, or not
}

func (s *scan) all(ctx context.Context, t *target, went func(n int) (over bool)) (events int, err error) {
	for e, err := range t.session.Query(ctx, lethe.Query{}) {
		if err != nil {
			return events, err
		}
		s.bytes += uint64(len(e.Data))
		if s.personal && e.Stream.Kind == Kind {
			s.see(&e)
		}
		if events++; events%1024 == 0 && went(1024) {
			return events, nil
		}
	}
	s.whole++
	if events == 0 {
		return 0, errDone // an empty log is scanned once
	}
	return events, nil
}

// streamEvents is how many events a stream gets when a store is filled.
const streamEvents = 100

// StreamResult is how fast single streams are loaded.
type StreamResult struct {
	Run
	Machine
	Latency           // of one load
	Loads     uint64  `json:"loads"`
	LoadsPer  float64 `json:"loads_per_second"`
	PerStream float64 `json:"events_per_stream"`
	Streams   int     `json:"streams"` // different ones
}

// Stream loads streams of o.Batch events (0: 100), chosen at random, each from its first event on. Every stream that
// is chosen from is loaded once before, so that what is measured is warm.
func (b *Bench) Stream(ctx context.Context, o Options) (*StreamResult, error) {
	o.Batch, o.Streams = positive(o.Batch, streamEvents), positive(o.Streams, 1000)
	o.Personal, o.Purpose = 0, ""
	o = o.defaults()
	if err := o.check(b); err != nil {
		return nil, err
	}
	var result *StreamResult
	err := b.with(ctx, &o, func(t *target) error {
		if err := b.fill(ctx, t, &o, o.Batch); err != nil {
			return err
		}
		streams, err := t.pick(ctx, o.Streams, o.Batch)
		if err != nil {
			return err
		}
		for _, s := range streams {
			if _, err := t.load(ctx, s, o.Batch); err != nil {
				return err
			}
		}
		m, err := b.loadAll(ctx, t, streams, &o)
		if err != nil {
			return err
		}
		result = &StreamResult{
			Run: m.run("stream", o.Clients), Machine: machine(), Latency: m.latency.latency(), Loads: m.steps,
			LoadsPer:  per(float64(m.steps), m.elapsed.Seconds()),
			PerStream: per(float64(m.events), float64(m.steps)), Streams: len(streams),
		}
		return nil
	})
	return result, err
}

func (b *Bench) loadAll(ctx context.Context, t *target, streams []event.StreamID, o *Options) (*measured, error) {
	clients := make([]*maker, o.Clients)
	for c := range clients {
		clients[c] = newMaker(o, c)
	}
	r := &race{bench: b, phase: "stream", clients: o.Clients, duration: o.Duration}
	r.step = func(ctx context.Context, c int) (int, error) {
		n, err := t.load(ctx, streams[clients[c].rand.IntN(len(streams))], o.Batch)
		r.went(n)
		return n, err
	}
	return r.run(ctx)
}

// listed is how many streams are looked at to pick from.
const listed = 100_000

// pick chooses up to n streams, spread over those that are listed: of at least the wanted size, or where there are
// none, any.
func (t *target) pick(ctx context.Context, n, size int) ([]event.StreamID, error) {
	var long, any []event.StreamID
	for q := (storage.StreamQuery{Limit: 1000}); len(any) < listed; {
		list, err := t.Streams(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if s.Version >= event.Version(size) {
				long = append(long, s.Stream)
			}
			if s.Version > 0 {
				any = append(any, s.Stream)
			}
			q.After = s.Stream
		}
		if len(list) < q.Limit {
			break
		}
	}
	if len(long) == 0 {
		long = any
	}
	if len(long) == 0 {
		return nil, event.Errorf(event.ErrNotFound, "pick streams: the store has none")
	}
	n = min(n, len(long))
	picked := make([]event.StreamID, n)
	for i := range picked {
		picked[i] = long[i*len(long)/n]
	}
	return picked, nil
}

// load reads up to n events from the start of a stream.
func (t *target) load(ctx context.Context, s event.StreamID, n int) (events int, err error) {
	for _, err := range t.session.Read(ctx, s, lethe.Range{To: event.Version(n)}) {
		if err != nil {
			return events, err
		}
		events++
	}
	return events, nil
}
