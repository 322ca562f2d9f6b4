package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
	"github.com/lethe-es/lethe/storage/postings"
)

// write stores a batch and commits, in one round trip.
func (t *commit) write(b *storage.Batch) error {
	s := t.store
	defer s.link.Watch()()
	ctx := context.Background() // not the caller's: what runs is never cancelled
	var out pgx.Batch
	if t.guessed {
		t.queueGuard(&out)
	}
	if err := t.queue(ctx, &out, b); err != nil {
		if t.guessed {
			return errMet // what is wrong with it is said by the decision under the lock
		}
		s.link.Rollback()
		return err
	}
	if err := t.send(&out); err != nil {
		if t.guessed && (pglink.State(err) == guessState || pglink.State(err) == "23505" || pgconn.SafeToRetry(err)) {
			return errMet
		}
		if pglink.State(err) == "23505" {
			return fmt.Errorf("%w: an id, version or tile is there already", storage.ErrRefused)
		}
		return err
	}
	t.takeOver()
	return nil
}

func (t *commit) queue(ctx context.Context, out *pgx.Batch, b *storage.Batch) error {
	if len(b.Records)+len(b.Fences) > 0 && t.head.Life.Sealed() {
		return fmt.Errorf("%w: the log is %s", storage.ErrRefused, t.head.Life.State)
	}
	if err := t.lookUp(ctx, unasked(t, b)); err != nil {
		return err
	}
	w := t.newWriting(b)
	for i := range b.Records {
		if err := w.record(&b.Records[i], t.head.Position+event.Position(i)+1); err != nil {
			return err
		}
	}
	for i := range b.Streams {
		w.number(t.stream(b.Streams[i].Stream))
	}
	w.queueNames(out)
	w.queueEvents(out, b.Records)
	for i := range b.Streams {
		x := &b.Streams[i]
		e := t.stream(x.Stream)
		out.Queue(`UPDATE stream SET closed = $2, truncated = $3, pruned = $4 WHERE id = $1`,
			e.number, x.Closed, int64(x.Truncated), int64(x.Pruned))
		e.state.Closed, e.state.Truncated, e.state.Pruned = x.Closed, x.Truncated, x.Pruned
	}
	for i := range b.Tiles {
		out.Queue(`INSERT INTO tile VALUES ($1, $2, $3)`, int(b.Tiles[i].ID.Level), int64(b.Tiles[i].ID.N), b.Tiles[i].Hashes)
	}
	if b.Life != nil {
		out.Queue("SELECT FROM head " + alone)
		out.Queue(`UPDATE head SET state = $1, place = $2`, int16(b.Life.State), b.Life.Place)
		t.head.Life = *b.Life
	}
	if len(b.Streams) > 0 || b.Life != nil {
		t.changes++
		t.lives++
		out.Queue(`UPDATE head SET changes = $1, lives = $2`, t.changes, t.lives)
	}
	t.queueFences(out, b.Fences)
	return t.queueBatch(ctx, out, b)
}

// unasked are the streams of a batch that its probe did not ask for.
func unasked(t *commit, b *storage.Batch) (names []event.StreamID) {
	for i := range b.Records {
		if t.streams[b.Records[i].Stream] == nil {
			names = append(names, b.Records[i].Stream)
		}
	}
	for i := range b.Streams {
		if t.streams[b.Streams[i].Stream] == nil {
			names = append(names, b.Streams[i].Stream)
		}
	}
	return names
}

