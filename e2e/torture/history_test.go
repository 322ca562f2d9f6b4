package torture_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
)

// history is what concurrent clients asked one store and were told, in the order of a logical clock.
type history struct {
	seed    uint64
	time    atomic.Int64
	numbers atomic.Uint32 // of events, given out so far

	mu      sync.Mutex
	ops     []porcupine.Operation
	placed  []placement
	counts  map[outcome]int // of appends
	oddity  error           // an answer no sequence could explain, whatever the model
	cancels atomic.Pointer[context.CancelFunc]
}

// placement is where an acknowledged append came to lie, and when it was asked for and answered.
type placement struct {
	called, returned int64
	result           log.Result
}

func newHistory(seed uint64) *history { return &history{seed: seed, counts: make(map[outcome]int)} }

func (h *history) id(number uint32) (id event.ID) {
	binary.BigEndian.PutUint64(id[:], h.seed|1)
	binary.BigEndian.PutUint32(id[12:], number)
	return id
}

func numberOf(id event.ID) uint32 { return binary.BigEndian.Uint32(id[12:]) }

func (h *history) draft(number uint32) event.Draft {
	return event.Draft{
		ID: h.id(number), Type: fmt.Sprintf("T%d", number%3), Data: fmt.Appendf(nil, `{"n":%d}`, number),
		Relations: []event.Relation{{Role: "about", Kind: "thing", ID: fmt.Sprint(number % 5)}},
	}
}

// client is one caller: it knows what it read and wrote last, and decides on it, so that others make it wrong.
type client struct {
	number  int
	h       *history
	store   *lethe.Store
	chance  *rand.Rand
	streams []event.StreamID
	known   map[event.StreamID]known
}

type known struct {
	version  event.Version
	last     uint32
	position event.Position
}

func (c *client) run(ctx context.Context, steps int) {
	for range steps {
		switch n := c.chance.IntN(100); {
		case n < 30:
			c.read(ctx)
		case n < 40:
			c.append(ctx, c.pick(2))
		default:
			c.append(ctx, c.pick(1))
		}
	}
}

func (c *client) pick(n int) []event.StreamID {
	var picked []event.StreamID
	for _, i := range c.chance.Perm(len(c.streams))[:n] {
		picked = append(picked, c.streams[i])
	}
	return picked
}

// read reads a whole stream by one of the ways there are.
func (c *client) read(ctx context.Context) {
	s := c.pick(1)[0]
	session := c.store.As(event.Actor{})
	var events iter.Seq2[event.Event, error]
	way, backward := c.chance.IntN(4), false
	called := c.h.time.Add(1)
	switch way {
	case 0:
		events = session.Query(ctx, lethe.Query{Filter: event.Filter{{Stream: s}}})
	case 1:
		events = session.Query(ctx, lethe.Query{Filter: event.Filter{{Types: []string{"T0"}, Stream: s},
			{Types: []string{"T1", "T2"}, Stream: s}}})
	case 2:
		backward = true
		events = session.Read(ctx, s, lethe.Range{Backward: true})
	default:
		events = session.Read(ctx, s, lethe.Range{})
	}
	list, last, err := collect(events, backward)
	if err != nil && !errors.Is(err, event.ErrNotFound) {
		c.h.odd(err, event.ErrUnavailable)
		return
	}
	c.h.record(c.number, called, &call{do: actRead, stream: s}, &answer{list: list})
	c.known[s] = known{event.Version(packed(list)), lastOf(list), last}
}

func collect(events iter.Seq2[event.Event, error], backward bool) (string, event.Position, error) {
	var numbers []uint32
	last := event.Position(0)
	for e, err := range events {
		if err != nil {
			return "", 0, err
		}
		numbers = append(numbers, numberOf(e.ID))
		last = max(last, e.Position)
	}
	if backward {
		for i, j := 0, len(numbers)-1; i < j; i, j = i+1, j-1 {
			numbers[i], numbers[j] = numbers[j], numbers[i]
		}
	}
	return pack("", numbers...), last, nil
}

