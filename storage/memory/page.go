package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// maxLooked bounds how many places one page looks at, and so how long it keeps a commit waiting. Real engines have
// such a bound; with it a caller who forgets that a page may be short is found out here.
const maxLooked = 4096

// Page implements storage.Log.
func (s *Store) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	if q.Limit < 1 {
		return storage.Page{}, event.Invalid("malformed_limit", "read page: a limit of %d is below 1", q.Limit)
	}
	if err := s.fail(OpPage); err != nil {
		return storage.Page{}, err
	}
	if err := s.read(ctx); err != nil {
		return storage.Page{}, err
	}
	defer s.mu.RUnlock()
	if !q.ID.IsZero() {
		return s.one(q.ID), nil
	}
	if err := s.plan(q.Filter); err != nil {
		return storage.Page{}, err
	}
	if q.Stream.IsZero() {
		return s.walk(q, len(s.log), func(n uint64) *entry { return &s.log[n-1] }), nil
	}
	known, ok := s.streams[q.Stream]
	if !ok {
		known = &stream{}
	}
	return s.walk(q, len(known.places), func(n uint64) *entry { return &s.log[known.places[n-1]-1] }), nil
}

// one is the page with the one event of that id, if there is one.
func (s *Store) one(id event.ID) storage.Page {
	page := storage.Page{Head: s.head.Position, Done: true}
	if position, ok := s.ids[id]; ok {
		page.Scanned = uint64(position)
		page.Records = []storage.Record{cloneRecord(s.log[position-1].record)}
	}
	return page
}

// walk looks at the places 1 to last that q names, in its direction.
func (s *Store) walk(q storage.Query, last int, at func(n uint64) *entry) storage.Page {
	page := storage.Page{Head: s.head.Position}
	n, end, ok := span(q, uint64(last))
	if !ok {
		page.Done = true
		return page
	}
	bodies := 0
	for range maxLooked {
		e := at(n)
		page.Scanned = n
		if matches(&q, e) {
			page.Records = append(page.Records, cloneRecord(e.record))
			bodies += len(e.record.Body)
		}
		if n == end {
			page.Done = true
			return page
		}
		if len(page.Records) == q.Limit || bodies >= storage.MaxPageBytes {
			return page
		}
		if q.Backward {
			n--
		} else {
			n++
		}
	}
	return page
}

// span is where a walk begins and ends; not ok: there is nothing between.
func span(q storage.Query, last uint64) (begin, end uint64, ok bool) {
	low, high := q.From, q.To
	if q.Backward {
		low, high = high, low
	}
	low = max(low, 1)
	if high == 0 || high > last {
		high = last
	}
	if low > high {
		return 0, 0, false
	}
	if q.Backward {
		return high, low, true
	}
	return low, high, true
}

func matches(q *storage.Query, e *entry) bool {
	return (q.Since == 0 || e.record.Recorded >= q.Since) &&
		(q.Until == 0 || e.record.Recorded < q.Until) &&
		q.Filter.Matches(&e.event)
}

// Streams implements storage.Streams.
func (s *Store) Streams(ctx context.Context, q storage.StreamQuery) ([]storage.StreamState, error) {
	if q.Limit < 1 {
		return nil, event.Invalid("malformed_limit", "list streams: a limit of %d is below 1", q.Limit)
	}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	var found []storage.StreamState
	for id, known := range s.streams {
		state := known.state
		if compare(id, q.After) > 0 && (q.Kind == "" || id.Kind == q.Kind) &&
			(!q.Pending || state.Pruned < state.Truncated) {
			found = append(found, state)
		}
	}
	slices.SortFunc(found, func(a, b storage.StreamState) int { return compare(a.Stream, b.Stream) })
	return slices.Clone(found[:min(q.Limit, len(found))]), nil
}

func compare(a, b event.StreamID) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
}

// Checkpoint implements storage.Cursors.
func (s *Store) Checkpoint(ctx context.Context, follower string) (storage.Checkpoint, error) {
	if err := s.read(ctx); err != nil {
		return storage.Checkpoint{}, err
	}
	defer s.mu.RUnlock()
	return cloneCheckpoint(s.checkpoints[follower]), nil
}

// Advance implements storage.Cursors.
func (s *Store) Advance(ctx context.Context, follower string, from, to storage.Checkpoint) (storage.Checkpoint, error) {
	if err := s.fail(OpAdvance); err != nil {
		return storage.Checkpoint{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return storage.Checkpoint{}, err
	}
	if err := s.head.Life.Check("advance checkpoint of " + follower); err != nil {
		return storage.Checkpoint{}, err
	}
	if stored := s.checkpoints[follower]; stored.Revision != from.Revision {
		return storage.Checkpoint{}, event.Errorf(event.ErrConflict,
			"advance checkpoint of %s: it is at revision %d, not at %d", follower, stored.Revision, from.Revision).
			Hint("another runner moved it: read it again")
	}
	to = cloneCheckpoint(to)
	to.Revision = from.Revision + 1
	s.checkpoints[follower] = to
	return cloneCheckpoint(to), nil
}

// Checkpoints implements storage.Cursors.
func (s *Store) Checkpoints(ctx context.Context) ([]storage.NamedCheckpoint, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	var all []storage.NamedCheckpoint
	for _, name := range slices.Sorted(maps.Keys(s.checkpoints)) {
		all = append(all, storage.NamedCheckpoint{Follower: name, Checkpoint: cloneCheckpoint(s.checkpoints[name])})
	}
	return all, nil
}

func cloneCheckpoint(c storage.Checkpoint) storage.Checkpoint {
	c.Note = kept(c.Note)
	return c
}
