package follow

import (
	"context"
	"errors"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// lane is one ordered way from the log to the follower, with a checkpoint of its own. A follower without partitions
// has one lane. It is used by one goroutine.
type lane struct {
	*runner
	key   string // name of its checkpoint
	index int    // which streams are its own; see Lane

	stored storage.Checkpoint // as it was read or written last
	note   note               // of stored
	seen   event.Cursor       // up to here there is nothing to apply; may be ahead of stored
	caught bool               // the end of the log was reached once
}

// errPaused ends the reading of a lane that is to wait.
var errPaused = errors.New("paused")

// run follows until an error; a pause only interrupts it.
func (l *lane) run(ctx context.Context) error {
	for {
		if err := l.load(ctx); err != nil {
			return err
		}
		switch {
		case l.note.state() == Stopped:
			return l.note.poisoned(l.name)
		case l.note.Moved || l.note.Lanes > 0:
			return l.overtaken()
		case l.note.state() == Paused:
			if err := l.pacer.sleep(ctx, l.options.Poll); err != nil {
				return err
			}
			continue
		}
		if err := l.follow(ctx); !errors.Is(err, errPaused) {
			return err
		}
	}
}

func (l *lane) load(ctx context.Context) (err error) {
	l.stored, l.note, err = load(ctx, l.cursors, l.key)
	l.seen, l.caught = l.stored.Cursor, false
	return err
}

// follow reads from the checkpoint on. errPaused: the lane was paused and its checkpoint is where it stands.
func (l *lane) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	batches := l.read(ctx, l.stored.Cursor)
	defer func() {
		cancel()
		for range batches { // until the reader is gone: it may hold something of the engine
		}
	}()
	tick := l.options.Clock.After(l.options.Poll)
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next := <-batches:
			if err = next.err; err == nil {
				err = l.take(ctx, next.batch)
			}
		case <-tick:
			err = l.look(ctx)
			tick = l.options.Clock.After(l.options.Poll)
		}
		if err != nil {
			return err
		}
		if l.note.state() == Paused {
			return errPaused
		}
	}
}

type readBatch struct {
	batch lethe.Batch
	err   error
}

// read gives the batches of the source until ctx ends, so that a lane can do other things while none comes.
func (l *lane) read(ctx context.Context, after event.Cursor) <-chan readBatch {
	batches := make(chan readBatch)
	go func() {
		defer close(batches)
		for b, err := range l.source.Batches(ctx, l.filter, after) {
			select {
			case batches <- readBatch{b, err}:
			case <-ctx.Done():
				return
			}
		}
		select {
		case batches <- readBatch{err: event.Errorf(event.ErrUnavailable, "read events: the source ended")}:
		case <-ctx.Done():
		}
	}()
	return batches
}

// take applies what of a batch is the lane's, and moves the checkpoint.
func (l *lane) take(ctx context.Context, b lethe.Batch) error {
	events := l.own(b.Events)
	if len(events) == 0 {
		return l.pass(ctx, b)
	}
	l.caught = l.caught || b.Live
	if err := l.apply(ctx, Batch{Events: events, Cursor: b.Cursor, Live: b.Live, Source: l.source}); err != nil {
		return err
	}
	// What is applied is also stored when ctx has ended meanwhile: an orderly stop repeats nothing.
	return l.advance(context.WithoutCancel(ctx), b.Cursor, l.note)
}

// pass notes that nothing was to be applied. It spares the durable write while little was passed.
func (l *lane) pass(ctx context.Context, b lethe.Batch) error {
	l.seen = b.Cursor
	arrived := b.Live && !l.caught
	l.caught = l.caught || b.Live
	passed := b.Cursor.Position - l.stored.Cursor.Position
	if passed == 0 || !arrived && passed < event.Position(l.options.Sparse) {
		return nil
	}
	return l.advance(ctx, b.Cursor, l.note)
}

// look stores how far the lane has seen, and notices what others did to the checkpoint meanwhile.
func (l *lane) look(ctx context.Context) error {
	if l.seen.Position > l.stored.Cursor.Position {
		return l.advance(ctx, l.seen, l.note)
	}
	_, err := l.adopt(ctx)
	return err
}

// apply applies a batch, or all of it up to the event that is poison.
func (l *lane) apply(ctx context.Context, b Batch) error {
	failure, err := l.try(ctx, b)
	if err != nil || failure == nil {
		return err
	}
	if len(b.Events) == 1 {
		return l.poison(ctx, b, failure)
	}
	for i := range b.Events { // one of them cannot be applied: find out which
		one := Batch{Events: b.Events[i : i+1 : i+1], Cursor: at(b.Cursor, b.Events[i].Position), Source: b.Source}
		one.Live = b.Live && i == len(b.Events)-1
		if err := l.apply(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// try applies a batch, several times if it is a single event or only something is out of reach. failure is what
// Apply said last about the events, err what ends the lane.
func (l *lane) try(ctx context.Context, b Batch) (failure, err error) {
	for n := 1; ; n++ {
		failure = l.follower.Apply(ctx, b)
		switch {
		case failure == nil:
			return nil, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case fatal(failure), outage(failure) && n == l.options.Tries:
			return nil, &applyError{b.Events[0].Position, b.Events[len(b.Events)-1].Position, failure}
		case !outage(failure) && (len(b.Events) > 1 || n == l.options.Tries):
			return failure, nil
		}
		if err := l.settle(ctx, b); err != nil {
			return nil, err
		}
		if err := l.pacer.wait(ctx, n); err != nil {
			return nil, err
		}
	}
}

// settle stores that everything before b is applied: what follows may take long, or end the run.
func (l *lane) settle(ctx context.Context, b Batch) error {
	before := at(b.Cursor, b.Events[0].Position-1)
	if before.Position <= l.stored.Cursor.Position {
		return nil
	}
	if err := l.advance(ctx, before, l.note); err != nil {
		return err
	}
	if l.note.state() == Paused {
		return errPaused
	}
	return nil
}

// poison stores that the event of b cannot be applied, and stops.
func (l *lane) poison(ctx context.Context, b Batch, cause error) error {
	e := &b.Events[0]
	found := poison{Cursor: at(b.Cursor, e.Position), ID: e.ID, Code: codeOf(cause)}
	before := l.stored.Cursor
	if e.Position-1 > before.Position {
		before = at(b.Cursor, e.Position-1)
	}
	if err := l.advance(ctx, before, l.note.withPoison(found)); err != nil {
		return err
	}
	stopped := l.note.poisoned(l.name)
	stopped.Cause = cause
	return stopped
}

// at is another place in the incarnation of c.
func at(c event.Cursor, p event.Position) event.Cursor {
	c.Position = p
	return c
}