// append appends to the streams at once, expecting what it knows of them or less, or under a condition.
func (c *client) append(ctx context.Context, streams []event.StreamID) {
	var req log.Request
	var calls []*call
	guarded := len(streams) == 1 && c.chance.IntN(4) == 0
	for _, s := range streams {
		call := c.call(s)
		if guarded {
			call.guarded, call.last, call.expected = true, c.known[s].last, event.Any
			req.Condition = &event.Condition{Filter: event.Filter{{Stream: s}}, After: c.known[s].position}
		}
		w := log.Write{Stream: s, Expected: call.expected}
		for _, n := range call.add {
			w.Events = append(w.Events, c.h.draft(n))
		}
		req.Writes = append(req.Writes, w)
		calls = append(calls, call)
		call.with = calls[0].add[0]
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.chance.IntN(150) == 0 {
		c.h.cancels.Store(&cancel)
	}
	called := c.h.time.Add(1)
	res, err := c.store.As(event.Actor{}).AppendAll(ctx, req)
	c.settle(called, calls, res, err)
}

func (c *client) call(s event.StreamID) *call {
	call := &call{do: actAppend, stream: s, expected: event.At(c.known[s].version)}
	switch n := c.chance.IntN(10); {
	case n < 2:
		call.expected = event.Any
	case n < 3:
		call.expected = event.At(c.known[s].version / 2)
	}
	for range 1 + c.chance.IntN(2) {
		call.add = append(call.add, c.h.numbers.Add(1))
	}
	return call
}

// settle notes what an append was answered. What a client did not ask of a stream, or was told of another stream
// only, says nothing of this one.
func (c *client) settle(called int64, calls []*call, res log.Result, err error) {
	var version *event.VersionConflict
	switch {
	case err == nil:
		c.h.place(called, res)
		at := 0
		for _, call := range calls {
			at += len(call.add)
			p := res.Events[at-1]
			c.h.record(c.number, called, call, &answer{outcome: done, version: p.Version})
			c.known[call.stream] = known{p.Version, call.add[len(call.add)-1], p.Position}
		}
	case errors.As(err, &version):
		for _, call := range calls {
			if call.stream == version.Stream {
				c.h.record(c.number, called, call, &answer{outcome: conflict, actual: version.Actual})
			}
		}
	case errors.Is(err, event.ErrConflict):
		c.h.record(c.number, called, calls[0], &answer{outcome: hit})
	case errors.Is(err, event.ErrUnknown):
		for _, call := range calls {
			c.h.record(c.number, called, call, &answer{outcome: unknown})
		}
	default:
		c.h.odd(err, event.ErrUnavailable, context.Canceled)
		for _, call := range calls {
			c.h.record(c.number, called, call, &answer{outcome: nothing})
		}
	}
}

func (h *history) record(client int, called int64, in *call, out *answer) {
	returned := h.time.Add(1)
	if out.outcome == unknown {
		returned = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if in.do == actAppend {
		h.counts[out.outcome]++
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned})
}

func (h *history) place(called int64, res log.Result) {
	returned := h.time.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.placed = append(h.placed, placement{called, returned, res})
}

// odd keeps an error that is none of those a client must live with.
func (h *history) odd(err error, expected ...error) {
	for _, e := range expected {
		if errors.Is(err, e) {
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.oddity = errors.Join(h.oddity, err)
}

// shaky is an engine whose answers get lost: a commit may or may not have been made when it says event.ErrUnknown.
// It also ends the context of a client that wants to leave while a commit is under way.
type shaky struct {
	storage.Store
	h      *history
	mu     sync.Mutex
	chance *rand.Rand
	lose   int // commits that are not made, but unknown
}

func (s *shaky) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	early, late := s.draw()
	if early {
		return storage.Head{}, event.Errorf(event.ErrUnknown, "commit: lost on the way")
	}
	leave := s.h.cancels.Swap(nil)
	if leave != nil && late {
		(*leave)()
	}
	head, err := s.Store.Commit(ctx, p, decide)
	if leave != nil && !late {
		(*leave)()
	}
	if err == nil && late {
		return storage.Head{}, event.Errorf(event.ErrUnknown, "commit: the answer was lost")
	}
	return head, err
}

func (s *shaky) draw() (early, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lose > 0 {
		s.lose--
		return true, false
	}
	switch n := s.chance.IntN(3000); {
	case n == 0:
		s.lose = 5 // as often as the log asks again: the outcome stays unknown
		return true, false
	case n < 60:
		return true, false
	}
	return false, s.chance.IntN(30) == 0
}
