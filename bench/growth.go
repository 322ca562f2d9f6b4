package bench

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
)

// GrowthOptions say how far a store grows.
type GrowthOptions struct {
	Events    int // to which it grows; 0: 3,000,000
	Every     int // events between two rows; 0: 1,000,000
	Payload   int // bytes of data in each event
	Relations int
}

// GrowthResult is how a store does as it grows.
type GrowthResult struct {
	Bench string `json:"bench"`
	Machine
	Events      uint64   `json:"events"`
	Rows        []Growth `json:"rows"`
	Interrupted bool     `json:"interrupted"`
}

// Growth is one row: the store at some size.
type Growth struct {
	Events    uint64  `json:"events"`
	AppendPer float64 `json:"events_per_second"` // since the row before, in batches of 1,000
	AppendP99 float64 `json:"append_p99_ms"`     // of such a batch
	Stream    float64 `json:"stream_p50_ms"`     // loading a stream of 100 events, from anywhere in the log
	Query     float64 `json:"query_p50_ms"`      // 100 hits of a relation and the kind, from anywhere in the log
	Open      float64 `json:"open_ms"`           // from closed to ready
	Bytes     int64   `json:"file_bytes"`
}

// probes is how often a load and a query are measured in each row.
const probes = 200

// Growth appends to a new store, by a thousand events, and measures it at every o.Every events. Before each row is
// measured the store is opened anew.
func (b *Bench) Growth(ctx context.Context, o GrowthOptions) (*GrowthResult, error) {
	o.Events, o.Every = positive(o.Events, 3_000_000), positive(o.Every, 1_000_000)
	work := Options{Payload: o.Payload, Relations: o.Relations, Events: o.Events}.defaults()
	if err := work.check(b); err != nil {
		return nil, err
	}
	if b.Dial != nil {
		return nil, event.Errorf(event.ErrUnsupported, "bench growth: a server's store cannot be opened anew").
			Hint("measure a folder")
	}
	if o.Every < window || o.Every > o.Events {
		return nil, event.Invalid("malformed_option", "bench: --every %d is not from %d to --events %d",
			o.Every, window, o.Events)
	}
	g := &growing{bench: b, work: &work}
	result := &GrowthResult{Bench: "growth", Machine: machine()}
	for ctx.Err() == nil && g.events < o.Events {
		row, err := g.row(ctx, min(o.Events, g.events+o.Every))
		switch {
		case ctx.Err() != nil: // ended early: the rows before are whole
		case err != nil:
			return nil, err
		default:
			result.Rows = append(result.Rows, *row)
		}
	}
	result.Events, result.Interrupted = uint64(g.events), ctx.Err() != nil
	return result, nil
}

type growing struct {
	bench  *Bench
	work   *Options
	filler *filler
	events int
}

// row brings the store to size events and measures it.
func (g *growing) row(ctx context.Context, size int) (*Growth, error) {
	row, b := new(Growth), g.bench
	err := b.with(ctx, g.work, func(t *target) error {
		if g.filler == nil {
			if t.start > 0 {
				return event.Invalid("store_not_empty", "grow store: it holds events already").
					Hint("leave --store away, or name a folder that is not there")
			}
			g.filler = newFiller(t, g.work, streamEvents)
		}
		g.filler.t.session = t.session
		return g.grow(ctx, size, row)
	})
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	begin := b.Clock.Now()
	err = b.with(ctx, g.work, func(t *target) error {
		row.Open = millis(b.Clock.Now().Sub(begin))
		if b.Folder == "" {
			sizes, err := t.Sizes(ctx)
			if err != nil {
				return err
			}
			for _, part := range sizes {
				row.Bytes += part.Bytes
			}
		}
		return g.probe(ctx, t, row)
	})
	if err != nil {
		return nil, err
	}
	row.Events = uint64(g.events)
	if b.Folder != "" {
		row.Bytes, err = folderBytes(b.Folder)
	}
	return row, err
}

func (g *growing) grow(ctx context.Context, size int, row *Growth) error {
	var appends histogram
	clock, first := g.bench.Clock, g.events
	begin := clock.Now()
	for last := begin; g.events < size && ctx.Err() == nil; {
		n, err := g.filler.next(ctx, window)
		if err != nil {
			return err
		}
		g.events += n
		now := clock.Now()
		appends.add(now.Sub(last))
		last = now
		g.bench.report(Progress{
			Phase: "grow", Events: uint64(g.events), Total: uint64(g.work.Events), Elapsed: now.Sub(begin),
		})
	}
	row.AppendPer = per(float64(g.events-first), clock.Now().Sub(begin).Seconds())
	row.AppendP99 = millis(appends.quantile(0.99))
	return nil
}

// probe loads and queries streams from anywhere in the log; the first tenth only warms up.
func (g *growing) probe(ctx context.Context, t *target, row *Growth) error {
	var loads, queries histogram
	r := rand.New(rand.NewPCG(uint64(g.events), 2))
	full := max(1, g.filler.round/streamEvents) * window // streams that have all their events
	for n := range probes + probes/10 {
		name := g.filler.t.name(r.IntN(full))
		load, err := g.took(func() error {
			_, err := t.load(ctx, event.Stream(Kind, name), streamEvents)
			return err
		})
		if err != nil {
			return err
		}
		query, err := g.took(func() error { return t.query(ctx, name, g.work.Relations) })
		if err != nil {
			return err
		}
		if n >= probes/10 {
			loads.add(load)
			queries.add(query)
		}
	}
	row.Stream, row.Query = millis(loads.quantile(0.5)), millis(queries.quantile(0.5))
	return nil
}

func (g *growing) took(do func() error) (time.Duration, error) {
	begin := g.bench.Clock.Now()
	err := do()
	return g.bench.Clock.Now().Sub(begin), err
}

// query asks for the events about an entity.
func (t *target) query(ctx context.Context, name string, relations int) error {
	filter := about(name, make([]event.Relation, relations))
	filter[0].Kinds = []string{Kind}
	for _, err := range t.session.Query(ctx, lethe.Query{Filter: filter, Limit: streamEvents}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// folderBytes adds up the files of a folder, without opening any.
func folderBytes(folder string) (int64, error) {
	total := int64(0)
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
