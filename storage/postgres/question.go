package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// questions are what a commit asks right after it has locked the head, in one round trip, and the answers.
type questions struct {
	position, changes int64 // of the news that are wanted
	from              int64 // first event that is wanted in events
	ids               []event.ID
	streams           []event.StreamID

	events   []appended         // from there on, at most one more than storage.MaxLeaves
	existing []storage.Existing // by id
	found    []*streamEntry     // those of streams that are there
}

// appended is what a writer must know of an event of another process.
type appended struct {
	position, stream, version int64
	leaf                      [32]byte
}

const (
	eventsQuery = `SELECT position, stream, version, substr(hashes, 1, 32) FROM event
		WHERE position >= $1 ORDER BY position LIMIT $2`
	idsQuery = `SELECT u.n, e.position, e.version, e.hashes, s.kind, s.name
		FROM unnest($1::uuid[]) WITH ORDINALITY u(id, n) JOIN event e ON e.id = u.id JOIN stream s ON s.id = e.stream`
	streamsQuery = `SELECT s.id, s.kind, s.name, s.closed, s.truncated, s.pruned,
		coalesce((SELECT max(version) FROM event WHERE stream = s.id), 0)
		FROM unnest($1::text[], $2::text[]) u(kind, name) JOIN stream s ON s.kind = u.kind AND s.name = u.name`
)

// ask begins a transaction, locks the head, and asks. Each statement answers as of after the lock was given.
func (q *questions) ask(ctx context.Context, conn *pgx.Conn) (n news, err error) {
	var b pgx.Batch
	b.Queue("BEGIN")
	b.Queue("SELECT FROM head " + exclusive)
	b.Queue(newsQuery, q.position, q.changes)
	q.queue(&b, true, q.from)
	results := conn.SendBatch(ctx, &b)
	n, err = q.read(results)
	if closing := results.Close(); err == nil {
		err = closing
	}
	return n, err
}

// queue queues the questions about ids and streams, and with events those after a position.
func (q *questions) queue(b *pgx.Batch, events bool, from int64) {
	q.existing = make([]storage.Existing, len(q.ids))
	if events {
		b.Queue(eventsQuery, from, storage.MaxLeaves+1)
	}
	if len(q.ids) > 0 {
		b.Queue(idsQuery, uuids(q.ids))
	}
	if len(q.streams) > 0 {
		b.Queue(streamsQuery, q.streamArgs()...)
	}
}

func (q *questions) read(results pgx.BatchResults) (n news, err error) {
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return n, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return n, err
	}
	if n, err = readNews(rows); err != nil {
		return n, err
	}
	return n, q.readMore(results, true)
}

// readMore reads the answers to what queue queued.
func (q *questions) readMore(results pgx.BatchResults, events bool) error {
	var steps []func(pgx.Rows) error
	if events {
		steps = append(steps, q.readEvents)
	}
	if len(q.ids) > 0 {
		steps = append(steps, q.readIDs)
	}
	if len(q.streams) > 0 {
		steps = append(steps, q.readStreams)
	}
	for _, read := range steps {
		rows, err := results.Query()
		if err == nil {
			err = read(rows)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *questions) readEvents(rows pgx.Rows) error {
	defer rows.Close()
	q.events = nil
	for rows.Next() {
		v := rows.RawValues()
		e := appended{position: int64Of(v[0]), stream: int64Of(v[1]), version: int64Of(v[2])}
		if copy(e.leaf[:], v[3]) < len(e.leaf) {
			return event.Errorf(event.ErrCorrupt, "read event at %d: its row is damaged", e.position).Hint("restore a backup")
		}
		q.events = append(q.events, e)
	}
	return rows.Err()
}

func (q *questions) readIDs(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var i, position, version int64
		var hashes []byte
		var s event.StreamID
		if err := rows.Scan(&i, &position, &version, &hashes, &s.Kind, &s.ID); err != nil {
			return err
		}
		if len(hashes) < hashesBytes {
			return event.Errorf(event.ErrCorrupt, "read event %s: its row is damaged", q.ids[i-1]).Hint("restore a backup")
		}
		q.existing[i-1] = storage.Existing{
			Position: event.Position(position), Stream: s, Version: event.Version(version),
			Request: [32]byte(hashes[32:hashesBytes]),
		}
	}
	return rows.Err()
}

func (q *questions) readStreams(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		e := new(streamEntry)
		var truncated, pruned, version int64
		x := &e.state
		err := rows.Scan(&e.number, &x.Stream.Kind, &x.Stream.ID, &x.Closed, &truncated, &pruned, &version)
		if err != nil {
			return err
		}
		x.Truncated, x.Pruned, x.Version = event.Version(truncated), event.Version(pruned), event.Version(version)
		q.found = append(q.found, e)
	}
	return rows.Err()
}

func (q *questions) streamArgs() []any {
	kinds, names := make([]string, len(q.streams)), make([]string, len(q.streams))
	for i, s := range q.streams {
		kinds[i], names[i] = s.Kind, s.ID
	}
	return []any{kinds, names}
}

func uuids(ids []event.ID) pgtype.FlatArray[pgtype.UUID] {
	list := make(pgtype.FlatArray[pgtype.UUID], len(ids))
	for i, id := range ids {
		list[i] = pgtype.UUID{Bytes: id, Valid: true}
	}
	return list
}
