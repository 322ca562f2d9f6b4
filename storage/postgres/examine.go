package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// Examine asks the server about itself and about the store's tables.
func (s *Store) Examine(ctx context.Context) (checks []storage.Check, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		x := &examination{ctx: ctx, q: s.pool, schema: s.address.Schema}
		checks, err = x.run(pglink.Old)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("examine store: %w", err)
	}
	return checks, nil
}

// examination gathers checks.
type examination struct {
	ctx    context.Context // of the one call it serves
	q      pglink.Querier
	schema string
	checks []storage.Check
}

func (x *examination) run(old time.Duration) ([]storage.Check, error) {
	for _, look := range []func() error{x.server, x.segments} {
		if err := look(); err != nil {
			return nil, err
		}
	}
	more, err := pglink.Examine(x.ctx, x.q, old)
	return append(x.checks, more...), err
}

func (x *examination) add(name string, ok bool, format string, args ...any) {
	x.checks = append(x.checks, storage.Check{Name: name, OK: ok, Detail: pglink.Words(fmt.Sprintf(format, args...))})
}

func (x *examination) server() error {
	var version string
	var format int
	err := x.q.QueryRow(x.ctx, `SELECT current_setting('server_version'), (SELECT max(format) FROM lethe_format)`).
		Scan(&version, &format)
	if err != nil {
		return err
	}
	x.add("database", true, "PostgreSQL %s; its settings and its clock were checked when the store opened", version)
	x.add("format", format == len(tables.Steps), "tables of schema %s in format %d", x.schema, format)
	return nil
}

// segments looks whether the segments of the index follow each other up to where the rows of batch go on.
func (x *examination) segments() error {
	var count, commits int
	var indexed, last, covered int64
	err := x.q.QueryRow(x.ctx, `SELECT h.indexed, (SELECT count(*) FROM batch WHERE position > h.indexed),
		count(s.n), coalesce(max(s.last), 0), coalesce(sum(s.last - s.first + 1), 0)::bigint
		FROM head h LEFT JOIN segment s ON true GROUP BY h.indexed`).Scan(&indexed, &commits, &count, &last, &covered)
	if err != nil {
		return err
	}
	if last != indexed || covered != indexed {
		x.add("segments", false, "%d of the index end at position %d and cover %d, want %d", count, last, covered, indexed)
		return nil
	}
	x.add("segments", true, "%d of the index, up to position %d; %d commits beyond them are in every process's memory",
		count, indexed, commits)
	return nil
}
