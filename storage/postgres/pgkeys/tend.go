package pgkeys

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"github.com/lethe-es/lethe/storage/postings"
)

// tendEvery is how often a process looks whether there is something to do for the index.
const tendEvery = time.Second

// tend writes and merges segments of the index in the background until the keystore closes. Only the process that has
// the lease, an advisory lock, does so. The lease only saves work: a segment counts only if the index is still as it
// was when its writing began.
func (k *Keystore) tend() {
	for {
		select {
		case <-k.calls.Clock.After(tendEvery):
		case <-k.calls.Context.Done():
			return
		}
		for k.calls.Context.Err() == nil {
			if more, err := k.tendOnce(k.calls.Context); err != nil || !more {
				break // another time
			}
		}
	}
}

// tendOnce does one thing, if there is one to do and no other process is at it.
func (k *Keystore) tendOnce(ctx context.Context) (did bool, err error) {
	seen, err := readIndex(ctx, k.pool)
	if err != nil || seen.same(&k.tended) && seen.last == k.tended.last {
		return false, err // as it was when there was nothing to do
	}
	defer func() {
		if err == nil && !did {
			k.tended = seen
		}
	}()
	err = k.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		conn := c.Conn()
		return pglink.Lease(ctx, conn, pglink.LockOf(k.address.Schema, "uses"), func() (err error) {
			did, err = k.step(ctx, conn)
			return err
		})
	})
	return did, err
}

// step wants the lease.
func (k *Keystore) step(ctx context.Context, conn *pgx.Conn) (did bool, err error) {
	x, err := readIndex(ctx, conn)
	if err != nil {
		return false, err
	}
	if did, err = k.writeSegment(ctx, conn, &x); did || err != nil {
		return did, err
	}
	return merge(ctx, conn, &x)
}

// mostUses bounds the uses of a segment of the lowest level.
const mostUses = 4096

// writeSegment covers uses by a segment, if there are enough that none covers.
func (k *Keystore) writeSegment(ctx context.Context, conn *pgx.Conn, x *usesIndex) (bool, error) {
	var count, bytes int
	err := conn.QueryRow(ctx, `SELECT count(*), coalesce(sum(n), 0)::bigint FROM (SELECT octet_length(record) AS n
		FROM key_use WHERE number > $1 ORDER BY number LIMIT $2) u`, x.indexed, mostUses).Scan(&count, &bytes)
	if err != nil || count < mostUses && bytes < k.flush {
		return false, err
	}
	p, err := k.writePiece(ctx, conn, x.indexed, math.MaxInt64)
	if err != nil || p.last == x.indexed {
		return false, err
	}
	err = replace(ctx, conn, x, func(tx pgx.Tx) error {
		if err := p.insert(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE key_uses SET indexed = $1`, p.last)
		return err
	})
	return err == nil, err
}

// piece is a segment of the lowest level whose rows are written.
type piece struct {
	n, first, last int64
	uses           int // that it covers
}

func (p *piece) insert(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO key_segment VALUES ($1, 0, $2, $3, $4)`, p.n, p.first, p.last, p.uses)
	return err
}

// writePiece writes the rows of a segment of uses after a number, up to an end or as many as one takes.
func (k *Keystore) writePiece(ctx context.Context, conn *pgx.Conn, after, end int64) (p piece, err error) {
	p = piece{first: after + 1, last: after}
	var added postings.Added
	for bytes, more := 0, true; more && bytes < k.flush && p.uses < mostUses; {
		rows, err := conn.Query(ctx, `SELECT number, record FROM key_use WHERE number > $1 AND number <= $2
			ORDER BY number LIMIT 16`, p.last, end)
		if err != nil {
			return p, err
		}
		more = false
		var record []byte
		_, err = pgx.ForEachRow(rows, []any{&p.last, &record}, func() error {
			u, err := storage.ParseUse(record, event.KRID{})
			bytes, more, p.uses = bytes+len(record), true, p.uses+1
			noteUse(&added, &u, event.Position(p.last))
			return err
		})
		if err != nil {
			return p, err
		}
	}
	if err := conn.QueryRow(ctx, `SELECT nextval('key_segment_n')`).Scan(&p.n); err != nil {
		return p, err
	}
	return p, writeRows(ctx, conn, p.n, make(postings.Tail).Rows(&added))
}

// noteUse adds the postings of a use: one for each term.
func noteUse(a *postings.Added, u *storage.Use, number event.Position) {
	at := postings.Posting{Position: number}
	a.Add(actorTerm(u.Actor), at)
	a.Add(purposeTerm(u.Purpose), at)
	for i := range u.Entries {
		if i == 0 || u.Entries[i].KRID != u.Entries[i-1].KRID {
			a.Add(personTerm(u.Entries[i].KRID), at)
		}
	}
}

func writeRows(ctx context.Context, conn *pgx.Conn, segment int64, rows []postings.Row) error {
	terms, firsts, bytes := make([]int64, len(rows)), make([]int64, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		terms[i], firsts[i], bytes[i] = rows[i].Key.Term, int64(rows[i].First), rows[i].Bytes
	}
	_, err := conn.Exec(ctx, `INSERT INTO key_run SELECT $1, u.term, u.first, u.postings
		FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) u(term, first, postings)`, segment, terms, firsts, bytes)
	return err
}

// errMoved says that the index is not as it was: what was written for it is left to dropOrphans.
var errMoved = errors.New("another process changed the index of uses")

// replace changes the index in one transaction, if it is still as it was read.
func replace(ctx context.Context, conn *pgx.Conn, was *usesIndex, do func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT FROM key_uses FOR NO KEY UPDATE"); err != nil {
			return err
		}
		now, err := readIndex(ctx, tx)
		if err != nil {
			return err
		}
		if !now.same(was) {
			return errMoved
		}
		return do(tx)
	})
}

