package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// tokens is all access tokens, in memory beside their table: this process has the folder for itself, and every call
// of a server looks one up. A change is decided and made durable under models.mu and seen here only afterwards, so a
// lookup waits for no disk.
type tokens struct {
	mu     sync.RWMutex
	all    map[string]storage.Token // what is in it is replaced, never changed
	closed bool
}

func (t *tokens) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// read runs do with all tokens.
func (t *tokens) read(ctx context.Context, do func(all map[string]storage.Token) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return sqlink.ErrClosed()
	}
	return do(t.all)
}

func (t *tokens) put(changed []storage.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range changed {
		t.all[x.ID] = x
	}
}

func loadTokens(c *sqlink.Conn) (map[string]storage.Token, error) {
	all := make(map[string]storage.Token)
	err := c.Query(`SELECT id, hash, label, may_read, may_append, may_admin, kinds, created, expires, revoked, used,
		may_open FROM token`, func(r sqlink.Row) error {
		t, err := readToken(r)
		all[t.ID] = t
		return err
	})
	return all, err
}

func readToken(r sqlink.Row) (storage.Token, error) {
	t := storage.Token{
		ID: r.Text(0), Label: r.Text(2), Read: r.Int64(3) != 0, Append: r.Int64(4) != 0, Admin: r.Int64(5) != 0,
		Created: r.Int64(7), Expires: r.Int64(8), Revoked: r.Int64(9), Used: r.Int64(10),
		Open: r.Int64(11) != 0,
	}
	damaged := copy(t.Hash[:], r.Bytes(1)) != len(t.Hash)
	if kinds := r.Bytes(6); kinds != nil {
		// An empty list would be read as all kinds.
		damaged = damaged || json.Unmarshal(kinds, &t.Kinds) != nil || len(t.Kinds) == 0
	}
	if damaged {
		return t, event.Errorf(event.ErrCorrupt, "read token %s: its hash or its kinds are damaged", t.ID).
			Hint("restore a backup")
	}
	return t, nil
}

func writeToken(c *sqlink.Conn, t storage.Token) error {
	var kinds []byte
	if len(t.Kinds) > 0 {
		kinds = []byte(marshalIndexed(t.Kinds))
	}
	// A text, where there is one: the column takes no blob.
	return c.Exec("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?)",
		t.ID, t.Hash[:], t.Label, boolean(t.Read), boolean(t.Append), boolean(t.Admin), kinds,
		t.Created, t.Expires, t.Revoked, t.Used, boolean(t.Open))
}

// changeTokens makes durable what decide makes of the tokens there are, as a whole or not at all.
func (s *Store) changeTokens(ctx context.Context,
	decide func(all map[string]storage.Token) ([]storage.Token, error)) error {
	m := s.models
	return m.write(ctx, func(c *sqlink.Conn) error {
		changed, err := decide(m.tokens.all) // it changes only with models.mu held, which write holds
		if err != nil || len(changed) == 0 {
			return err
		}
		err = m.commit(len(changed)*tokenBytes, func() error {
			for _, t := range changed {
				if err := writeToken(c, t); err != nil {
					return err
				}
			}
			return nil
		})
		if errors.Is(err, event.ErrUnknown) { // what may be revoked opens nothing; what may be added neither
			changed = slices.DeleteFunc(changed, func(t storage.Token) bool { return t.Revoked == 0 })
		} else if err != nil {
			return err
		}
		m.tokens.put(changed)
		return err
	})
}

// tokenBytes is about what a token takes in the file.
const tokenBytes = 300

// Token is the token with an id.
func (s *Store) Token(ctx context.Context, id string) (found storage.Token, err error) {
	err = s.models.tokens.read(ctx, func(all map[string]storage.Token) error {
		t, ok := all[id]
		if !ok {
			return errNoToken(id)
		}
		found = cloneToken(t)
		return nil
	})
	if err != nil {
		return storage.Token{}, fmt.Errorf("read token: %w", err)
	}
	return found, nil
}

// Tokens lists all, by id.
func (s *Store) Tokens(ctx context.Context) (list []storage.Token, err error) {
	err = s.models.tokens.read(ctx, func(all map[string]storage.Token) error {
		for _, id := range slices.Sorted(maps.Keys(all)) {
			list = append(list, cloneToken(all[id]))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

// AddToken stores a new token.
func (s *Store) AddToken(ctx context.Context, t storage.Token) error {
	if t.ID == "" {
		return event.Invalid("malformed_token", "add token: it has no id")
	}
	t = cloneToken(t)
	err := s.changeTokens(ctx, func(all map[string]storage.Token) ([]storage.Token, error) {
		if _, ok := all[t.ID]; ok {
			return nil, event.Errorf(event.ErrConflict, "name token %s: there is one with this id", t.ID).
				Hint("mint another")
		}
		return []storage.Token{t}, nil
	})
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	return nil
}

// RevokeToken notes that a token ended.
func (s *Store) RevokeToken(ctx context.Context, id string, at int64) (revoked storage.Token, err error) {
	if at < 1 {
		return storage.Token{}, event.Invalid("malformed_time", "revoke token %s: the time is before 1970", id)
	}
	err = s.changeTokens(ctx, func(all map[string]storage.Token) ([]storage.Token, error) {
		t, ok := all[id]
		if !ok {
			return nil, errNoToken(id)
		}
		changes := t.Revoked == 0
		if changes {
			t.Revoked = at
		}
		revoked = cloneToken(t)
		if !changes {
			return nil, nil
		}
		return []storage.Token{t}, nil
	})
	if err != nil {
		return storage.Token{}, fmt.Errorf("revoke token: %w", err)
	}
	return revoked, nil
}

// UseTokens notes when tokens were last used, in one transaction.
func (s *Store) UseTokens(ctx context.Context, at map[string]int64) error {
	err := s.changeTokens(ctx, func(all map[string]storage.Token) (later []storage.Token, _ error) {
		for id, used := range at {
			if t, ok := all[id]; ok && used > t.Used {
				t.Used = used
				later = append(later, t)
			}
		}
		return later, nil
	})
	if err != nil {
		return fmt.Errorf("note use of tokens: %w", err)
	}
	return nil
}

func errNoToken(id string) error {
	return event.Errorf(event.ErrNotFound, "find token %s: there is none with this id", id).
		Hint("list the tokens of the store")
}

func cloneToken(t storage.Token) storage.Token {
	t.Kinds = append([]string(nil), t.Kinds...)
	return t
}
