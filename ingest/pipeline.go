package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
)

// batch is records on their way from the reading side to the appending side, in their order.
type batch struct {
	entries  []entry
	requests []log.Request // of the entries that have events, in the same order
	records  int64         // entries, and records the map passed over
	bytes    int64         // of the inputs, read so far
	err      error         // what ended the reading after these
}

// origin is where a record stands.
type origin struct {
	input  string
	record int64
	line   int64
}

// entry is one record of a batch.
type entry struct {
	origin
	events int
	fault  *fault // why it cannot be mapped; nil: it has a request
}

// producer reads and maps. It runs one batch ahead of the appending side.
type producer struct {
	inputs  []Input
	mapper  *mapper
	options Options
	out     chan batch

	next    batch
	events  int             // in next
	size    int             // of the events in next, about
	record  int64           // number of the last record, over all inputs
	earlier int64           // bytes of the inputs before the one at hand
	counted *countingReader // the input at hand
}

// run sends batches until the inputs end or the context does, and closes the channel.
func (p *producer) run(ctx context.Context) {
	defer close(p.out)
	p.counted = &countingReader{}
	for _, in := range p.inputs {
		if err := p.input(ctx, in); err != nil {
			p.next.err = err
			break
		}
	}
	p.send(ctx)
}

// errStop ends the reading because nobody waits for more.
var errStop = errors.New("reading was stopped")

func (p *producer) input(ctx context.Context, in Input) error {
	if ctx.Err() != nil {
		return errStop
	}
	file, err := in.Open()
	if err != nil {
		return fmt.Errorf("open input %s: %w (%w)", in.Name, err, event.ErrUnavailable)
	}
	cancel := context.AfterFunc(ctx, func() { file.Close() })
	defer func() {
		if cancel() {
			file.Close()
		}
	}()
	p.earlier += p.counted.n
	p.counted = &countingReader{r: file}
	if err := p.records(ctx, in.Name); err != nil {
		return describe(in.Name, p.counted.failed, err)
	}
	return nil
}

// describe tells what is wrong with an input, and where.
func describe(name string, disk, err error) error {
	var bad *malformed
	var at *placed
	line := int64(0)
	if errors.As(err, &at) {
		line = at.line
	}
	switch {
	case errors.Is(err, errStop):
		return err
	case disk != nil:
		return fmt.Errorf("read input %s: line %d: %w (%w)", name, line, disk, event.ErrUnavailable)
	case errors.As(err, &bad):
		return event.Invalid("malformed_input", "read input %s: line %d: %s", name, bad.line, bad.cause).
			Hint("what stands before is imported; mend the input and run the import again")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return event.Invalid("malformed_input", "read input %s: line %d: it is cut off", name, line).
			Hint("what stands before is imported; run the import again with the whole input")
	}
	return event.Invalid("malformed_input", "read input %s: line %d: its compressed bytes are damaged", name, line).
		Hint("what stands before is imported; run the import again with a sound copy")
}

// placed is an error of reading with the line it came at.
type placed struct {
	error
	line int64
}

func (p *placed) Unwrap() error { return p.error }

// records maps every record of one input.
func (p *producer) records(ctx context.Context, name string) error {
	in, err := p.mapper.m.newReader(p.counted)
	if err != nil {
		return &placed{err, 1}
	}
	r := record{}
	for i := range r.values {
		r.values[i] = make([]value, p.mapper.m.slots[i])
	}
	for {
		var bad *fault
		err := in.next(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.As(err, &bad) {
			return &placed{err, in.line()}
		}
		p.record++
		last := p.take(in, &r, name, bad)
		if (last || p.full()) && !p.send(ctx) || last {
			return errStop
		}
	}
}

// take puts one record into the batch. It tells whether the record is the last one to be read.
func (p *producer) take(in reader, r *record, name string, bad *fault) (last bool) {
	it := entry{origin: origin{name, p.record, r.line}, fault: bad}
	p.next.records++
	if bad == nil {
		request, events, err := p.mapper.request(in, r, p.record)
		switch {
		case errors.As(err, &it.fault):
		case events == 0:
			return false
		default:
			it.events = events
			p.next.requests = append(p.next.requests, request)
			p.events += events
			p.size += requestSize(request)
		}
	}
	p.next.entries = append(p.next.entries, it)
	return it.fault != nil && p.options.Strict
}

func (p *producer) full() bool {
	most := p.options.BatchEvents
	return p.events >= most || p.next.records >= int64(most) || p.size >= maxBatchBytes
}

// send hands the batch over; false: nobody waits for it.
func (p *producer) send(ctx context.Context) bool {
	p.next.bytes = p.earlier + p.counted.n
	select {
	case <-ctx.Done():
		return false
	case p.out <- p.next:
		p.next = batch{
			entries:  make([]entry, 0, len(p.next.entries)),
			requests: make([]log.Request, 0, len(p.next.requests)),
		}
		p.events, p.size = 0, 0
		return true
	}
}

func requestSize(request log.Request) (size int) {
	for _, w := range request.Writes {
		for i := range w.Events {
			size += len(w.Events[i].Data) + 256
			for _, v := range w.Events[i].Metadata {
				size += len(v)
			}
		}
	}
	return size
}
