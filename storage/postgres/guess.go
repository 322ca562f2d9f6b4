package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

// aloneFor is after how many commits without a trace of another process it is worth guessing that there is none.
const aloneFor = 64

// errMet says that a guess was wrong: another process committed meanwhile.
var errMet = errors.New("another process committed")

// guess commits in one round trip instead of two: it decides on what this process knows and locks the head afterwards,
// in a transaction that fails if the head is not the one that was decided on. Nothing is answered on a guess alone:
// where nothing is to be written, or the guess was wrong, done is false, and the batch is decided anew under the lock.
func (s *Store) guess(p storage.Probe, decide func(storage.Head, storage.Found) (storage.Batch, error),
) (head storage.Head, done bool, err error) {
	t := newCommit(s)
	if !t.known(p) {
		return head, false, nil
	}
	for i := range p.Conditions {
		if t.found.Hits[i], err = t.hit(s.ctx, &p.Conditions[i]); err != nil {
			return head, false, nil
		}
	}
	batch, err := decide(t.head.Clone(), t.found)
	if err != nil || empty(&batch) || batch.Life != nil {
		return head, false, nil
	}
	switch err := t.write(&batch); {
	case errors.Is(err, errMet):
		s.writer.alone = 0
		return head, false, nil
	case err != nil:
		return head, true, fmt.Errorf("commit: %w", pglink.Classify(err))
	}
	return t.head.Clone(), true, nil
}

// known answers a probe from memory, if all it asks for is there.
func (t *commit) known(p storage.Probe) bool {
	s := t.store
	w := &s.writer
	if s.turn != nil || w.alone < aloneFor || s.doubt || len(p.IDs) > 0 || !s.link.Connected() {
		return false
	}
	var changes int64
	if t.head, changes = s.index.now(); t.head.Position != w.known || changes != w.changes {
		return false
	}
	if p.Leaves > 0 && p.Leaves <= t.head.Position {
		return false
	}
	t.conn, _ = s.link.Connect(s.ctx) // it is there
	t.changes, t.guessed = changes, true
	t.found = storage.Found{
		Streams: make([]storage.StreamState, len(p.Streams)), Hits: make([]event.Position, len(p.Conditions)),
	}
	for i, name := range p.Streams {
		if !w.streams.Contains(name) {
			return false
		}
		t.found.Streams[i] = t.stream(name).state
	}
	return true
}

// now is the head that is known, and as of which changes.
func (x *index) now() (storage.Head, int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.head.Clone(), x.changes
}

// queueGuard queues what makes the transaction of a guess fail, by a division by zero, if the head is not the one that
// was decided on.
func (t *commit) queueGuard(out *pgx.Batch) {
	out.Queue("BEGIN")
	out.Queue("SELECT FROM head " + exclusive)
	out.Queue(`SELECT 1 / (CASE WHEN h.changes = $2 AND (SELECT max(position) FROM batch) = $1 THEN 1 ELSE 0 END) FROM head h`,
		int64(t.head.Position), t.changes)
}

// guessState is the SQLSTATE of a guess that was wrong.
const guessState = "22012"
