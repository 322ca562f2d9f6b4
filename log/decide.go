package log

import (
	"errors"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/storage"
)

// errNothing ends a commit in which no request of the batch was accepted: there is nothing to make durable.
var errNothing = errors.New("nothing to commit")

// errStale ends a commit whose head is not the one the tree in memory stands at: another process wrote.
var errStale = errors.New("the tree in memory is behind the head")

// decision turns the requests of one batch into one storage.Batch, as of a locked head. It does no I/O, and what it
// changes in memory is only taken over when the batch is durable.
type decision struct {
	requests []*prepared
	head     storage.Head
	recorded int64 // µs

	next     event.Position
	tree     *tree
	streams  map[event.StreamID]*storage.StreamState
	ids      map[event.ID]storage.Existing
	accepted map[event.ID]*prepared // ids that this batch gives out
	events   []*event.Event         // what this batch adds, for the conditions of later requests
	batch    storage.Batch
}

// probe asks for what the requests of a batch depend on. Ids that were minted here are asked for only when an
// earlier try may have stored them.
func probe(requests []*prepared, again bool) storage.Probe {
	var p storage.Probe
	seen := make(map[event.StreamID]struct{}, len(requests))
	ask := func(s event.StreamID) {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			p.Streams = append(p.Streams, s)
		}
	}
	for _, r := range requests {
		for i := range r.writes {
			ask(r.writes[i].Stream)
		}
		if r.lifecycle != nil {
			ask(r.lifecycle.stream)
		}
		if !r.minted || again {
			for i := range r.entries {
				p.IDs = append(p.IDs, r.entries[i].event.ID)
			}
		}
		if r.condition != nil {
			p.Conditions = append(p.Conditions, *r.condition)
		}
	}
	return p
}

// answer is a probe with what the engine found, as of a head.
type answer struct {
	probe storage.Probe
	head  storage.Head
	found storage.Found
}

// decide is the pure function in the middle of every commit. Each request of the batch comes out with its own
// result or error.
func decide(requests []*prepared, a answer, t *tree, now int64) (storage.Batch, error) {
	head, found := a.head, a.found
	t.rollback()
	if err := t.follow(a.probe.Leaves, found.Leaves, head.Frontier); err != nil {
		return storage.Batch{}, err
	}
	if t.size() != uint64(head.Position) {
		return storage.Batch{}, errStale
	}
	d := &decision{
		requests: requests, head: head, recorded: now, next: head.Position + 1, tree: t,
		streams:  make(map[event.StreamID]*storage.StreamState, len(a.probe.Streams)),
		ids:      make(map[event.ID]storage.Existing, len(a.probe.IDs)),
		accepted: make(map[event.ID]*prepared, len(requests)),
	}
	for i, s := range a.probe.Streams {
		d.streams[s] = &found.Streams[i]
	}
	for i, id := range a.probe.IDs {
		if found.IDs[i].Position != 0 {
			d.ids[id] = found.IDs[i]
		}
	}
	total := 0
	for _, r := range requests {
		total += len(r.entries)
	}
	d.batch.System, d.batch.Records = head.System, make([]storage.Record, 0, total)
	d.events = make([]*event.Event, 0, total)
	hits := found.Hits
	for _, r := range requests {
		r.err, r.result = nil, Result{}
		var hit event.Position
		if r.condition != nil {
			hit, hits = hits[0], hits[1:]
		}
		d.request(r, hit)
	}
	if len(d.batch.Records) == 0 && len(d.batch.Streams) == 0 {
		return storage.Batch{}, errNothing
	}
	d.batch.Frontier, d.batch.Tiles = t.pending()
	return d.batch, nil
}

// request decides one request: repeated, refused or accepted. Ids come first: a repeated append gets its first
// result also when its version or condition would fail now.
func (d *decision) request(r *prepared, hit event.Position) {
	if done := d.repeated(r); done {
		return
	}
	if r.err = d.check(r, hit); r.err != nil {
		return
	}
	r.result.Events = make([]Placed, 0, len(r.entries))
	for i := range r.entries {
		d.place(r, &r.entries[i])
	}
	for _, f := range r.fences {
		f.Position = r.result.Last()
		d.batch.Fences = append(d.batch.Fences, f)
	}
	if l := r.lifecycle; l != nil {
		state := d.streams[l.stream]
		l.apply(state)
		d.batch.Streams = append(d.batch.Streams, *state)
	}
}

