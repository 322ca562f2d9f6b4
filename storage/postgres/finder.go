package postgres

import (
	"slices"
	"sort"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage/postings"
)

// finder makes the finder of a plan that needs no scan.
func (b *pageBuilder) finder(p postings.Plan, v *postings.View) (postings.Finder, error) {
	from, _, _ := b.q.Bounds(uint64(v.Head))
	if err := v.Rows.(*indexRows).prefetch(v, p.Keys, event.Position(from), b.q.Backward); err != nil {
		return nil, err
	}
	streams := make(map[event.StreamID]*streamFinder, len(p.Streams))
	for _, name := range p.Streams {
		f := &streamFinder{b: b}
		err := b.db.QueryRow(b.ctx, `SELECT coalesce(s.id, 0), coalesce((SELECT max(version) FROM event WHERE stream = s.id), 0)
			FROM (SELECT) one LEFT JOIN stream s ON s.kind = $1 AND s.name = $2`, name.Kind, name.ID).Scan(&f.stream, &f.last)
		if err != nil {
			return nil, err
		}
		streams[name] = f
	}
	stream := func(name event.StreamID) postings.Finder { return streams[name] }
	return p.Finder(v, postings.Names{Role: b.store.names.role, Stream: stream}, b.q.Backward), nil
}

// streamFinder finds the events of a stream, of which positions ascend with versions, a block of them at a time.
type streamFinder struct {
	b      *pageBuilder
	stream int64
	last   int64   // version
	block  []place // ascending
}

type place struct {
	version  int64
	position event.Position
}

// blockPlaces is how many places are read at once.
const blockPlaces = 512

// Next implements postings.Finder.
func (f *streamFinder) Next(p event.Position) (event.Position, bool, error) {
	if at, ok := f.inBlock(p); ok {
		return at, true, nil
	}
	version, err := f.versionAt(p)
	if err != nil || version < 1 || version > f.last {
		return 0, false, err
	}
	if err := f.load(version); err != nil {
		return 0, false, err
	}
	switch {
	case len(f.block) == 0:
		return 0, false, nil
	case f.b.q.Backward:
		return f.block[len(f.block)-1].position, true, nil
	}
	return f.block[0].position, true, nil
}

// inBlock is the answer, if the block surely holds it.
func (f *streamFinder) inBlock(p event.Position) (event.Position, bool) {
	n := len(f.block)
	if n == 0 || p > f.block[n-1].position && !f.b.q.Backward || p < f.block[0].position && f.b.q.Backward {
		return 0, false
	}
	i := sort.Search(n, func(i int) bool { return f.block[i].position >= p })
	switch {
	case i < n && f.block[i].position == p:
		return p, true
	case f.b.q.Backward && (i < n || f.block[n-1].version == f.last) && i > 0:
		return f.block[i-1].position, true
	case !f.b.q.Backward && i < n && (i > 0 || f.block[0].version == 1):
		return f.block[i].position, true
	}
	return 0, false
}

// versionAt is the first version at or after a position, or backward the last at or before it.
func (f *streamFinder) versionAt(p event.Position) (int64, error) {
	low, high := int64(1), f.last+1 // the first version at or after p is in low to high
	if n := len(f.block); n > 0 && f.block[n-1].position < p {
		low = f.block[n-1].version + 1
	} else if n > 0 && f.block[0].position >= p {
		high = f.block[0].version
	}
	for low < high {
		middle := low + (high-low)/2
		if low == f.next() && high-low > 1 {
			middle = low // a walk goes on where the block ends, more often than not
		}
		var position int64
		err := f.b.db.QueryRow(f.b.ctx, `SELECT position FROM event WHERE stream = $1 AND version = $2`, f.stream, middle).
			Scan(&position)
		if err != nil {
			return 0, err
		}
		if event.Position(position) >= p {
			high = middle
		} else {
			low = middle + 1
		}
		if event.Position(position) == p {
			return middle, nil
		}
	}
	if f.b.q.Backward {
		return low - 1, nil
	}
	return low, nil
}

// next is the version a walk forward goes on with.
func (f *streamFinder) next() int64 {
	if n := len(f.block); n > 0 {
		return f.block[n-1].version + 1
	}
	return 0
}

// load reads the block that begins, or backward ends, with a version.
func (f *streamFinder) load(version int64) error {
	text := `SELECT version, position FROM event WHERE stream = $1 AND version >= $2 ORDER BY version LIMIT $3`
	if f.b.q.Backward {
		text = `SELECT version, position FROM event WHERE stream = $1 AND version <= $2 ORDER BY version DESC LIMIT $3`
	}
	rows, err := f.b.db.Query(f.b.ctx, text, f.stream, version, blockPlaces)
	if err != nil {
		return err
	}
	defer rows.Close()
	f.block = f.block[:0]
	for rows.Next() {
		v := rows.RawValues()
		f.block = append(f.block, place{int64Of(v[0]), event.Position(int64Of(v[1]))})
	}
	if f.b.q.Backward {
		slices.Reverse(f.block)
	}
	return rows.Err()
}
