package sqlite

import (
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// segment is a run of the index that covers positions first to last.
type segment struct {
	n     int64
	level int
	first event.Position
	last  event.Position
}

// index is what the process knows of the inverted index. Segments and lists are replaced or appended to by publish,
// under the head's lock; a view of them stays valid, because segments are never changed in place, appended postings
// lie beyond the head of an older view, and rows of dropped segments are deleted only by a later commit.
type index struct {
	segments []segment             // by position
	tail     map[listKey][]posting // everything after indexed
	indexed  event.Position        // covered by segments
	merge    *merge                // in progress; the writer's
	garbage  []int64               // dropped segments whose rows are still there; the writer's
	terms    *storage.Terms
}

func loadIndex(c *conn, head storage.Head, indexed event.Position) (*index, error) {
	x := &index{tail: make(map[listKey][]posting), indexed: indexed, terms: storage.NewTerms(head.Identity)}
	err := c.query("SELECT n, level, first, last FROM segment ORDER BY first", func(r row) error {
		x.segments = append(x.segments, segment{
			n: r.int64(0), level: int(r.int64(1)), first: event.Position(r.int64(2)), last: event.Position(r.int64(3)),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	next := event.Position(1)
	for _, s := range x.segments {
		if s.first != next {
			return nil, event.Errorf(event.ErrCorrupt, "open index: no segment covers position %d", next).
				Hint("rebuild the index: lethe doctor --reindex")
		}
		next = s.last + 1
	}
	if next != indexed+1 {
		return nil, event.Errorf(event.ErrCorrupt, "open index: segments end at %d, the head says %d", next-1, indexed).
			Hint("rebuild the index: lethe doctor --reindex")
	}
	x.garbage, err = orphans(c)
	return x, err
}

// orphans are segments with rows but without an entry: merges that a crash cut off, or drops it kept from finishing.
func orphans(c *conn) (found []int64, err error) {
	for after := int64(-1); ; {
		next := int64(-1)
		err := c.query("SELECT segment FROM run WHERE segment > ? ORDER BY segment LIMIT 1", func(r row) error {
			next = r.int64(0)
			return nil
		}, after)
		if err != nil || next < 0 {
			return found, err
		}
		live := false
		err = c.query("SELECT 1 FROM segment WHERE n = ?", func(row) error { live = true; return nil }, next)
		if err != nil {
			return nil, err
		}
		if !live {
			found = append(found, next)
		}
		after = next
	}
}

// added are the postings of one batch, until it is durable.
type added struct {
	keys     []listKey
	postings []posting
}

func (a *added) add(key listKey, p posting) {
	a.keys, a.postings = append(a.keys, key), append(a.postings, p)
}

// takeOver appends durable postings to the tail.
func (x *index) takeOver(a *added) {
	for i, key := range a.keys {
		x.tail[key] = append(x.tail[key], a.postings[i])
	}
}

// runOf is a run of the tail and of what a batch adds.
func (x *index) runOf(a *added) []chunk {
	batch := make(map[listKey][]posting, len(a.keys))
	for i, key := range a.keys {
		batch[key] = append(batch[key], a.postings[i])
	}
	keys := make([]listKey, 0, len(x.tail)+len(batch))
	for key := range x.tail {
		keys = append(keys, key)
	}
	for key := range batch {
		if _, ok := x.tail[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, listKey.compare)
	var c chunker
	for _, key := range keys {
		for _, p := range x.tail[key] {
			c.add(key, p)
		}
		for _, p := range batch[key] {
			c.add(key, p)
		}
	}
	return c.take(true)
}

// segmentAt is the index of the first segment that ends at or after p.
func segmentAt(segments []segment, p event.Position) int {
	i, _ := slices.BinarySearchFunc(segments, p, func(s segment, p event.Position) int {
		if s.last < p {
			return -1
		}
		return 0
	})
	return i
}
