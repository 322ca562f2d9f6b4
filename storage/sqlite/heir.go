package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Adopt takes over the identity and the fence of another store's log.
func (s *Store) Adopt(ctx context.Context, head storage.Head) error {
	s.write.Lock()
	defer s.write.Unlock()
	switch {
	case s.head.closed:
		return errClosed()
	case s.head.rebuilding:
		return errRebuilding()
	case s.failed != nil:
		return s.failed
	}
	err := s.models.use(ctx, func(m *conn) error {
		used, err := s.used(m)
		if err != nil {
			return err
		}
		adopted, err := storage.Adopted(s.head.head, head, used)
		if err != nil || s.head.head.Life.State == storage.Filling {
			return err
		}
		adopted = adopted.Clone()
		if err := s.writer.transaction(func() error { return s.writer.adopt(&adopted) }); err != nil {
			return err
		}
		s.publish(func(h *storage.Head) {
			index := *s.index
			index.terms = storage.NewTerms(adopted.Identity)
			*h, s.index = adopted, &index
		})
		s.models.life = adopted.Life
		return nil
	})
	if errors.Is(err, event.ErrFailed) {
		s.failed = errFailedBefore()
	}
	if err != nil {
		return fmt.Errorf("adopt log: %w", err)
	}
	return nil
}

// used tells whether anything was ever stored.
func (s *Store) used(models *conn) (used bool, err error) {
	used = s.head.head.Position > 0
	for _, q := range []struct {
		c    *conn
		text string
	}{
		{s.writer, "SELECT 1 FROM stream LIMIT 1"}, {s.writer, "SELECT 1 FROM tile LIMIT 1"},
		{models, "SELECT 1 FROM cursor LIMIT 1"}, {models, "SELECT 1 FROM token LIMIT 1"},
	} {
		err = errors.Join(err, q.c.query(q.text, func(row) error { used = true; return nil }))
	}
	return used, err
}

func (c *conn) adopt(head *storage.Head) error {
	err := c.exec(`UPDATE head SET store = ?, incarnation = ?, secret = ?, metadata = ?, fence = ?, life = ?
		WHERE one = 1`, head.Store[:], int64(head.Incarnation), head.Secret[:], marshalIndexed(head.Indexed), int64(head.Fence),
		int64(head.Life.State))
	if err == nil {
		err = c.exec("DELETE FROM lineage")
	}
	for i, fork := range head.Lineage {
		if err == nil {
			err = c.exec("INSERT INTO lineage VALUES (?, ?, ?)", i+1, int64(fork.Incarnation), int64(fork.First))
		}
	}
	return err
}

// Inherit takes over the checkpoints and tokens of another store.
func (s *Store) Inherit(ctx context.Context, checkpoints []storage.NamedCheckpoint, tokens []storage.Token) error {
	m := s.models
	err := m.use(ctx, func(c *conn) error {
		switch {
		case m.failed != nil:
			return m.failed
		case m.life.State != storage.Filling:
			return event.Errorf(event.ErrConflict, "compare states: the store is %s, not filling", m.life.State).
				Hint("copy into a new store")
		}
		bytes := tokenBytes * len(tokens)
		for i := range checkpoints {
			bytes += len(checkpoints[i].Note) + tokenBytes
		}
		if err := m.commit(bytes, func() error { return c.inherit(checkpoints, tokens) }); err != nil {
			return err
		}
		m.tokens.replace(tokens)
		return nil
	})
	if err != nil {
		return fmt.Errorf("inherit checkpoints and tokens: %w", err)
	}
	return nil
}

func (c *conn) inherit(checkpoints []storage.NamedCheckpoint, tokens []storage.Token) error {
	err := errors.Join(c.exec("DELETE FROM cursor"), c.exec("DELETE FROM token"))
	for i := range checkpoints {
		p := &checkpoints[i]
		if err == nil {
			err = c.exec("INSERT INTO cursor VALUES (?, ?, ?, ?)",
				p.Follower, int64(p.Revision), p.Cursor.String(), p.Note)
		}
	}
	for _, t := range tokens {
		if err == nil {
			err = writeToken(c, t)
		}
	}
	return err
}

// replace puts other tokens in the place of all.
func (t *tokens) replace(tokens []storage.Token) {
	all := make(map[string]storage.Token, len(tokens))
	for _, x := range tokens {
		all[x.ID] = cloneToken(x)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = all
}
