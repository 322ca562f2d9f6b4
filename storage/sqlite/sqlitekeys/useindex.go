package sqlitekeys

import (
	"errors"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// useCommit is one transaction of uses.db: what it adds to memory is kept apart until it is durable.
type useCommit struct {
	log     *useLog
	last    uint64
	written int // about how many bytes

	added   postings.Added
	flushed *postings.Segment // the run it wrote of the whole tail
	merging bool              // it went on with a merge
	merged  *postings.Merge   // the merge it finished
	dropped bool              // nothing is left of the first piece of garbage
}

// For how many entries that are added one row more is merged or dropped. An entry takes about 14 bytes of a row of
// 7,600 in each of two merges, so this is several times what is needed to keep up.
const entriesPerRow = 64

// maintain keeps the index in shape: it writes the tail out when it is long enough, goes on with a merge, or deletes
// rows of dropped segments, in proportion to what is added.
func (t *useCommit) maintain() error {
	u := t.log
	if u.fresh+len(t.added.Keys) >= u.flush {
		return t.writeTail()
	}
	rows := 1 + len(t.added.Keys)/entriesPerRow
	switch {
	case u.paused:
		return nil
	case u.merge != nil:
		return t.step(u.merge, rows)
	case len(u.garbage) > 0:
		return t.drop(rows)
	}
	return nil
}

// writeTail writes the tail and what is added as one segment.
func (t *useCommit) writeTail() error {
	u := t.log
	n, err := sqlink.NextSegment(u.file.c, u.merge)
	if err != nil {
		return err
	}
	t.flushed = &postings.Segment{N: n, First: u.indexed + 1, Last: event.Position(t.last)}
	bytes, err := sqlink.AddRows(u.file.c, n, u.tail.Rows(&t.added))
	t.written += bytes
	if err == nil {
		err = sqlink.AddSegment(u.file.c, *t.flushed)
	}
	if err == nil {
		err = u.file.c.Exec("UPDATE head SET indexed = ? WHERE one = 1", int64(t.last))
	}
	return err
}

// step goes on with a merge.
func (t *useCommit) step(m *postings.Merge, rows int) error {
	t.merging = true
	bytes, done, err := sqlink.StepMerge(t.log.file.c, m, rows)
	t.written += bytes
	if done && err == nil {
		t.merged = m
	}
	return err
}

func (t *useCommit) drop(rows int) (err error) {
	t.dropped, err = sqlink.DropRows(t.log.file.c, t.log.garbage[0], max(rows, 16))
	return err
}

// abandon forgets a merge whose rows were rolled back, and leaves those of earlier commits to be deleted.
func (t *useCommit) abandon() {
	if t.merging {
		t.log.abandonMerge()
	}
}

func (u *useLog) abandonMerge() {
	if m := u.merge; m != nil && m.Into != 0 {
		u.garbage = append(u.garbage, m.Into)
	}
	u.merge = nil
}

// publish makes a durable commit the state in memory.
func (t *useCommit) publish() error {
	u := t.log
	if t.dropped {
		u.garbage = u.garbage[1:]
	}
	if t.merged != nil {
		u.merge = nil
		for _, s := range t.merged.Sources {
			u.garbage = append(u.garbage, s.N)
		}
	}
	t.show()
	if t.flushed != nil {
		u.fresh = 0
	} else {
		u.fresh += len(t.added.Keys)
	}
	if t.flushed != nil || t.merged != nil {
		return u.planMerge()
	}
	return nil
}

// show lets readers see a commit.
func (t *useCommit) show() {
	u := t.log
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = t.last
	if t.merged != nil {
		u.segments, _ = t.merged.Replace(u.segments)
	}
	if t.flushed != nil {
		u.segments = append(slices.Clip(u.segments), *t.flushed)
		u.tail, u.indexed = make(postings.Tail), t.flushed.Last
		return
	}
	u.tail.Add(&t.added)
}

func joinClose(err error, close func() error) error { return errors.Join(err, close()) }
