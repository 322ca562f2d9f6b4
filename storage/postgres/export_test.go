package postgres

import (
	"context"
	"time"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// ExamineForTest is Examine that has a word for transactions of another age.
func (s *Store) ExamineForTest(ctx context.Context, old time.Duration) ([]storage.Check, error) {
	return (&examination{ctx: ctx, q: s.pool, schema: s.address.Schema}).run(old)
}

// SplitForTest is an address without what is ours, and the schema it names.
func SplitForTest(text string) (rest, schema string, err error) {
	a, err := pglink.Parse(text)
	return a.Text, a.Schema, err
}

// MergeForTest does one merge, if there is one to do.
func MergeForTest(ctx context.Context, s *Store) (bool, error) { return s.merge(ctx) }
