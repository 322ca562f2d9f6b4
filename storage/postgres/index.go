package postgres

import (
	"bytes"
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
)

// index is what the process knows of the log's head and of the inverted index, as of some commit. It is brought to the
// present by reading the rows of table batch that are newer, before each answer. What it gave out stays valid: segments
// are replaced and never changed, and postings that are appended lie beyond the head of an older view.
type index struct {
	mu       sync.RWMutex
	head     storage.Head // of the newest commit that is known
	changes  int64        // head.changes, as of which segments and life are known
	indexed  event.Position
	segments []postings.Segment
	tail     postings.Tail
	terms    *storage.Terms
}

func newIndex(id storage.Identity) *index {
	return &index{head: storage.Head{Identity: id}, changes: -1, tail: make(postings.Tail), terms: storage.NewTerms(id)}
}

// news is what happened since the process last looked, as one statement answered it.
type news struct {
	fence, indexed, changes, lives int64
	life                           storage.Life
	metadata                       []string
	store                          []byte
	segments                       []postings.Segment // nil: as they were
	rows                           []batchRow
	lastStream, lastName           int64
}

// batchRow is a commit that is newer than what is known.
type batchRow struct {
	position, system int64
	frontier         []byte // of the newest only
	postings         []byte
}

// newsQuery is one statement, so that it answers as of one commit. $1: the last position known; $2: head.changes.
const newsQuery = `SELECT h.fence, h.indexed, h.changes, h.lives, h.state, h.place, h.store, h.metadata,
	CASE WHEN h.changes <> $2 THEN (SELECT array_agg(x ORDER BY s.first, i)
		FROM segment s, unnest(ARRAY[s.n, s.level, s.first, s.last]) WITH ORDINALITY u(x, i)) END,
	coalesce((SELECT max(id) FROM stream), 0), coalesce((SELECT max(id) FROM name), 0),
	b.position, b.system, b.postings,
	CASE WHEN b.position = (SELECT max(position) FROM batch) THEN b.frontier END
	FROM head h LEFT JOIN batch b ON b.position > $1 ORDER BY b.position`

// readNews reads the answer of newsQuery.
func readNews(rows pgx.Rows) (n news, err error) {
	defer rows.Close()
	found := false
	for rows.Next() {
		var state int16
		var flat []int64
		var position, system *int64
		var r batchRow
		err := rows.Scan(&n.fence, &n.indexed, &n.changes, &n.lives, &state, &n.life.Place, &n.store, &n.metadata, &flat,
			&n.lastStream, &n.lastName, &position, &system, &r.postings, &r.frontier)
		if err != nil {
			return n, err
		}
		n.life.State = storage.State(state)
		if !found {
			n.segments = segmentsOf(flat)
		}
		found = true
		if position != nil {
			r.position, r.system = *position, *system
			n.rows = append(n.rows, r)
		}
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	if !found {
		return n, event.Errorf(event.ErrCorrupt, "read head: its row is missing").Hint("restore a backup")
	}
	return n, nil
}

func segmentsOf(flat []int64) (segments []postings.Segment) {
	for ; len(flat) >= 4; flat = flat[4:] {
		segments = append(segments, postings.Segment{
			N: flat[0], Level: int(flat[1]), First: event.Position(flat[2]), Last: event.Position(flat[3]),
		})
	}
	return segments
}

// known is from where on news are wanted.
func (x *index) known() (position, changes int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return int64(x.head.Position), x.changes
}

// learn takes over news. Some of it may be known by now, because another goroutine learned it meanwhile.
func (x *index) learn(n *news) (storage.Head, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !bytes.Equal(n.store, x.head.Store[:]) || !storage.SameIndexed(n.metadata, x.head.Indexed) {
		return storage.Head{}, event.Errorf(event.ErrUnavailable, "use store: another process declared metadata keys "+
			"anew, or copied a store into it").Hint("open it again: restart this process")
	}
	if n.changes > x.changes {
		if err := x.rearrange(n); err != nil {
			return storage.Head{}, err
		}
	}
	for i := range n.rows {
		r := &n.rows[i]
		position := event.Position(r.position)
		if position <= x.head.Position {
			continue
		}
		if position > x.indexed {
			if err := x.note(r.postings); err != nil {
				return storage.Head{}, err
			}
		}
		x.head.Position, x.head.System = position, event.Position(r.system)
		x.head.Frontier = r.frontier
	}
	return x.head.Clone(), nil
}

// rearrange takes over what changes rarely: segments, life, fence, declared keys.
func (x *index) rearrange(n *news) error {
	if err := postings.Check(n.segments, event.Position(n.indexed)); err != nil {
		return err
	}
	x.changes, x.segments = n.changes, n.segments
	x.head.Fence, x.head.Life = uint64(n.fence), n.life
	if indexed := event.Position(n.indexed); indexed != x.indexed {
		tail := make(postings.Tail)
		for key, list := range x.tail {
			for i := range list {
				if list[i].Position > indexed {
					tail[key] = list[i:len(list):len(list)]
					break
				}
			}
		}
		x.tail, x.indexed = tail, indexed
	}
	return nil
}

// note adds the postings of a commit to the tail.
func (x *index) note(b []byte) error {
	a, err := postings.ParseAdded(b)
	if err != nil {
		return err
	}
	x.tail.Add(&a)
	return nil
}

// took takes over a commit of this process, unless it was learned meanwhile.
func (x *index) took(head storage.Head, a *postings.Added) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if head.Position <= x.head.Position {
		return
	}
	x.tail.Add(a)
	x.head.Position, x.head.System, x.head.Frontier = head.Position, head.System, head.Frontier
}

// view is the index as it is known now, with the tails of these lists.
func (x *index) view(rows postings.Rows, keys []postings.Key) *postings.View {
	x.mu.RLock()
	defer x.mu.RUnlock()
	tails := make(postings.Tail, len(keys))
	for _, key := range keys {
		tails[key] = x.tail[key]
	}
	return &postings.View{
		Rows: rows, Head: x.head.Position, Indexed: x.indexed, Segments: x.segments, Tail: tails.List,
	}
}

func (x *index) plan(f event.Filter) (postings.Plan, bool, error) {
	x.mu.RLock()
	terms := x.terms
	x.mu.RUnlock()
	return postings.NewPlan(terms, f)
}

// refresh brings the index to the present and gives the head.
func (s *Store) refresh(ctx context.Context) (head storage.Head, err error) {
	err = s.calls.Try(ctx, func(ctx context.Context) error {
		position, changes := s.index.known()
		rows, err := s.pool.Query(ctx, newsQuery, position, changes)
		if err != nil {
			return err
		}
		n, err := readNews(rows)
		if err == nil && n.lastName > s.names.last() {
			err = s.names.load(ctx, s.pool)
		}
		if err == nil {
			head, err = s.learn(&n)
		}
		return err
	})
	return head, err
}

// learn takes over news and wakes those who waited for them.
func (s *Store) learn(n *news) (storage.Head, error) {
	head, err := s.index.learn(n)
	if n.segments != nil {
		s.shelf.keep(n.segments)
	}
	if err == nil {
		s.waiting.reached(head.Position)
	}
	return head, err
}
