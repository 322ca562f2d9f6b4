package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Adopt gives a new, empty store the identity and the fence of another.
func (s *Store) Adopt(ctx context.Context, head storage.Head) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.pass()
	own, err := s.refresh(ctx)
	if err != nil {
		return fmt.Errorf("adopt store: %w", err)
	}
	adopted := own
	err = s.change(ctx, alone, func(ctx context.Context, tx pgx.Tx, h changing) error {
		var used bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM stream) OR EXISTS (SELECT FROM event)
			OR EXISTS (SELECT FROM tile) OR EXISTS (SELECT FROM cursor) OR EXISTS (SELECT FROM token)`).Scan(&used)
		if err != nil {
			return err
		}
		own.Life, own.Fence = h.life, uint64(h.fence)
		if adopted, err = storage.Adopted(own, head, used); err != nil || adopted.Store == own.Store {
			return err
		}
		return adopt(ctx, tx, &adopted)
	})
	if err != nil {
		return fmt.Errorf("adopt store: %w", err)
	}
	if adopted.Store != own.Store {
		s.index.become(adopted.Identity)
	}
	return nil
}

func adopt(ctx context.Context, tx pgx.Tx, h *storage.Head) error {
	_, err := tx.Exec(ctx, `UPDATE head SET store = $1, incarnation = $2, secret = $3, metadata = $4, fence = $5, state = $6,
		place = $7, changes = changes + 1, lives = lives + 1`, h.Store[:], int64(h.Incarnation), h.Secret[:], append([]string{}, h.Indexed...),
		int64(h.Fence), int16(h.Life.State), h.Life.Place)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM lineage`)
	}
	for i := 0; i < len(h.Lineage) && err == nil; i++ {
		_, err = tx.Exec(ctx, `INSERT INTO lineage VALUES ($1, $2, $3)`,
			i+1, int64(h.Lineage[i].Incarnation), int64(h.Lineage[i].First))
	}
	return err
}

// become gives the index another identity. What else changed is learned with the next news.
func (x *index) become(id storage.Identity) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.head.Identity = storage.Head{Identity: id}.Clone().Identity
	x.terms = storage.NewTerms(id)
}

// Inherit makes these the checkpoints and tokens of a store that is being filled.
func (s *Store) Inherit(ctx context.Context, checkpoints []storage.NamedCheckpoint, tokens []storage.Token) error {
	err := s.change(ctx, alone, func(ctx context.Context, tx pgx.Tx, h changing) error {
		if h.life.State != storage.Filling {
			return notFilling(h.life)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM cursor`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM token`); err != nil {
			return err
		}
		for _, c := range checkpoints {
			_, err := tx.Exec(ctx, `INSERT INTO cursor VALUES ($1, $2, $3, $4)`,
				c.Follower, int64(c.Revision), c.Cursor.String(), c.Note)
			if err != nil {
				return err
			}
		}
		for _, t := range tokens {
			if _, err := insertToken(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("inherit: %w", err)
	}
	return nil
}

// InheritFences adds fences to a store that is being filled.
func (s *Store) InheritFences(ctx context.Context, upTo uint64, fences []storage.Fence) error {
	if err := storage.CheckFences(upTo, fences); err != nil {
		return err
	}
	err := s.change(ctx, alone, func(ctx context.Context, tx pgx.Tx, h changing) error {
		if h.life.State != storage.Filling {
			return notFilling(h.life)
		}
		for some := range slices.Chunk(fences, 10_000) {
			if _, err := tx.Exec(ctx, insertFences, fenceColumns(some)...); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE head SET fence = $1, changes = changes + 1 WHERE fence < $1`, int64(upTo))
		return err
	})
	if err != nil {
		return fmt.Errorf("inherit fences: %w", err)
	}
	return nil
}

func notFilling(l storage.Life) error {
	return event.Errorf(event.ErrConflict, "inherit: the store is %s, not a copy in the making", l.State).
		Hint("copy into a new store")
}
