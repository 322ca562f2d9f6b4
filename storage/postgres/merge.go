package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"github.com/lethe-es/lethe/storage/postings"
)

// mergeEvery is how often a process looks whether segments are to be merged.
const mergeEvery = time.Second

// mergeAll merges segments in the background until the store closes. Only the process that has the lease, an advisory
// lock, does so; the lease only saves work: what counts is that the sources are still there when the target takes
// their place.
func (s *Store) mergeAll() {
	for {
		select {
		case <-s.clock.After(mergeEvery):
		case <-s.ctx.Done():
			return
		}
		for s.ctx.Err() == nil {
			if merged, err := s.merge(s.ctx); err != nil || !merged {
				break // another time
			}
		}
	}
}

// merge does one merge, if there is one to do and no other process is at it.
func (s *Store) merge(ctx context.Context) (merged bool, err error) {
	if _, err := s.refresh(ctx); err != nil {
		return false, err
	}
	m := postings.PlanMerge(s.index.all())
	if m == nil {
		return false, nil
	}
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		return s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			return pglink.Lease(ctx, c.Conn(), pglink.LockOf(s.address.Schema, "merge"), func() error {
				merged, err = s.mergeInto(ctx, c.Conn(), m)
				return err
			})
		})
	})
	return merged, err
}

// all are the segments that are known.
func (x *index) all() []postings.Segment {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.segments
}

// dropOrphans deletes rows that belong to no segment: those of merges that a crash cut off. Which segments rows are of
// is found by leaps over the index, not by reading all rows.
func dropOrphans(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `WITH RECURSIVE s AS (
			SELECT min(segment) AS n FROM run
			UNION ALL SELECT (SELECT min(segment) FROM run WHERE segment > s.n) FROM s WHERE s.n IS NOT NULL)
		SELECT n FROM s WHERE n IS NOT NULL EXCEPT SELECT n FROM segment`)
	if err != nil {
		return err
	}
	orphans, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(orphans) > 0 {
		_, err = conn.Exec(ctx, `DELETE FROM run WHERE segment = ANY($1)`, orphans)
	}
	return err
}

// mergeStep is how many rows of a segment are written at once.
const mergeStep = 64

func (s *Store) mergeInto(ctx context.Context, conn *pgx.Conn, m *postings.Merge) (bool, error) {
	if err := dropOrphans(ctx, conn); err != nil {
		return false, err
	}
	var into int64
	if err := conn.QueryRow(ctx, `SELECT nextval('segment_n')`).Scan(&into); err != nil {
		return false, err
	}
	rows := &indexRows{store: s, ctx: ctx, db: conn}
	if err := m.Begin(rows, into); err != nil {
		return false, err
	}
	for written, done := 0, false; !done; {
		var step []postings.Row
		var err error
		if step, done, err = m.Step(rows, mergeStep); err != nil {
			return false, err
		}
		var b pgx.Batch
		queueRows(&b, into, written, step)
		if err := conn.SendBatch(ctx, &b).Close(); err != nil {
			return false, err
		}
		written += len(step)
	}
	return s.replace(ctx, conn, m)
}

// replace puts the target of a merge in the place of its sources.
func (s *Store) replace(ctx context.Context, conn *pgx.Conn, m *postings.Merge) (done bool, err error) {
	sources := make([]int64, len(m.Sources))
	for i, x := range m.Sources {
		sources[i] = x.N
	}
	target := m.Target()
	s.write.Lock() // between commits of this process, of which some guess that nobody changes the head
	s.pass()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM head `+exclusive); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM segment WHERE n = ANY($1)`, sources)
		if err != nil {
			return err
		}
		if done = tag.RowsAffected() == int64(len(sources)); !done {
			return errMerged
		}
		if _, err := tx.Exec(ctx, `UPDATE head SET changes = changes + 1`); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO segment VALUES ($1, $2, $3, $4)`,
			target.N, target.Level, int64(target.First), int64(target.Last))
		return err
	})
	if err == nil {
		_, err = s.refresh(ctx)
	}
	s.write.Unlock()
	if err != nil {
		return false, err
	}
	s.shelf.keep(s.index.all())
	_, err = conn.Exec(ctx, `DELETE FROM run WHERE segment = ANY($1)`, sources)
	return err == nil, err
}
