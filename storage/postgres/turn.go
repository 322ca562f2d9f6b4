package postgres

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/storage"
)

// turn is a commit that has locked the head before anybody said what is to be committed.
type turn struct {
	*commit
	asked *questions
}

// Turn waits until the head is this process's to move, so that a sequencer takes as many requests into its next commit
// as came while it waited for the commits of other processes. It does not wait where no other was met lately. What
// fails is left to the commit. The turn ends with the next Commit, or with done, which may be called in any case.
func (s *Store) Turn(ctx context.Context) (done func()) {
	s.write.Lock()
	defer s.write.Unlock()
	nothing := func() {}
	if s.writer.alone >= aloneFor || s.doubt || s.turn != nil || s.calls.Usable(ctx) != nil {
		return nothing
	}
	t := &turn{commit: newCommit(s)}
	var err error
	if t.asked, err = t.lock(ctx, storage.Probe{}); err != nil {
		s.link.Drop()
		return nothing
	}
	s.turn = t
	return func() {
		s.write.Lock()
		defer s.write.Unlock()
		if s.turn == t {
			s.pass()
		}
	}
}

// pass gives up the turn this process may have. It wants write.
func (s *Store) pass() {
	if t := s.turn; t != nil {
		s.turn = nil
		t.rollback()
	}
}

// rollback ends a transaction that wrote nothing.
func (t *commit) rollback() {
	defer t.store.link.Watch()()
	t.store.link.Rollback()
}

// resume answers a probe in the transaction of the turn.
func (t *turn) resume(ctx context.Context, p storage.Probe) error {
	defer t.store.link.Watch()()
	q := t.asked
	q.ids, q.streams, q.found = p.IDs, t.unknown(p.Streams), nil
	first := int64(min(p.Leaves, math.MaxInt64))
	var b pgx.Batch
	q.queue(&b, p.Leaves > 0 && first < q.from, first)
	if b.Len() > 0 {
		results := t.conn.SendBatch(ctx, &b)
		err := q.readMore(results, p.Leaves > 0 && first < q.from)
		if closing := results.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return err
		}
	}
	for _, e := range q.found {
		t.store.writer.add(e)
	}
	return t.answer(ctx, p, q)
}
