package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

const tokenColumns = `id, hash, label, may_read, may_append, may_admin, kinds, created, expires, revoked, used, may_open`

func readToken(row pgx.Row) (t storage.Token, err error) {
	var hash []byte
	err = row.Scan(&t.ID, &hash, &t.Label, &t.Read, &t.Append, &t.Admin, &t.Kinds,
		&t.Created, &t.Expires, &t.Revoked, &t.Used, &t.Open)
	if err != nil {
		return t, err
	}
	// An empty list would be read as all kinds.
	if copy(t.Hash[:], hash) != len(t.Hash) || t.Kinds != nil && len(t.Kinds) == 0 {
		return t, event.Errorf(event.ErrCorrupt, "read token %s: its hash or its kinds are damaged", t.ID).
			Hint("restore a backup")
	}
	return t, nil
}

// Token is the token with an id. It is asked for every time: what another process revoked opens nothing any more.
func (s *Store) Token(ctx context.Context, id string) (found storage.Token, err error) {
	if !pglink.Storable(id) {
		return storage.Token{}, fmt.Errorf("read token: %w", errNoToken(id))
	}
	err = s.calls.Try(ctx, func(ctx context.Context) (err error) {
		found, err = readToken(s.pool.QueryRow(ctx, `SELECT `+tokenColumns+` FROM token WHERE id = $1`, id))
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoToken(id)
	}
	if err != nil {
		return storage.Token{}, fmt.Errorf("read token: %w", err)
	}
	return found, nil
}

// Tokens lists all, by id.
func (s *Store) Tokens(ctx context.Context) (list []storage.Token, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		list = nil
		rows, err := s.pool.Query(ctx, `SELECT `+tokenColumns+` FROM token ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			t, err := readToken(rows)
			if err != nil {
				return err
			}
			list = append(list, t)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return list, nil
}

func insertToken(ctx context.Context, tx pgx.Tx, t storage.Token) (bool, error) {
	var kinds []string // not an empty list
	if len(t.Kinds) > 0 {
		kinds = t.Kinds
	}
	tag, err := tx.Exec(ctx, `INSERT INTO token (`+tokenColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`,
		t.ID, t.Hash[:], t.Label, t.Read, t.Append, t.Admin, kinds, t.Created, t.Expires, t.Revoked, t.Used, t.Open)
	return tag.RowsAffected() == 1, err
}

// changeTokens is change for tokens, which stay as they are on a log that is not live.
func (s *Store) changeTokens(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) error {
	return s.change(ctx, sharing, func(ctx context.Context, tx pgx.Tx, h changing) error {
		if err := h.life.Check(""); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// AddToken stores a new token.
func (s *Store) AddToken(ctx context.Context, t storage.Token) error {
	if t.ID == "" {
		return event.Invalid("malformed_token", "add token: it has no id")
	}
	tried := false
	err := s.changeTokens(ctx, func(ctx context.Context, tx pgx.Tx) error {
		added, err := insertToken(ctx, tx, t)
		if err == nil && !added && tried { // what a broken connection left unanswered was done
			stored, err := readToken(tx.QueryRow(ctx, `SELECT `+tokenColumns+` FROM token WHERE id = $1`, t.ID))
			if err != nil {
				return err
			}
			added = stored.Hash == t.Hash && stored.Created == t.Created
		}
		tried = true
		if err == nil && !added {
			err = event.Errorf(event.ErrConflict, "name token %s: there is one with this id", t.ID).Hint("mint another")
		}
		return err
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
	if !pglink.Storable(id) {
		return storage.Token{}, fmt.Errorf("revoke token: %w", errNoToken(id))
	}
	err = s.changeTokens(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		revoked, err = readToken(tx.QueryRow(ctx, `UPDATE token SET revoked = CASE revoked WHEN 0 THEN $2 ELSE revoked END
			WHERE id = $1 RETURNING `+tokenColumns, id, at))
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoToken(id)
	}
	if err != nil {
		return storage.Token{}, fmt.Errorf("revoke token: %w", err)
	}
	return revoked, nil
}

// UseTokens notes when tokens were last used.
func (s *Store) UseTokens(ctx context.Context, at map[string]int64) error {
	ids, used := make([]string, 0, len(at)), make([]int64, 0, len(at))
	for id, t := range at {
		if pglink.Storable(id) {
			ids, used = append(ids, id), append(used, t)
		}
	}
	err := s.changeTokens(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE token t SET used = u.used FROM unnest($1::text[], $2::bigint[]) u(id, used)
			WHERE t.id = u.id AND u.used > t.used`, ids, used)
		return err
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
