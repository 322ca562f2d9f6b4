package memory

import (
	"context"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Adopt implements storage.Heir.
func (s *Store) Adopt(ctx context.Context, head storage.Head) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	used := s.head.Position != 0 || len(s.streams)+len(s.tiles)+len(s.checkpoints)+len(s.tokens) > 0
	adopted, err := storage.Adopted(s.head, head, used)
	if err != nil || s.head.Life.State == storage.Filling {
		return err
	}
	if err := s.fail(OpAdopt); err != nil {
		return err
	}
	s.head = adopted.Clone()
	s.terms = storage.NewTerms(s.head.Identity)
	return nil
}

// Inherit implements storage.Heir.
func (s *Store) Inherit(ctx context.Context, checkpoints []storage.NamedCheckpoint, tokens []storage.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	if s.head.Life.State != storage.Filling {
		return s.notFilling()
	}
	if err := s.fail(OpInherit); err != nil {
		return err
	}
	s.checkpoints = make(map[string]storage.Checkpoint, len(checkpoints))
	for _, c := range checkpoints {
		s.checkpoints[c.Follower] = cloneCheckpoint(c.Checkpoint)
	}
	s.tokens = make(map[string]storage.Token, len(tokens))
	for _, t := range tokens {
		s.tokens[t.ID] = cloneToken(t)
	}
	return nil
}

func (s *Store) notFilling() error {
	return event.Errorf(event.ErrConflict, "inherit: store %s is %s, not filling", s.head.Store, s.head.Life.State).
		Hint("copy into a new store")
}
