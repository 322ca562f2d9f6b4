package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"github.com/lethe-es/lethe/storage/postings"
)

// maxLooked bounds how many rows one page looks at, so that a sparse filter does not keep its caller from advancing.
const maxLooked = 16_384

// Page returns up to q.Limit records that match, in order, and how far it looked.
func (s *Store) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	if q.Limit <= 0 {
		return storage.Page{}, event.Invalid("malformed_limit", "read page: the limit must be above 0")
	}
	if !q.ID.IsZero() {
		q = storage.Query{ID: q.ID, Limit: 1}
	}
	p, scan, err := s.index.plan(q.Filter)
	if err != nil {
		return storage.Page{}, fmt.Errorf("read page: %w", err)
	}
	var page storage.Page
	err = s.calls.Try(ctx, func(ctx context.Context) (err error) {
		b := &pageBuilder{store: s, ctx: ctx, db: s.pool, q: q, reader: reader{store: s}}
		switch {
		case !q.ID.IsZero():
			err = b.byID()
		case !q.Stream.IsZero():
			err = b.byVersion()
		case scan:
			err = b.scan(math.MaxInt64)
		default:
			err = b.indexed(p)
		}
		page = b.page
		return err
	})
	if err != nil {
		return storage.Page{}, fmt.Errorf("read page: %w", err)
	}
	return page, nil
}

// pageBuilder gathers one page.
type pageBuilder struct {
	store  *Store
	ctx    context.Context // of the one call it serves
	db     pglink.Querier
	q      storage.Query
	reader reader
	page   storage.Page
	looked int
	bodies int // bytes in the page
}

// full reports whether the page ends here.
func (b *pageBuilder) full() bool {
	return len(b.page.Records) >= b.q.Limit || b.looked >= maxLooked || b.bodies >= storage.MaxPageBytes
}

// chunk is how many rows to ask for: what the page still takes, as far as what bodies were so far tells.
func (b *pageBuilder) chunk() int64 {
	n := min(b.q.Limit-len(b.page.Records), maxLooked-b.looked)
	if len(b.q.Filter) > 0 || b.q.Since != 0 || b.q.Until != 0 {
		n = min(max(n, 256), maxLooked-b.looked) // some do not match
	}
	average := b.store.average.Load()
	if average == 0 {
		return int64(min(n, 64))
	}
	return min(int64(n), max(storage.MaxPageBytes/average, 1))
}

// take takes the records that match, up to where the page is full, and says how many it looked at.
func (b *pageBuilder) take(records []storage.Record) (int, error) {
	b.store.noteSize(records)
	for i := range records {
		if b.full() {
			return i, nil
		}
		r := &records[i]
		b.looked++
		if b.q.Since != 0 && r.Recorded < b.q.Since || b.q.Until != 0 && r.Recorded >= b.q.Until {
			continue
		}
		ok, err := r.Matches(b.q.Filter)
		if err != nil {
			return i, err
		}
		if ok {
			b.page.Records = append(b.page.Records, *r)
			b.bodies += len(r.Body)
		}
	}
	return len(records), nil
}

// noteSize remembers how large bodies are.
func (s *Store) noteSize(records []storage.Record) {
	bytes := 0
	for i := range records {
		bytes += len(records[i].Body)
	}
	if len(records) > 0 {
		s.average.Store(int64(max(bytes/len(records), 64)))
	}
}

// query reads records and says, from the first column, as of which head.
func (b *pageBuilder) query(text string, args ...any) ([]storage.Record, error) {
	rows, err := b.db.Query(b.ctx, text, args...)
	if err != nil {
		return nil, err
	}
	head := event.Position(0)
	if err := b.reader.read(rows, 1, func(v [][]byte) { head = event.Position(int64Of(v[0])) }); err != nil {
		return nil, err
	}
	if b.page.Head == 0 {
		b.page.Head = head
	}
	return b.reader.take(b.ctx, b.db)
}

// headAnd is a statement that answers as of one head, which is its first column.
func headAnd(sub string) string {
	return `SELECT h.position, e.* FROM (SELECT max(position) AS position FROM batch) h
		LEFT JOIN LATERAL (SELECT ` + recordColumns + ` FROM event ` + sub + `) e ON true`
}

var (
	byIDQuery = headAnd(`WHERE id = $1`)
	upQuery   = headAnd(`WHERE position >= $1 AND position <= least($2, h.position) ORDER BY position LIMIT $3`)
	downQuery = headAnd(`WHERE position >= $1 AND position <= least($2, h.position) ORDER BY position DESC LIMIT $3`)
	atQuery   = headAnd(`WHERE position = ANY($1::bigint[]) ORDER BY position`)

	versionsUpQuery   = headAnd(`WHERE stream = $1 AND version >= $2 AND version <= $3 ORDER BY version LIMIT $4`)
	versionsDownQuery = headAnd(`WHERE stream = $1 AND version >= $2 AND version <= $3 ORDER BY version DESC LIMIT $4`)
)

func (b *pageBuilder) byID() error {
	b.page.Done = true
	records, err := b.query(byIDQuery, [16]byte(b.q.ID))
	if len(records) > 0 {
		b.page.Records, b.page.Scanned = records, uint64(records[0].Position)
	}
	return err
}

