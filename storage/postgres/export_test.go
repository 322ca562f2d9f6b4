package postgres

import (
	"context"
	"time"

	"github.com/lethe-es/lethe/storage"
)

// ExamineForTest is Examine that has a word for transactions of another age.
func (s *Store) ExamineForTest(ctx context.Context, old time.Duration) ([]storage.Check, error) {
	return (&examination{ctx: ctx, q: s.pool, schema: s.address.schema}).run(old)
}

// SplitForTest is an address without what is ours, and the schema it names.
func SplitForTest(text string) (rest, schema string, err error) {
	a, err := parse(text)
	return a.text, a.schema, err
}
