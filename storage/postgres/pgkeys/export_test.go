package pgkeys

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// SplitForTest is an address without what is ours, and the schema it names.
func SplitForTest(text string) (rest, schema string, err error) {
	a, err := pglink.Parse(text)
	return a.Text, a.Schema, err
}

// TendForTest does all there is to do for the index of uses.
func TendForTest(ctx context.Context, k *Keystore) error {
	return k.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		return pglink.AwaitLease(ctx, c.Conn(), pglink.LockOf(k.address.Schema, "uses"), func() error {
			for did := true; did; {
				var err error
				if did, err = k.step(ctx, c.Conn()); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
