package ingest

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// appender hands batches to the sink, one at a time, and keeps account.
type appender struct {
	sink    Sink
	options Options
	total   int64
	summary Summary
}

// drain appends batches until there are no more. It does not wait for a Read that ignores Close.
func (a *appender) drain(ctx context.Context, batches <-chan batch) error {
	for {
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case b, ok := <-batches:
			if !ok {
				return interrupted(ctx)
			}
			err := a.settle(ctx, b)
			switch {
			case err != nil && ctx.Err() != nil:
				return interrupted(ctx)
			case err != nil:
				return err
			case b.err != nil:
				return b.err
			}
		}
	}
}

// interrupted tells that the context ended the run; nil: it did not.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("import: %w; run it again to go on", ctx.Err())
}

// settle appends one batch and counts what came of each of its records.
func (a *appender) settle(ctx context.Context, b batch) error {
	var outcomes []log.Outcome
	if len(b.requests) > 0 {
		outcomes = a.sink.AppendEach(ctx, b.requests)
	}
	if len(outcomes) != len(b.requests) {
		return event.Errorf(event.ErrUnknown, "import: %d answers to %d requests", len(outcomes), len(b.requests)).
			Hint("run the import again; what is in the log is skipped")
	}
	a.summary.Records += b.records
	var stop error
	for _, it := range b.entries {
		f, cause := it.fault, error(it.fault)
		if f == nil {
			cause, outcomes = outcomes[0].Err, a.count(it, outcomes)
			switch {
			case cause == nil:
				continue
			case !refused(cause):
				a.summary.Records--
				stop = first(stop, it.describe(cause))
				continue
			}
			f = refusal(cause)
		}
		a.summary.Rejected++
		if err := writeRejection(a.options.Rejects, it.origin, f); err != nil {
			return err
		}
		if a.options.Strict {
			stop = first(stop, it.describe(cause))
		}
	}
	a.report(b)
	return stop
}

// count takes the outcome of it off the list and adds its events to what it came to.
func (a *appender) count(it entry, outcomes []log.Outcome) []log.Outcome {
	switch o := outcomes[0]; {
	case o.Err != nil:
	case o.Result.Repeated:
		a.summary.EventsSkipped += int64(it.events)
	default:
		a.summary.EventsAdded += int64(it.events)
	}
	return outcomes[1:]
}

func (a *appender) report(b batch) {
	if a.options.Progress == nil {
		return
	}
	a.options.Progress(Progress{Bytes: b.bytes, Total: a.total, Records: a.summary.Records,
		Added: a.summary.EventsAdded, Skipped: a.summary.EventsSkipped, Rejected: a.summary.Rejected})
}

// describe names the record an error is about.
func (o origin) describe(err error) error {
	return fmt.Errorf("import %s: record %d, line %d: %w; mend the cause and run the import again",
		o.input, o.record, o.line, err)
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
