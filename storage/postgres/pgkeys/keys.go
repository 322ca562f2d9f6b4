package pgkeys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// KeyHead implements storage.Keys.
func (k *Keystore) KeyHead(ctx context.Context) (head storage.KeyHead, err error) {
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		rows, err := k.pool.Query(ctx, `SELECT s.store, s.applied, `+epochColumns+`
			FROM keystore s LEFT JOIN key_epoch e ON true ORDER BY e.number`)
		if err != nil {
			return err
		}
		head, err = readHead(rows)
		return err
	})
	if err != nil {
		return storage.KeyHead{}, fmt.Errorf("read keystore: %w", err)
	}
	return head, nil
}

// answers asks one statement for what is at places, and gives the zero V for what is not there.
func answers[V any](ctx context.Context, k *Keystore, n int, scan func(pgx.Rows, *int64) (V, error),
	query string, args ...any,
) (found []V, err error) {
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		found = make([]V, n)
		rows, err := k.pool.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, scan, func(place int, v V) { found[place] = v })
	})
	return found, err
}

// Keyrings implements storage.Keys.
func (k *Keystore) Keyrings(ctx context.Context, krids []event.KRID) ([]storage.Keyring, error) {
	found, err := answers(ctx, k, len(krids), scanKeyring, keyringsQuery, uuids(krids))
	if err != nil {
		return nil, fmt.Errorf("read keyrings: %w", err)
	}
	return found, nil
}

// Lookups implements storage.Keys.
func (k *Keystore) Lookups(ctx context.Context, tokens []storage.LookupToken) ([]storage.Lookup, error) {
	found, err := answers(ctx, k, len(tokens), scanLookup, lookupsQuery, uuids(tokens))
	if err != nil {
		return nil, fmt.Errorf("read lookups: %w", err)
	}
	return found, nil
}

// Retentions implements storage.Keys.
func (k *Keystore) Retentions(ctx context.Context, ids []storage.RetentionID) ([]storage.RetentionKey, error) {
	found, err := answers(ctx, k, len(ids), scanRetention, retentionsQuery, retentionArgs(ids)...)
	if err != nil {
		return nil, fmt.Errorf("read retention keys: %w", err)
	}
	return found, nil
}

// ScanKeyrings implements storage.Keys, in the order of KRIDs: rows have no place of their own, since every change puts
// them into another one.
func (k *Keystore) ScanKeyrings(ctx context.Context, q storage.KeyringQuery) (found []storage.Keyring, err error) {
	if q.Limit < 1 {
		return nil, event.Invalid("malformed_limit", "scan keyrings: the limit must be above 0")
	}
	text := `SELECT 1::bigint, ` + keyringColumns + ` FROM keyring k WHERE k.krid > $1`
	args := []any{[16]byte(q.After), int64(q.Limit)}
	if q.Before != 0 {
		args = append(args, int64(q.Before))
		text += ` AND k.epoch < $3`
	}
	if q.Live {
		text += fmt.Sprintf(` AND k.state = %d`, storage.KeyLive)
	}
	err = k.calls.Try(ctx, func(ctx context.Context) error {
		found = nil
		if err := k.mustBeThere(ctx, q.After); err != nil {
			return err
		}
		rows, err := k.pool.Query(ctx, text+` ORDER BY k.krid LIMIT $2`, args...)
		if err != nil {
			return err
		}
		return each(rows, scanKeyring, func(_ int, k storage.Keyring) { found = append(found, k) })
	})
	if err != nil {
		return nil, fmt.Errorf("scan keyrings: %w", err)
	}
	return found, nil
}

// mustBeThere refuses to go on after a keyring that is not there.
func (k *Keystore) mustBeThere(ctx context.Context, after event.KRID) error {
	if after.IsZero() {
		return nil
	}
	there := false
	err := k.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM keyring WHERE krid = $1)`, [16]byte(after)).Scan(&there)
	if err == nil && !there {
		err = event.Invalid("malformed_after", "scan keyrings: %s is not there", after)
	}
	return err
}
