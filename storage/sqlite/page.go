package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
	"zombiezen.com/go/sqlite"
)

// maxLooked bounds how many rows one page looks at, so that a sparse filter neither holds a read transaction long
// nor keeps its caller from advancing.
const maxLooked = 16_384

// Page returns up to q.Limit records that match, in order, and how far it looked.
func (s *Store) Page(ctx context.Context, q storage.Query) (storage.Page, error) {
	if q.Limit <= 0 {
		return storage.Page{}, event.Invalid("malformed_limit", "read page: the limit must be above 0")
	}
	if !q.ID.IsZero() {
		q = storage.Query{ID: q.ID, Limit: 1}
	}
	p, scan, err := postings.NewPlan(s.index.terms, q.Filter)
	if err != nil {
		return storage.Page{}, fmt.Errorf("read page: %w", err)
	}
	b := &pageBuilder{store: s, q: q, ctx: ctx}
	err = s.read(ctx, p.Keys, append(slices.Clone(p.Streams), q.Stream), func(r *reading) error {
		b.reading, b.page.Head = r, r.Head
		switch {
		case !q.ID.IsZero():
			return b.byID()
		case !q.Stream.IsZero():
			return b.byVersion()
		case scan:
			return b.scan()
		}
		return b.byPosition(p)
	})
	if err != nil {
		return storage.Page{}, fmt.Errorf("read page: %w", err)
	}
	return b.page, nil
}

// pageBuilder gathers one page.
type pageBuilder struct {
	store   *Store
	reading *reading
	q       storage.Query
	ctx     context.Context // of the one call it serves
	page    storage.Page
	looked  int
	bodies  int // bytes in the page
	arena   []byte
	point   *sqlite.Stmt // looks one row up
}

const rowColumns = `position, id, stream, version, type, recorded, hashes, body, boxes`

func (b *pageBuilder) byID() error {
	b.page.Done = true
	return b.reading.c.Rows(`SELECT `+rowColumns+` FROM event WHERE id = ?`, func(s *sqlite.Stmt) error {
		r, err := b.record(s)
		if err == nil && r.Position <= b.reading.Head {
			b.page.Records, b.page.Scanned = append(b.page.Records, r), uint64(r.Position)
		}
		return err
	}, b.q.ID[:])
}

// scan walks the rows by position.
func (b *pageBuilder) scan() error {
	from, to, some := b.q.Bounds(uint64(b.reading.Head))
	if !some {
		b.page.Done = true
		return nil
	}
	text := `SELECT ` + rowColumns + ` FROM event WHERE position BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY position`
	low, high := from, to
	if b.q.Backward {
		low, high = to, from
		text += ` DESC`
	}
	b.page.Records = make([]storage.Record, 0, min(b.q.Limit, int(high-low+1), maxLooked))
	err := b.reading.c.Rows(text, func(s *sqlite.Stmt) error {
		position := uint64(s.ColumnInt64(0))
		if err := b.take(s); err != nil {
			return err
		}
		b.page.Scanned, b.page.Done = position, position == to
		return b.enough()
	}, int64(low), int64(high))
	return ignoreEnough(err)
}

// errEnough ends a walk whose page is full.
var errEnough = errors.New("the page is full")

func (b *pageBuilder) enough() error {
	if len(b.page.Records) >= b.q.Limit || b.looked >= maxLooked || b.bodies >= storage.MaxPageBytes {
		return errEnough
	}
	if b.looked%256 == 0 {
		return b.ctx.Err()
	}
	return nil
}

