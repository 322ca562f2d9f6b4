package memory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Commit implements storage.Log.
func (s *Store) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	found, err := s.answer(ctx, p)
	if err != nil {
		return storage.Head{}, err
	}
	batch, err := decide(s.head.Clone(), found)
	if err != nil {
		return storage.Head{}, err
	}
	if len(batch.Records)+len(batch.Streams)+len(batch.Tiles)+len(batch.Fences) == 0 && batch.Life == nil {
		return s.head.Clone(), nil
	}
	entries, err := s.check(&batch)
	if err != nil {
		return storage.Head{}, err
	}
	if err := s.fail(OpCommit); err != nil {
		return storage.Head{}, err
	}
	s.apply(&batch, entries)
	if err := s.fail(OpCommitAck); err != nil {
		return storage.Head{}, fmt.Errorf("commit batch: %w: %w", event.ErrUnknown, err)
	}
	return s.head.Clone(), nil
}

// answer answers a probe. It wants writing.
func (s *Store) answer(ctx context.Context, p storage.Probe) (storage.Found, error) {
	if err := s.read(ctx); err != nil {
		return storage.Found{}, err
	}
	defer s.mu.RUnlock()
	found := storage.Found{
		IDs:     make([]storage.Existing, len(p.IDs)),
		Streams: make([]storage.StreamState, len(p.Streams)),
		Hits:    make([]event.Position, len(p.Conditions)),
	}
	for i, c := range p.Conditions {
		if err := s.plan(c.Filter); err != nil {
			return storage.Found{}, err
		}
		found.Hits[i] = s.hit(c)
	}
	for i, id := range p.IDs {
		if position, ok := s.ids[id]; ok {
			r := &s.log[position-1].record
			found.IDs[i] = storage.Existing{
				Position: position, Stream: r.Stream, Version: r.Version, Request: r.Request,
			}
		}
	}
	for i, id := range p.Streams {
		found.Streams[i] = s.state(id)
	}
	if p.Leaves > 0 && p.Leaves <= s.head.Position && s.head.Position-p.Leaves < storage.MaxLeaves {
		for i := range s.log[p.Leaves-1:] {
			found.Leaves = append(found.Leaves, s.log[int(p.Leaves)-1+i].record.Leaf)
		}
	}
	return found, nil
}

// plan refuses a filter that an index could not answer.
func (s *Store) plan(f event.Filter) error {
	for i := range f {
		if _, err := s.terms.Plan(&f[i]); err != nil {
			return err
		}
	}
	return nil
}

// hit is the first position that fails the condition; 0: none.
func (s *Store) hit(c event.Condition) event.Position {
	if c.After >= s.head.Position {
		return 0
	}
	for i := range s.log[c.After:] {
		if e := &s.log[int(c.After)+i].event; c.Filter.Matches(e) {
			return e.Position
		}
	}
	return 0
}

func (s *Store) state(id event.StreamID) storage.StreamState {
	if known, ok := s.streams[id]; ok {
		return known.state
	}
	return storage.StreamState{Stream: id}
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("commit batch: "+format+": %w", append(args, storage.ErrRefused)...)
}