// repeated answers a request any of whose ids is taken: by the same request, in the log or in this batch, or by
// another one, which is a conflict.
func (d *decision) repeated(r *prepared) bool {
	first := r.entries[0].event.ID
	if other, ok := d.accepted[first]; ok && r.same(other.digest) {
		r.result = Result{Events: other.result.Events, Repeated: true}
		return true
	}
	if x, ok := d.ids[first]; ok && r.same(x.Request) {
		r.result = Result{Repeated: !r.tried}
		for i := range r.entries {
			id := r.entries[i].event.ID
			x := d.ids[id]
			r.result.Events = append(r.result.Events,
				Placed{ID: id, Stream: x.Stream, Position: x.Position, Version: x.Version})
		}
		return true
	}
	for i := range r.entries {
		id := r.entries[i].event.ID
		_, stored := d.ids[id]
		_, batched := d.accepted[id]
		if stored || batched {
			r.err = event.Errorf(event.ErrDuplicate, "append: event id %s belongs to another append", id).
				Hint("retry an append exactly as it was, or use new ids")
			return true
		}
	}
	return false
}

func (d *decision) check(r *prepared, hit event.Position) error {
	if err := d.head.Life.Check("append to " + r.writes[0].Stream.String()); err != nil {
		return err
	}
	if r.sealing != nil && (r.sealing.Fence != d.head.Fence || len(d.batch.Fences) > 0) {
		return ErrFenced
	}
	for i := range r.writes {
		w := &r.writes[i]
		state := d.streams[w.Stream]
		if state.Closed {
			return event.Errorf(event.ErrClosed, "append to %s: the stream is closed at version %d", w.Stream, state.Version)
		}
		if !w.Expected.Allows(state.Version) {
			return &event.VersionConflict{Stream: w.Stream, Expected: w.Expected, Actual: state.Version}
		}
	}
	if r.lifecycle != nil {
		if err := r.lifecycle.check(d.streams[r.lifecycle.stream]); err != nil {
			return err
		}
	}
	if r.condition == nil {
		return nil
	}
	if hit != 0 {
		return &event.ConditionFailed{After: r.condition.After, Hit: hit}
	}
	for i := range d.events {
		if e := d.events[i]; e.Position > r.condition.After && r.condition.Filter.Matches(e) {
			return &event.ConditionFailed{After: r.condition.After, Hit: e.Position}
		}
	}
	return nil
}

// place gives an event its position and version, and the tree its leaf.
func (d *decision) place(r *prepared, e *entry) {
	state := d.streams[e.event.Stream]
	state.Version++
	e.event.Position, e.event.Version = d.next, state.Version
	e.event.RecordedAt = event.FromMicros(d.recorded)
	d.next++
	leaf := ledger.Leaf{
		Store: d.head.Store, Incarnation: uint64(d.head.Incarnation), Position: uint64(e.event.Position),
		ID: e.event.ID, Type: e.event.Type, Schema: ledger.Hash(e.event.Schema), RecordedAt: d.recorded,
		Open: e.commitment.Seal(uint64(e.event.Version)), Boxes: e.sealed.Commitments,
	}
	e.event.Leaf = d.tree.append(&leaf)
	d.batch.Records = append(d.batch.Records, storage.Record{
		Position: e.event.Position, ID: e.event.ID, Stream: e.event.Stream, Version: e.event.Version,
		Type: e.event.Type, Recorded: d.recorded, Leaf: e.event.Leaf, Request: r.digest,
		Body: e.body, Commitments: e.seed[:], Boxes: e.sealed.Boxes, Terms: e.terms,
	})
	if e.event.Stream.Kind == event.SystemKind {
		d.batch.System = e.event.Position
	}
	d.accepted[e.event.ID] = r
	d.events = append(d.events, &e.event)
	r.result.Events = append(r.result.Events,
		Placed{ID: e.event.ID, Stream: e.event.Stream, Position: e.event.Position, Version: e.event.Version})
}
