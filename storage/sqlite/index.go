package sqlite

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// index is what the process knows of the inverted index. Segments and lists are replaced or appended to by publish,
// under the head's lock; a view of them stays valid, because segments are never changed in place, appended postings
// lie beyond the head of an older view, and rows of dropped segments are deleted only by a later commit.
type index struct {
	segments []postings.Segment // by position
	tail     postings.Tail      // everything after indexed
	indexed  event.Position     // covered by segments
	merge    *postings.Merge    // in progress; the writer's
	garbage  []int64            // dropped segments whose rows are still there; the writer's
	terms    *storage.Terms
}

func loadIndex(c *sqlink.Conn, head storage.Head, indexed event.Position) (*index, error) {
	x := &index{tail: make(postings.Tail), indexed: indexed, terms: storage.NewTerms(head.Identity)}
	var err error
	if x.segments, err = sqlink.Segments(c); err != nil {
		return nil, err
	}
	if err := postings.Check(x.segments, indexed); err != nil {
		return nil, err
	}
	x.garbage, err = sqlink.Orphans(c)
	return x, err
}

// abandonMerge forgets a merge whose rows were rolled back, and leaves those of earlier commits to be deleted.
func (x *index) abandonMerge() {
	if m := x.merge; m != nil && m.Into != 0 {
		x.garbage = append(x.garbage, m.Into)
		x.merge = postings.PlanMerge(x.segments)
	}
}

// replace puts a finished merge in the place of its sources.
func (x *index) replace(done *postings.Merge) {
	x.segments, _ = done.Replace(x.segments)
	for _, s := range done.Sources {
		x.garbage = append(x.garbage, s.N)
	}
	x.merge = nil
}

// mergeStep writes up to rows rows of the merge in progress, and ends it when its sources are done.
func (t *commit) mergeStep(rows int) error {
	m := t.store.index.merge
	bytes, done, err := sqlink.StepMerge(t.c, m, rows)
	t.bytes += bytes
	if done && err == nil {
		t.merged = m
	}
	return err
}