// check holds a batch against the log and copies its records. It wants writing.
func (s *Store) check(b *storage.Batch) ([]entry, error) {
	if len(b.Records)+len(b.Fences) > 0 && s.head.Life.Sealed() {
		return nil, refuse("the log moves to %s", s.head.Life.Place)
	}
	entries := make([]entry, len(b.Records))
	versions := map[event.StreamID]event.Version{}
	ids := make(map[event.ID]bool, len(b.Records))
	for i := range b.Records {
		r := cloneRecord(b.Records[i])
		if want := s.head.Position + event.Position(i) + 1; r.Position != want {
			return nil, refuse("a record is at position %d instead of %d", r.Position, want)
		}
		if _, ok := s.ids[r.ID]; ok || ids[r.ID] || r.ID.IsZero() {
			return nil, refuse("position %d: id %s is zero or used", r.Position, r.ID)
		}
		state := s.state(r.Stream)
		if state.Closed {
			return nil, refuse("position %d: stream %s is closed", r.Position, r.Stream)
		}
		if want := max(state.Version, versions[r.Stream]) + 1; r.Version != want {
			return nil, refuse("position %d: %s is at version %d instead of %d", r.Position, r.Stream, r.Version, want)
		}
		e, err := r.Event()
		if err != nil {
			return nil, refuse("position %d: %w", r.Position, err)
		}
		ids[r.ID], versions[r.Stream] = true, r.Version
		entries[i] = entry{record: r, event: e}
	}
	for _, t := range b.Tiles {
		if _, ok := s.tiles[t.ID]; ok {
			return nil, refuse("tile %d/%d is stored already", t.ID.Level, t.ID.N)
		}
	}
	return entries, nil
}

// apply makes a checked batch part of the log. It wants writing.
func (s *Store) apply(b *storage.Batch, entries []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		s.add(e)
	}
	for _, state := range b.Streams {
		s.set(state)
	}
	for _, t := range b.Tiles {
		s.tiles[t.ID] = bytes.Clone(t.Hashes)
	}
	if b.System != 0 {
		s.head.System = b.System
	}
	if b.Frontier != nil {
		s.head.Frontier = kept(b.Frontier)
	}
	if b.Life != nil {
		s.head.Life = *b.Life
	}
	if len(b.Fences) > 0 {
		s.head.Fence++
		for _, f := range b.Fences {
			f.Number = s.head.Fence
			s.fence(f)
		}
	}
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *Store) add(e entry) {
	r := &e.record
	known := s.stream(r.Stream)
	known.state.Version = r.Version
	known.places = append(known.places, r.Position)
	s.ids[r.ID] = r.Position
	s.log = append(s.log, e)
	s.head.Position = r.Position
}

func (s *Store) set(state storage.StreamState) {
	known := s.stream(state.Stream)
	state.Version = known.state.Version
	known.state = state
	s.changes = append(s.changes, change{position: s.head.Position, state: state})
}

// stream is the stream of that name, new if it was not known.
func (s *Store) stream(id event.StreamID) *stream {
	known, ok := s.streams[id]
	if !ok {
		known = &stream{state: storage.StreamState{Stream: id}}
		s.streams[id] = known
	}
	return known
}

// Rewrite implements storage.Log. What it takes away is overwritten before it is let go.
func (s *Store) Rewrite(ctx context.Context, fence uint64, edits []storage.Edit) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.read(ctx); err != nil {
		return err
	}
	s.mu.RUnlock()
	if fence != s.head.Fence {
		return event.Errorf(event.ErrConflict, "rewrite: the fence is at %d, not at %d", s.head.Fence, fence)
	}
	for _, e := range edits {
		if e.Position == 0 || e.Position > s.head.Position {
			return event.Errorf(event.ErrConflict, "rewrite position %d: there is no such event", e.Position)
		}
		if r := &s.log[e.Position-1].record; r.ID != e.ID || r.Leaf != e.Leaf {
			return event.Errorf(event.ErrConflict, "rewrite position %d: id or leaf differ", e.Position)
		}
	}
	if err := s.fail(OpRewrite); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range edits {
		prune(&s.log[e.Position-1])
	}
	return nil
}

func prune(e *entry) {
	r := &e.record
	clear(r.Body)
	clear(r.Commitments)
	clear(r.Boxes)
	r.Body, r.Commitments, r.Boxes = nil, nil, nil
	e.event, _ = r.Event() // a stub has no body that could fail to decode
}

// Scrub implements storage.Log. Rewrite left nothing behind but what the garbage collector has not reused yet.
func (s *Store) Scrub(ctx context.Context) (storage.Residue, error) {
	if err := s.read(ctx); err != nil {
		return storage.Residue{}, err
	}
	s.mu.RUnlock()
	return storage.Residue{}, nil
}