// queueBatch queues the row that is the new head, and a segment of the index when its tail is long enough.
func (t *commit) queueBatch(ctx context.Context, out *pgx.Batch, b *storage.Batch) error {
	t.head.Position += event.Position(len(b.Records))
	if b.System != 0 {
		t.head.System = b.System
	}
	if b.Frontier != nil {
		t.head.Frontier = append([]byte(nil), b.Frontier...)
	}
	if len(b.Records) == 0 {
		if b.Frontier != nil || b.System != 0 {
			out.Queue(`UPDATE batch SET system = $2, frontier = $3 WHERE position = $1`,
				int64(t.head.Position), int64(t.head.System), t.head.Frontier)
		}
		return nil
	}
	indexed, rows := t.store.index.flush(t.head.Position, t.store.flush, &t.added)
	held := t.added.AppendTo(nil)
	if rows != nil {
		held = nil // they are in the segment
	}
	out.Queue(`INSERT INTO batch VALUES ($1, $2, $3, $4)`,
		int64(t.head.Position), int64(t.head.System), t.head.Frontier, append([]byte{}, held...))
	if rows != nil {
		if err := t.queueSegment(ctx, out, indexed+1, rows); err != nil {
			return err
		}
	}
	out.Queue(`SELECT pg_notify($1, '')`, t.store.channel())
	return nil
}

func (t *commit) queueSegment(ctx context.Context, out *pgx.Batch, first event.Position, rows []postings.Row) error {
	var n int64
	if err := t.conn.QueryRow(ctx, `SELECT nextval('segment_n')`).Scan(&n); err != nil {
		return err
	}
	queueRows(out, n, 0, rows)
	out.Queue(`INSERT INTO segment VALUES ($1, 0, $2, $3)`, n, int64(first), int64(t.head.Position))
	out.Queue(`DELETE FROM batch WHERE position < $1`, int64(t.head.Position))
	t.changes++
	out.Queue(`UPDATE head SET indexed = $1, changes = $2`, int64(t.head.Position), t.changes)
	return nil
}

// queueRows queues rows of a segment, of which the first has number from.
func queueRows(out *pgx.Batch, segment int64, from int, rows []postings.Row) {
	terms, firsts, bytes := make([]int64, len(rows)), make([]int64, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		terms[i], firsts[i], bytes[i] = rows[i].Key.Term, int64(rows[i].First), rows[i].Bytes
	}
	out.Queue(`INSERT INTO run SELECT $1, $2::int + u.n - 1, u.term, u.first, u.postings
		FROM unnest($3::bigint[], $4::bigint[], $5::bytea[]) WITH ORDINALITY u(term, first, postings, n)`,
		segment, from, terms, firsts, bytes)
}

// flush packs the tail and what a commit adds to it into rows, if they are long enough; nil otherwise.
func (x *index) flush(head event.Position, every int, a *postings.Added) (indexed event.Position, rows []postings.Row) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if head-x.indexed < event.Position(every) {
		return x.indexed, nil
	}
	return x.indexed, x.tail.Rows(a)
}

// takeOver makes a durable commit what this process knows.
func (t *commit) takeOver() {
	s := t.store
	s.names.add(t.names.texts, t.names.ids)
	for _, e := range t.streams {
		if e.number != 0 {
			s.writer.add(e)
		}
	}
	s.writer.known, s.writer.changes, s.writer.lives = t.head.Position, t.changes, t.lives
	s.index.took(t.head, &t.added)
	s.waiting.reached(t.head.Position)
}

// writing gathers the columns of a batch.
type writing struct {
	t        *commit
	newNames map[string]int64
	lastName int64
	last     int64 // stream
	fresh    []*streamEntry

	ids       pgtype.FlatArray[pgtype.UUID]
	streams   []int64
	versions  []int64
	types     []int32
	recorded  []int64
	hashes    [][]byte
	hashArena []byte
}

func (t *commit) newWriting(b *storage.Batch) *writing {
	n := len(b.Records)
	return &writing{
		t: t, lastName: t.store.names.last(), last: t.store.writer.last,
		ids: make(pgtype.FlatArray[pgtype.UUID], 0, n), streams: make([]int64, 0, n), versions: make([]int64, 0, n),
		types: make([]int32, 0, n), recorded: make([]int64, 0, n), hashes: make([][]byte, 0, n),
		hashArena: make([]byte, 0, n*(hashesBytes+32)),
	}
}

