package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Adopt takes over the identity and the fence of another store's log.
func (s *Store) Adopt(ctx context.Context, head storage.Head) error {
	s.write.Lock()
	defer s.write.Unlock()
	switch {
	case s.head.closed:
		return sqlink.ErrClosed()
	case s.head.rebuilding:
		return errRebuilding()
	case s.failed != nil:
		return s.failed
	}
	err := s.models.use(ctx, func(m *sqlink.Conn) error {
		used, err := s.used(m)
		if err != nil {
			return err
		}
		adopted, err := storage.Adopted(s.head.head, head, used)
		if err != nil || s.head.head.Life.State == storage.Filling {
			return err
		}
		adopted = adopted.Clone()
		if err := s.writer.Transaction(func() error { return adoptHead(s.writer, &adopted) }); err != nil {
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
		s.failed = sqlink.ErrFailedBefore()
	}
	if err != nil {
		return fmt.Errorf("adopt log: %w", err)
	}
	return nil
}

// used tells whether anything was ever stored.
func (s *Store) used(models *sqlink.Conn) (used bool, err error) {
	used = s.head.head.Position > 0
	for _, q := range []struct {
		c    *sqlink.Conn
		text string
	}{
		{s.writer, "SELECT 1 FROM stream LIMIT 1"}, {s.writer, "SELECT 1 FROM tile LIMIT 1"},
		{models, "SELECT 1 FROM cursor LIMIT 1"}, {models, "SELECT 1 FROM token LIMIT 1"},
	} {
		err = errors.Join(err, q.c.Query(q.text, func(sqlink.Row) error { used = true; return nil }))
	}
	return used, err
}

func adoptHead(c *sqlink.Conn, head *storage.Head) error {
	err := c.Exec(`UPDATE head SET store = ?, incarnation = ?, secret = ?, metadata = ?, fence = ?, life = ?
		WHERE one = 1`, head.Store[:], int64(head.Incarnation), head.Secret[:], marshalIndexed(head.Indexed), int64(head.Fence),
		int64(head.Life.State))
	if err == nil {
		err = c.Exec("DELETE FROM lineage")
	}
	for i, fork := range head.Lineage {
		if err == nil {
			err = c.Exec("INSERT INTO lineage VALUES (?, ?, ?)", i+1, int64(fork.Incarnation), int64(fork.First))
		}
	}
	return err
}

// Inherit takes over the checkpoints and tokens of another store.
func (s *Store) Inherit(ctx context.Context, checkpoints []storage.NamedCheckpoint, tokens []storage.Token) error {
	m := s.models
	err := m.use(ctx, func(c *sqlink.Conn) error {
		switch {
		case m.failed != nil:
			return m.failed
		case m.life.State != storage.Filling:
			return errNotFilling(m.life)
		}
		bytes := tokenBytes * len(tokens)
		for i := range checkpoints {
			bytes += len(checkpoints[i].Note) + tokenBytes
		}
		if err := m.commit(bytes, func() error { return inherit(c, checkpoints, tokens) }); err != nil {
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

func inherit(c *sqlink.Conn, checkpoints []storage.NamedCheckpoint, tokens []storage.Token) error {
	err := errors.Join(c.Exec("DELETE FROM cursor"), c.Exec("DELETE FROM token"))
	for i := range checkpoints {
		p := &checkpoints[i]
		if err == nil {
			err = c.Exec("INSERT INTO cursor VALUES (?, ?, ?, ?)",
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
