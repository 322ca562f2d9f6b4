package postgres

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"github.com/lethe-es/lethe/storage/postings"
)

// errMerged says that a row of the index is gone: another process merged its segment into another.
var errMerged = errors.New("a segment of the index is gone")

// shelf keeps rows of the index in memory, and of each segment what its rows begin with. Segments never change, so
// what is here is right as long as anybody asks for it.
type shelf struct {
	mu       sync.Mutex
	contents map[int64][]begin
	rows     *simplelru.LRU[rowID, []byte]
}

// begin is the posting a row begins with.
type begin struct {
	term  int64
	first event.Position
}

type rowID struct {
	segment int64
	n       int
}

// keptRows is how many rows are kept in memory, of at most 8 kB each.
const keptRows = 4096

func newShelf() *shelf {
	rows, _ := simplelru.NewLRU[rowID, []byte](keptRows, nil) // fails for sizes below 1 only
	return &shelf{contents: make(map[int64][]begin), rows: rows}
}

// keep forgets segments that are not there any more.
func (s *shelf) keep(segments []postings.Segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.contents {
		if !slices.ContainsFunc(segments, func(x postings.Segment) bool { return x.N == n }) {
			delete(s.contents, n)
		}
	}
}

func (s *shelf) begins(segment int64) ([]begin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, ok := s.contents[segment]
	return list, ok
}

func (s *shelf) row(id rowID) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.Get(id)
}

func (s *shelf) put(id rowID, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows.Add(id, b)
}

// indexRows reads rows of the index for one call: from the shelf, or from the database.
type indexRows struct {
	store *Store
	ctx   context.Context // of the one call it serves
	db    pglink.Querier
}

func (i *indexRows) At(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	list, err := i.begins(segment)
	if err != nil {
		return postings.Row{}, false, err
	}
	n := after(list, key.Term, p) - 1
	if n < 0 {
		return postings.Row{}, false, nil
	}
	return i.row(segment, n, list[n])
}

func (i *indexRows) After(segment int64, key postings.Key, p event.Position) (postings.Row, bool, error) {
	list, err := i.begins(segment)
	if err != nil {
		return postings.Row{}, false, err
	}
	n := 0
	if key.Space >= postings.TermSpace {
		n = after(list, key.Term, p)
	}
	if n == len(list) {
		return postings.Row{}, false, nil
	}
	return i.row(segment, n, list[n])
}

// after is the number of the first row that begins after a posting.
func after(list []begin, term int64, p event.Position) int {
	return sort.Search(len(list), func(i int) bool {
		return list[i].term > term || list[i].term == term && list[i].first > p
	})
}

// begins is what the rows of a segment begin with.
func (i *indexRows) begins(segment int64) ([]begin, error) {
	if list, ok := i.store.shelf.begins(segment); ok {
		return list, nil
	}
	rows, err := i.db.Query(i.ctx, `SELECT term, first FROM run WHERE segment = $1 ORDER BY n`, segment)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []begin
	for rows.Next() {
		v := rows.RawValues()
		list = append(list, begin{int64Of(v[0]), event.Position(int64Of(v[1]))})
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errMerged
	}
	s := i.store.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contents[segment] = list
	return list, nil
}

func (i *indexRows) row(segment int64, n int, at begin) (postings.Row, bool, error) {
	id := rowID{segment, n}
	b, ok := i.store.shelf.row(id)
	if !ok {
		if err := i.fetch([]int64{segment}, []int64{int64(n)}); err != nil {
			return postings.Row{}, false, err
		}
		if b, ok = i.store.shelf.row(id); !ok {
			return postings.Row{}, false, errMerged
		}
	}
	key := postings.Key{Space: postings.TermSpace, Term: at.term}
	return postings.Row{Key: key, First: at.first, Bytes: b}, true, nil
}

// fetch puts rows on the shelf.
func (i *indexRows) fetch(segments, numbers []int64) error {
	rows, err := i.db.Query(i.ctx, `SELECT r.segment, r.n, r.postings FROM unnest($1::bigint[], $2::bigint[]) u(segment, n)
		JOIN run r ON r.segment = u.segment AND r.n = u.n`, segments, numbers)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id rowID
		var b []byte
		if err := rows.Scan(&id.segment, &id.n, &b); err != nil {
			return err
		}
		i.store.shelf.put(id, b)
	}
	return rows.Err()
}

// ahead is how many segments are fetched before a walk begins, so that it does not ask for each on its own.
const ahead = 16

// prefetch fetches what a walk of lists from p on will look at first, in one question.
func (i *indexRows) prefetch(v *postings.View, keys []postings.Key, p event.Position, backward bool) error {
	var segments, numbers []int64
	for _, s := range near(v.Segments, p, backward) {
		list, err := i.begins(s.N)
		if err != nil {
			return err
		}
		for _, key := range keys {
			n := after(list, key.Term, max(p, s.First)) - 1
			if _, kept := i.store.shelf.row(rowID{s.N, n}); n >= 0 && !kept && len(segments) < keptRows/8 {
				segments, numbers = append(segments, s.N), append(numbers, int64(n))
			}
		}
	}
	if len(segments) < 2 {
		return nil
	}
	return i.fetch(segments, numbers)
}

// near are the segments a walk from p meets first.
func near(segments []postings.Segment, p event.Position, backward bool) []postings.Segment {
	at := sort.Search(len(segments), func(i int) bool { return segments[i].Last >= p })
	if backward {
		return segments[max(0, min(at+1, len(segments))-ahead):min(at+1, len(segments))]
	}
	return segments[at:min(at+ahead, len(segments))]
}
