package memory

import (
	"context"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Fences implements storage.Fencer.
func (s *Store) Fences(ctx context.Context, after uint64, limit int) ([]storage.Fence, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	if limit < 1 {
		return nil, event.Invalid("malformed_limit", "list fences: limit %d is below 1", limit)
	}
	var found []storage.Fence
	for _, f := range s.fences {
		if n := len(found); n >= limit && f.Number != found[n-1].Number {
			break
		}
		if f.Number > after {
			found = append(found, f)
		}
	}
	return found, nil
}

// fence keeps a fence in its place, once. It wants mu.
func (s *Store) fence(f storage.Fence) {
	if i, ok := slices.BinarySearchFunc(s.fences, f, storage.Fence.Compare); !ok {
		s.fences = slices.Insert(s.fences, i, f)
	}
}

// InheritFences implements storage.Heir.
func (s *Store) InheritFences(ctx context.Context, upTo uint64, fences []storage.Fence) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	if err := storage.CheckFences(upTo, fences); err != nil {
		return err
	}
	if s.head.Life.State != storage.Filling {
		return s.notFilling()
	}
	if err := s.fail(OpInheritFences); err != nil {
		return err
	}
	for _, f := range fences {
		s.fence(f)
	}
	s.head.Fence = max(s.head.Fence, upTo)
	return nil
}
