package ingest

import (
	"context"
	"io"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// Sink is where imported events go; a session of a store is one.
type Sink interface {
	// AppendEach appends every request as its own unit, in order, in few commits; outcome i belongs to request i.
	// A request that is refused (event.ErrInvalid, ErrConflict, ErrDuplicate, ErrClosed, ErrDenied) does not hold up
	// those behind it. After any other error nothing behind it is appended and every later outcome is an error too:
	// otherwise the events of a stream would change their order when the import is run again.
	AppendEach(ctx context.Context, requests []log.Request) []log.Outcome
}

// Input is one file, or anything else that can be read from its beginning.
type Input struct {
	Name string // for people: errors and the reject file name it; it has no part in the events or their ids
	Size int64  // bytes as they lie on disk; 0: not known
	// Open begins to read. Run closes what it gives, also to end a Read that waits when the context is cancelled.
	Open func() (io.ReadCloser, error)
}

// Options of a run. The zero value works.
type Options struct {
	Strict      bool           // stop at the first record that cannot be imported
	Rejects     io.Writer      // gets a line of JSON for each record that was not imported; nil: they are only counted
	Progress    func(Progress) // is called after every batch, and never from two goroutines at once
	Clock       event.Clock    // nil: the system's
	BatchEvents int            // about how many events one AppendEach gets; 0: 4,000
}

// Progress is how far a run is.
type Progress struct {
	Bytes    int64 // read of the inputs, as they lie on disk
	Total    int64 // of all inputs; 0: not known
	Records  int64
	Added    int64 // events
	Skipped  int64 // events that were in the log already
	Rejected int64 // records that were not imported
}

// Summary is what a run did, also one that ended with an error.
type Summary struct {
	Records       int64   `json:"records"`        // read, rejected ones included
	EventsAdded   int64   `json:"events_added"`   // appended by this run
	EventsSkipped int64   `json:"events_skipped"` // that were in the log already, from the same records
	Rejected      int64   `json:"rejected"`       // records that were not imported; the reject file says why
	Seconds       float64 `json:"seconds"`
}

const (
	defaultBatchEvents = 4000
	maxBatchBytes      = 8 << 20 // of events; with one batch on its way and one in the making, memory stays bounded
)

// Run reads the inputs in their order, as if they were one file, and appends what m makes of their records to sink.
// key is storage.ImportKey of the store: ids are made with it, so that a second run adds nothing and an interrupted
// one goes on when it is run again.
//
// A record that cannot be imported is counted, told to Options.Rejects, and does not end the run: the error is nil
// and Summary.Rejected says how many there were. With Options.Strict the first one ends the run. So do an input that
// breaks its format (event.ErrInvalid with the code malformed_input; what stands before is imported), an input that
// cannot be read, a cancelled context, and a store that cannot go on.
func Run(ctx context.Context, sink Sink, key [32]byte, m *Map, inputs []Input, o Options) (Summary, error) {
	if o.Clock == nil {
		o.Clock = event.SystemClock{}
	}
	if o.BatchEvents <= 0 {
		o.BatchEvents = defaultBatchEvents
	}
	if o.Rejects == nil {
		o.Rejects = io.Discard
	}
	begun := o.Clock.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := &producer{inputs: inputs, mapper: newMapper(m, key), options: o, out: make(chan batch)}
	go p.run(ctx)
	a := &appender{sink: sink, options: o, total: totalSize(inputs)}
	err := a.drain(ctx, p.out)
	a.summary.Seconds = o.Clock.Now().Sub(begun).Seconds()
	return a.summary, err
}

// totalSize is the size of all inputs, 0 if one is not known.
func totalSize(inputs []Input) (total int64) {
	for _, in := range inputs {
		if in.Size <= 0 {
			return 0
		}
		total += in.Size
	}
	return total
}