// record checks a record and adds it to the columns, and its terms to the index.
func (w *writing) record(r *storage.Record, position event.Position) error {
	e := w.t.stream(r.Stream)
	if r.Position != position || r.Version != e.state.Version+1 || e.state.Closed || r.ID.IsZero() {
		return fmt.Errorf("%w: position %d for %d, version %d after %d of %s", storage.ErrRefused,
			r.Position, position, r.Version, e.state.Version, r.Stream)
	}
	w.number(e)
	e.state.Version = r.Version
	w.ids = append(w.ids, pgtype.UUID{Bytes: r.ID, Valid: true})
	w.streams = append(w.streams, e.number)
	w.versions = append(w.versions, int64(r.Version))
	w.types = append(w.types, int32(w.name(r.Type)))
	w.recorded = append(w.recorded, r.Recorded)
	start := len(w.hashArena)
	w.hashArena = append(append(append(w.hashArena, r.Leaf[:]...), r.Request[:]...), r.Commitments...)
	w.hashes = append(w.hashes, w.hashArena[start:len(w.hashArena):len(w.hashArena)])
	for _, term := range r.Terms {
		role := int64(postings.AnyRole)
		if term.Role != "" {
			role = w.name(term.Role)
		}
		key := postings.Key{Space: postings.TermSpace, Term: int64(term.Hash)}
		w.t.added.Add(key, postings.Posting{Position: r.Position, Aux: role})
	}
	return nil
}

// number gives a stream its number.
func (w *writing) number(e *streamEntry) {
	if e.number == 0 {
		w.last++
		e.number = w.last
		w.fresh = append(w.fresh, e)
	}
}

// name is the number of a type or role, new ones included.
func (w *writing) name(text string) int64 {
	if id, ok := w.t.store.names.id(text); ok {
		return id
	}
	if id, ok := w.newNames[text]; ok {
		return id
	}
	if w.newNames == nil {
		w.newNames = make(map[string]int64)
	}
	w.lastName++
	w.newNames[text] = w.lastName
	w.t.names.texts, w.t.names.ids = append(w.t.names.texts, text), append(w.t.names.ids, w.lastName)
	return w.lastName
}

// queueNames queues streams and names that are new.
func (w *writing) queueNames(out *pgx.Batch) {
	if len(w.t.names.ids) > 0 {
		out.Queue(`INSERT INTO name SELECT * FROM unnest($1::int[], $2::text[])`, w.t.names.ids, w.t.names.texts)
	}
	if len(w.fresh) == 0 {
		return
	}
	numbers := make([]int64, len(w.fresh))
	kinds, names := make([]string, len(w.fresh)), make([]string, len(w.fresh))
	for i, e := range w.fresh {
		numbers[i], kinds[i], names[i] = e.number, e.state.Stream.Kind, e.state.Stream.ID
	}
	out.Queue(`INSERT INTO stream (id, kind, name) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])`,
		numbers, kinds, names)
}

// mostBytes bounds the bodies of one statement: a value of PostgreSQL is smaller than 1 GB.
const mostBytes = 32 << 20

// queueEvents queues the rows of events.
func (w *writing) queueEvents(out *pgx.Batch, records []storage.Record) {
	for from := 0; from < len(records); {
		to, bytes := from, 0
		for to < len(records) && (to == from || bytes < mostBytes) {
			bytes += len(records[to].Body) + len(records[to].Boxes)
			to++
		}
		bodies := make([][]byte, to-from)
		var boxes [][]byte // shorter than the others: the rest is null
		for i := range bodies {
			bodies[i] = records[from+i].Body
			if b := records[from+i].Boxes; len(b) > 0 {
				boxes = append(append(boxes, make([][]byte, i-len(boxes))...), b)
			}
		}
		out.Queue(`INSERT INTO event SELECT $1 + u.n - 1, u.id, u.stream, u.version, u.type, u.recorded, u.hashes, u.body, u.boxes
			FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bytea[])
			WITH ORDINALITY u(id, stream, version, type, recorded, hashes, body, boxes, n)`,
			int64(records[from].Position), w.ids[from:to], w.streams[from:to], w.versions[from:to], w.types[from:to],
			w.recorded[from:to], w.hashes[from:to], bodies, append([][]byte{}, boxes...))
		from = to
	}
}