// mergeStep is how many rows of a segment are written at once.
const mergeStep = 64

// merge does one merge, if there is one to do. First it deletes rows that belong to no segment: what merges, pruning
// and crashes left.
func merge(ctx context.Context, conn *pgx.Conn, x *usesIndex) (bool, error) {
	if err := dropOrphans(ctx, conn); err != nil {
		return false, err
	}
	m := postings.PlanMerge(x.segments)
	if m == nil {
		return false, nil
	}
	var into int64
	if err := conn.QueryRow(ctx, `SELECT nextval('key_segment_n')`).Scan(&into); err != nil {
		return false, err
	}
	from := &runs{ctx: ctx, q: conn}
	if err := m.Begin(from, into); err != nil {
		return false, err
	}
	for done := false; !done; {
		var step []postings.Row
		var err error
		if step, done, err = m.Step(from, mergeStep); err != nil {
			return false, err
		}
		if err := writeRows(ctx, conn, into, step); err != nil {
			return false, err
		}
	}
	sources := make([]int64, len(m.Sources))
	for i, s := range m.Sources {
		sources[i] = s.N
	}
	err := replace(ctx, conn, x, func(tx pgx.Tx) error {
		t := m.Target()
		_, err := tx.Exec(ctx, `WITH gone AS (DELETE FROM key_segment WHERE n = ANY($1) RETURNING uses)
			INSERT INTO key_segment SELECT $2, $3, $4, $5, sum(uses) FROM gone`,
			sources, t.N, t.Level, int64(t.First), int64(t.Last))
		return err
	})
	return err == nil, err
}

// dropOrphans deletes rows that belong to no segment. Which segments rows are of is found by leaps over the index, not
// by reading all rows. Only who has the lease may: what another one is writing belongs to none yet.
func dropOrphans(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `WITH RECURSIVE s AS (
			SELECT min(segment) AS n FROM key_run
			UNION ALL SELECT (SELECT min(segment) FROM key_run WHERE segment > s.n) FROM s WHERE s.n IS NOT NULL)
		SELECT n FROM s WHERE n IS NOT NULL EXCEPT SELECT n FROM key_segment`)
	if err != nil {
		return err
	}
	orphans, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(orphans) > 0 {
		_, err = conn.Exec(ctx, `DELETE FROM key_run WHERE segment = ANY($1)`, orphans)
	}
	return err
}

// clean takes out of the index what pruning left there: segments that cover uses which are gone are written again from
// those that are not.
func (k *Keystore) clean(ctx context.Context, conn *pgx.Conn) error {
	for {
		x, err := readIndex(ctx, conn)
		if err != nil {
			return err
		}
		var n, first, last int64
		err = conn.QueryRow(ctx, `SELECT n, first, last FROM key_segment s
			WHERE uses > (SELECT count(*) FROM key_use WHERE number >= s.first AND number <= s.last) LIMIT 1`).
			Scan(&n, &first, &last)
		if errors.Is(err, pgx.ErrNoRows) {
			return dropOrphans(ctx, conn)
		}
		if err != nil {
			return err
		}
		var pieces []piece
		for after := first - 1; after < last; {
			p, err := k.writePiece(ctx, conn, after, last)
			if err != nil {
				return err
			}
			if after == p.last || p.uses == 0 {
				p.last = last // no more of its uses are there
			}
			pieces, after = append(pieces, p), p.last
		}
		err = replace(ctx, conn, &x, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM key_segment WHERE n = $1`, n)
			for i := 0; i < len(pieces) && err == nil; i++ {
				err = pieces[i].insert(ctx, tx)
			}
			return err
		})
		if err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
}