// byPosition walks the candidates of the index.
func (b *pageBuilder) byPosition(p postings.Plan) error {
	from, to, some := b.q.Bounds(uint64(b.reading.Head))
	if !some {
		b.page.Done = true
		return nil
	}
	f := b.reading.finder(p, b.q.Backward)
	for at := event.Position(from); ; {
		c, ok, err := f.Next(at)
		if err != nil {
			return err
		}
		if !ok || postings.Beyond(c, event.Position(to), b.q.Backward) {
			b.page.Scanned, b.page.Done = to, true
			return nil
		}
		if err := b.takeAt(c); err != nil {
			return err
		}
		b.page.Scanned = uint64(c)
		if b.page.Scanned == to {
			b.page.Done = true
			return nil
		}
		if err := b.enough(); err != nil {
			return ignoreEnough(err)
		}
		at = event.Position(b.q.Next(uint64(c)))
	}
}

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// byVersion walks one stream.
func (b *pageBuilder) byVersion() error {
	l := b.reading.events(b.reading.stream[b.q.Stream])
	last, found, err := l.AtOrBefore(b.reading.Head)
	if err != nil {
		return err
	}
	from, to, some := b.q.Bounds(uint64(last.Aux))
	if !found || !some {
		b.page.Done = true
		return nil
	}
	at, err := l.PositionOf(int64(from), last)
	if err != nil {
		return err
	}
	find := l.AtOrAfter
	if b.q.Backward {
		find = l.AtOrBefore
	}
	for {
		p, ok, err := find(at)
		if err != nil {
			return err
		}
		if !ok {
			return event.Errorf(event.ErrCorrupt, "read %s: version %d is missing from the index", b.q.Stream, to).
				Hint("rebuild the index: lethe doctor --reindex")
		}
		if err := b.takeAt(p.Position); err != nil {
			return err
		}
		b.page.Scanned = uint64(p.Aux)
		if b.page.Scanned == to {
			b.page.Done = true
			return nil
		}
		if err := b.enough(); err != nil {
			return ignoreEnough(err)
		}
		at = event.Position(b.q.Next(uint64(p.Position)))
	}
}

// takeAt takes the record at a position, if it matches. It runs once for every hit, so it goes to the statement
// directly.
func (b *pageBuilder) takeAt(p event.Position) error {
	if b.point == nil {
		point, err := b.reading.c.Stmt(`SELECT ` + rowColumns + ` FROM event WHERE position = ?`)
		if err != nil {
			return err
		}
		b.point = point
	}
	b.point.BindInt64(1, int64(p))
	found, err := b.point.Step()
	if err == nil && found {
		err = b.take(b.point)
	}
	if reset := b.point.Reset(); err == nil {
		err = reset
	}
	if err == nil && !found {
		err = event.Errorf(event.ErrCorrupt, "read event at %d: its row is missing", p).Hint("restore a backup")
	}
	return sqlink.Classify(err)
}

// take takes the present row, if it matches.
func (b *pageBuilder) take(s *sqlite.Stmt) error {
	b.looked++
	recorded := s.ColumnInt64(5)
	if b.q.Since != 0 && recorded < b.q.Since || b.q.Until != 0 && recorded >= b.q.Until {
		return nil
	}
	before := b.arena
	r, err := b.record(s)
	if err != nil {
		return err
	}
	ok, err := r.Matches(b.q.Filter)
	if err != nil {
		return err
	}
	if !ok {
		if cap(b.arena) == cap(before) {
			b.arena = before // the record that is not wanted leaves its room to the next
		}
		return nil
	}
	b.page.Records = append(b.page.Records, r)
	b.bodies += len(r.Body)
	return nil
}

// hashesBytes are the fixed part of the hashes column: leaf 32 ‖ request 32; what follows are the commitments.
const hashesBytes = 64

func (b *pageBuilder) record(s *sqlite.Stmt) (storage.Record, error) {
	r := storage.Record{
		Position: event.Position(s.ColumnInt64(0)), Version: event.Version(s.ColumnInt64(3)), Recorded: s.ColumnInt64(5),
	}
	var err error
	if r.Stream, err = b.store.names.stream(b.reading.c, s.ColumnInt64(2)); err != nil {
		return r, err
	}
	if r.Type, err = b.store.names.text(s.ColumnInt64(4)); err != nil {
		return r, err
	}
	hashes := b.column(s, 6)
	if s.ColumnBytes(1, r.ID[:]) != len(r.ID) || len(hashes) < hashesBytes {
		return r, event.Errorf(event.ErrCorrupt, "read event at %d: its row is damaged", r.Position).Hint("restore a backup")
	}
	r.Leaf, r.Request = [32]byte(hashes[:32]), [32]byte(hashes[32:hashesBytes])
	if len(hashes) > hashesBytes {
		r.Commitments = hashes[hashesBytes:]
	}
	r.Body, r.Boxes = b.column(s, 7), b.column(s, 8)
	return r, nil
}

// column copies a blob into the page's arena: one allocation serves many rows.
func (b *pageBuilder) column(s *sqlite.Stmt, i int) []byte {
	n := s.ColumnLen(i)
	if n == 0 {
		return nil // NULL: nothing empty is stored
	}
	if cap(b.arena)-len(b.arena) < n {
		b.arena = make([]byte, 0, max(n, min(64<<10, 512*min(b.q.Limit, 128))))
	}
	start := len(b.arena)
	b.arena = b.arena[:start+n]
	out := b.arena[start : start+n : start+n]
	s.ColumnBytes(i, out)
	return out
}