// scan walks the rows by position, up to the head or, where a caller knows one, to end.
func (b *pageBuilder) scan(end uint64) error {
	text := upQuery
	if b.q.Backward {
		text = downQuery
	}
	from, to, some := b.q.Bounds(end)
	if !some && b.page.Head == 0 {
		var head int64
		err := b.db.QueryRow(b.ctx, `SELECT max(position) FROM batch`).Scan(&head)
		b.page.Head, b.page.Done = event.Position(head), true
		return err
	}
	for some {
		low, high := from, to
		if b.q.Backward {
			low, high = to, from
		}
		asked := b.chunk()
		records, err := b.query(text, int64(min(low, math.MaxInt64)), int64(min(high, math.MaxInt64)), asked)
		if err != nil {
			return err
		}
		if end == math.MaxInt64 { // the first answer tells the head
			end = uint64(b.page.Head)
			if from, to, some = b.q.Bounds(end); !some {
				break
			}
		}
		n, err := b.take(records)
		if err != nil {
			return err
		}
		if n == 0 {
			return event.Errorf(event.ErrCorrupt, "read event at %d: its row is missing", from).Hint("restore a backup")
		}
		b.page.Scanned = uint64(records[n-1].Position)
		if b.page.Scanned == to {
			b.page.Done = true
			return nil
		}
		if b.full() {
			return nil
		}
		from = b.q.Next(b.page.Scanned)
	}
	b.page.Done = true
	return nil
}

// byVersion walks one stream.
func (b *pageBuilder) byVersion() error {
	var head, number, last int64
	err := b.db.QueryRow(b.ctx, `SELECT h.position, coalesce(s.id, 0),
		coalesce((SELECT max(version) FROM event WHERE stream = s.id), 0)
		FROM (SELECT max(position) AS position FROM batch) h LEFT JOIN stream s ON s.kind = $1 AND s.name = $2`,
		b.q.Stream.Kind, b.q.Stream.ID).Scan(&head, &number, &last)
	if err != nil {
		return err
	}
	b.page.Head = event.Position(head)
	from, to, some := b.q.Bounds(uint64(last))
	if last == 0 || !some {
		b.page.Done = true
		return nil
	}
	text := versionsUpQuery
	if b.q.Backward {
		text = versionsDownQuery
	}
	for {
		low, high := from, to
		if b.q.Backward {
			low, high = to, from
		}
		records, err := b.query(text, number, int64(low), int64(high), b.chunk())
		if err != nil {
			return err
		}
		n, err := b.take(records)
		if err != nil {
			return err
		}
		if n == 0 || uint64(records[0].Version) != from {
			return event.Errorf(event.ErrCorrupt, "read %s: version %d is missing", b.q.Stream, from).Hint("restore a backup")
		}
		b.page.Scanned = uint64(records[n-1].Version)
		if b.page.Done = b.page.Scanned == to; b.page.Done || b.full() {
			return nil
		}
		from = b.q.Next(b.page.Scanned)
	}
}

// indexed walks what the index finds, as of the head this process then knows. Where another process has merged a
// segment away meanwhile, it looks again.
func (b *pageBuilder) indexed(p postings.Plan) error {
	for tries := 0; ; tries++ {
		head, err := b.store.refresh(b.ctx)
		if err != nil {
			return err
		}
		b.page, b.looked, b.bodies = storage.Page{Head: head.Position}, 0, 0
		rows := &indexRows{store: b.store, ctx: b.ctx, db: b.db}
		err = b.byPosition(p, b.store.index.view(rows, p.Keys))
		if !errors.Is(err, errMerged) || tries == 3 {
			return err
		}
	}
}

// mostCandidates bounds how many rows are asked for at once.
const mostCandidates = 256

// byPosition walks the candidates of the index in a view, which may know more than the page's head.
func (b *pageBuilder) byPosition(p postings.Plan, v *postings.View) error {
	v.Head = min(v.Head, b.page.Head)
	from, to, some := b.q.Bounds(uint64(b.page.Head))
	if !some {
		b.page.Done = true
		return nil
	}
	f, err := b.finder(p, v)
	if err != nil {
		return err
	}
	for at := from; ; {
		found, end, err := b.candidates(f, at, to)
		if err != nil {
			return err
		}
		n, err := b.takeAt(found)
		if err != nil {
			return err
		}
		if n > 0 {
			b.page.Scanned = uint64(found[n-1])
		}
		switch {
		case n == len(found) && end:
			b.page.Scanned, b.page.Done = to, true
			return nil
		case b.full():
			b.page.Done = b.page.Scanned == to
			return nil
		}
		at = b.q.Next(b.page.Scanned)
	}
}

// candidates are the next positions at which something may match; end: there are no more up to to.
func (b *pageBuilder) candidates(f postings.Finder, at, to uint64) (found []event.Position, end bool, err error) {
	most := int(min(b.chunk(), mostCandidates))
	for len(found) < most {
		c, ok, err := f.Next(event.Position(at))
		if err != nil {
			return nil, false, err
		}
		if !ok || postings.Beyond(c, event.Position(to), b.q.Backward) {
			return found, true, nil
		}
		found = append(found, c)
		if uint64(c) == to {
			return found, true, nil
		}
		at = b.q.Next(uint64(c))
	}
	return found, false, nil
}

// takeAt takes the records at positions that match, and says how many it looked at.
func (b *pageBuilder) takeAt(found []event.Position) (int, error) {
	if len(found) == 0 {
		return 0, nil
	}
	at := make([]int64, len(found))
	for i, p := range found {
		at[i] = int64(p)
	}
	records, err := b.query(atQuery, at)
	if err != nil {
		return 0, err
	}
	if b.q.Backward {
		slices.Reverse(records)
	}
	for i, p := range found {
		if i >= len(records) || records[i].Position != p {
			return 0, event.Errorf(event.ErrCorrupt, "read event at %d: its row is missing", p).Hint("restore a backup")
		}
	}
	return b.take(records)
}
