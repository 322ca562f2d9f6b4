package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Token implements storage.Tokens.
func (s *Store) Token(ctx context.Context, id string) (storage.Token, error) {
	if err := s.fail(OpToken); err != nil {
		return storage.Token{}, err
	}
	if err := s.read(ctx); err != nil {
		return storage.Token{}, err
	}
	defer s.mu.RUnlock()
	t, ok := s.tokens[id]
	if !ok {
		return storage.Token{}, unknownToken("read", id)
	}
	return cloneToken(t), nil
}

// Tokens implements storage.Tokens.
func (s *Store) Tokens(ctx context.Context) ([]storage.Token, error) {
	if err := s.fail(OpToken); err != nil {
		return nil, err
	}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	var all []storage.Token
	for _, id := range slices.Sorted(maps.Keys(s.tokens)) {
		all = append(all, cloneToken(s.tokens[id]))
	}
	return all, nil
}

// AddToken implements storage.Tokens.
func (s *Store) AddToken(ctx context.Context, t storage.Token) error {
	if t.ID == "" {
		return event.Invalid("malformed_token", "add token: it has no id")
	}
	if err := s.changeTokens(ctx, OpAddToken); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, ok := s.tokens[t.ID]; ok {
		return event.Errorf(event.ErrConflict, "add token %s: there is one with this id", t.ID).Hint("mint another")
	}
	s.tokens[t.ID] = cloneToken(t)
	return nil
}

// RevokeToken implements storage.Tokens.
func (s *Store) RevokeToken(ctx context.Context, id string, at int64) (storage.Token, error) {
	if at < 1 {
		return storage.Token{}, event.Invalid("malformed_time", "revoke token %s: the time is before 1970", id)
	}
	if err := s.changeTokens(ctx, OpRevokeToken); err != nil {
		return storage.Token{}, err
	}
	defer s.mu.Unlock()
	t, ok := s.tokens[id]
	if !ok {
		return storage.Token{}, unknownToken("revoke", id)
	}
	if t.Revoked == 0 {
		t.Revoked = at
		s.tokens[id] = t
	}
	return cloneToken(t), nil
}

// UseTokens implements storage.Tokens.
func (s *Store) UseTokens(ctx context.Context, at map[string]int64) error {
	if err := s.changeTokens(ctx, OpUseTokens); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for id, used := range at {
		if t, ok := s.tokens[id]; ok && used > t.Used {
			t.Used = used
			s.tokens[id] = t
		}
	}
	return nil
}

// changeTokens locks for writing if the step may be done; otherwise nothing is locked.
func (s *Store) changeTokens(ctx context.Context, step string) error {
	if err := s.fail(step); err != nil {
		return err
	}
	s.mu.Lock()
	err := s.usable(ctx)
	if err == nil {
		err = s.head.Life.Check("change tokens")
	}
	if err != nil {
		s.mu.Unlock()
	}
	return err
}

func unknownToken(verb, id string) error {
	return event.Errorf(event.ErrNotFound, "%s token %s: there is none with this id", verb, id).
		Hint("list the tokens of the store")
}

func cloneToken(t storage.Token) storage.Token {
	t.Kinds = append([]string(nil), t.Kinds...)
	return t
}
