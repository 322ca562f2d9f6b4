package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postings"
)

// writerState is what the writer knows of streams: exactly what is durable up to known.
type writerState struct {
	known   event.Position
	changes int64
	lives   int64
	alone   int   // commits since another process was met
	last    int64 // highest number of a stream
	streams *simplelru.LRU[event.StreamID, *streamEntry]
	names   map[int64]event.StreamID // of the entries in streams
}

// streamEntry is a stream's number and state.
type streamEntry struct {
	number int64 // 0: not in the database
	state  storage.StreamState
}

// writerStreams is how many streams the writer remembers.
const writerStreams = 200_000

func newWriterState() writerState {
	w := writerState{names: make(map[int64]event.StreamID)}
	w.streams, _ = simplelru.NewLRU(writerStreams, // fails for sizes below 1 only
		func(_ event.StreamID, e *streamEntry) { delete(w.names, e.number) })
	return w
}

func (w *writerState) add(e *streamEntry) {
	w.streams.Add(e.state.Stream, e)
	w.names[e.number] = e.state.Stream
	w.last = max(w.last, e.number)
}

// Commit locks the head, answers the probe, calls decide, and makes its batch durable or nothing.
func (s *Store) Commit(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (storage.Head, error) {
	for i := range p.Conditions {
		if _, _, err := s.index.plan(p.Conditions[i].Filter); err != nil {
			return storage.Head{}, fmt.Errorf("commit: %w", err)
		}
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.calls.Usable(ctx); err != nil {
		return storage.Head{}, fmt.Errorf("commit: %w", err)
	}
	if head, done, err := s.guess(p, decide); done {
		return head, err
	}
	var head storage.Head
	var declined error // by decide, whose words are its own
	err := s.calls.Try(ctx, func(ctx context.Context) (err error) {
		head, declined, err = s.attempt(ctx, p, decide)
		return err
	})
	if declined != nil {
		return storage.Head{}, declined
	}
	if err != nil {
		return storage.Head{}, fmt.Errorf("commit: %w", err)
	}
	return head, nil
}

// attempt is one commit under the lock. Of an error that is pglink.Passing nothing was done: it may be made again.
func (s *Store) attempt(ctx context.Context, p storage.Probe,
	decide func(storage.Head, storage.Found) (storage.Batch, error),
) (head storage.Head, declined, err error) {
	t, err := s.begin(ctx, p)
	if err != nil {
		s.link.Drop()
		return head, nil, err
	}
	batch, declined := decide(t.head.Clone(), t.found)
	if declined == nil && !empty(&batch) {
		err = t.write(&batch)
	} else {
		err = t.settle()
	}
	if err != nil {
		return head, nil, err
	}
	return t.head.Clone(), declined, nil
}

// begin takes the turn this process has, or else waits for it.
func (s *Store) begin(ctx context.Context, p storage.Probe) (*commit, error) {
	if held := s.turn; held != nil {
		s.turn = nil
		return held.commit, held.resume(ctx, p)
	}
	t := newCommit(s)
	return t, t.begin(ctx, p)
}

func empty(b *storage.Batch) bool {
	return len(b.Records)+len(b.Streams)+len(b.Tiles)+len(b.Fences) == 0 && b.Life == nil
}

// commit is one transaction of the writer: what it adds to memory is kept apart until it is durable.
type commit struct {
	store   *Store
	conn    *pgx.Conn
	head    storage.Head
	found   storage.Found
	changes int64
	lives   int64
	guessed bool // the head is not locked yet: see Store.guess
	names   struct {
		texts []string
		ids   []int64
	}
	streams map[event.StreamID]*streamEntry // as this commit leaves them
	added   postings.Added
}

func newCommit(s *Store) *commit {
	return &commit{store: s, streams: make(map[event.StreamID]*streamEntry)}
}

// begin opens the transaction, locks the head, and answers the probe, in one round trip if nothing unusual happened.
// It may be repeated after any error.
func (t *commit) begin(ctx context.Context, p storage.Probe) error {
	q, err := t.lock(ctx, p)
	if err != nil {
		return err
	}
	return t.answer(ctx, p, q)
}

// lock opens the transaction, locks the head, and brings what this process knows to it.
func (t *commit) lock(ctx context.Context, p storage.Probe) (q *questions, err error) {
	s := t.store
	if t.conn, err = s.link.Connect(ctx); err != nil {
		return nil, err
	}
	defer s.link.Watch()()
	clear(t.streams)
	q = &questions{from: int64(s.writer.known) + 1, ids: p.IDs, streams: t.unknown(p.Streams)}
	if p.Leaves > 0 {
		q.from = min(q.from, int64(min(p.Leaves, math.MaxInt64)))
	}
	q.position, q.changes = s.index.known()
	n, err := q.ask(ctx, t.conn)
	if err != nil {
		return nil, err
	}
	if n.lastName > s.names.last() {
		if err := s.names.load(ctx, t.conn); err != nil {
			return nil, err
		}
	}
	if t.head, err = s.learn(&n); err != nil {
		return nil, err
	}
	t.changes, t.lives = n.changes, n.lives
	t.remember(q, &n)
	return q, nil
}

// unknown are the streams that the writer does not remember.
func (t *commit) unknown(names []event.StreamID) (missing []event.StreamID) {
	for _, name := range names {
		if !t.store.writer.streams.Contains(name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// remember brings what the writer knows of streams to the head.
func (t *commit) remember(q *questions, n *news) {
	w := &t.store.writer
	if w.alone++; w.known != t.head.Position || n.lives != w.lives {
		w.alone = 0
	}
	if n.lives != w.lives || len(q.events) > storage.MaxLeaves {
		w.streams.Purge()
	}
	for _, e := range q.events {
		if name, ok := w.names[e.stream]; ok && e.position > int64(w.known) {
			if entry, ok := w.streams.Peek(name); ok {
				entry.state.Version = event.Version(e.version)
			}
		}
	}
	w.known, w.changes, w.lives, w.last = t.head.Position, n.changes, n.lives, n.lastStream
	for _, e := range q.found {
		w.add(e)
	}
}

// answer answers the probe from what the questions found.
func (t *commit) answer(ctx context.Context, p storage.Probe, q *questions) error {
	t.found = storage.Found{
		IDs: q.existing, Streams: make([]storage.StreamState, len(p.Streams)),
		Hits: make([]event.Position, len(p.Conditions)),
	}
	if err := t.lookUp(ctx, forgotten(p.Streams, q.streams)); err != nil {
		return err
	}
	for i, name := range p.Streams {
		t.found.Streams[i] = t.stream(name).state
	}
	if p.Leaves > 0 && len(q.events) <= storage.MaxLeaves {
		for i := range q.events {
			if event.Position(q.events[i].position) >= p.Leaves {
				t.found.Leaves = append(t.found.Leaves, q.events[i].leaf)
			}
		}
	}
	for i := range p.Conditions {
		var err error
		if t.found.Hits[i], err = t.hit(ctx, &p.Conditions[i]); err != nil {
			return err
		}
	}
	return nil
}

// forgotten are the streams that were not asked for because they were known, and that may not be any more.
func forgotten(names, asked []event.StreamID) []event.StreamID {
	if len(asked) == len(names) {
		return nil
	}
	known := make(map[event.StreamID]bool, len(asked))
	for _, name := range asked {
		known[name] = true
	}
	return slices.DeleteFunc(slices.Clone(names), func(name event.StreamID) bool { return known[name] })
}

// lookUp asks for streams that are not known.
func (t *commit) lookUp(ctx context.Context, names []event.StreamID) error {
	q := new(questions)
	asked := make(map[event.StreamID]bool)
	for _, name := range names {
		if !asked[name] && !t.store.writer.streams.Contains(name) {
			asked[name] = true
			q.streams = append(q.streams, name)
		}
	}
	if len(q.streams) == 0 {
		return nil
	}
	rows, err := t.conn.Query(ctx, streamsQuery, q.streamArgs()...)
	if err == nil {
		err = q.readStreams(rows)
	}
	for _, e := range q.found {
		t.store.writer.add(e)
	}
	return err
}

// stream is this commit's own copy of what is known of a stream.
func (t *commit) stream(name event.StreamID) *streamEntry {
	if e := t.streams[name]; e != nil {
		return e
	}
	e := &streamEntry{state: storage.StreamState{Stream: name}}
	if known, ok := t.store.writer.streams.Get(name); ok {
		*e = *known
	}
	t.streams[name] = e
	return e
}

// hit is the first event that fails a condition.
func (t *commit) hit(ctx context.Context, c *event.Condition) (event.Position, error) {
	p, scan, err := t.store.index.plan(c.Filter)
	if err != nil || c.After >= t.head.Position {
		return 0, err
	}
	b := &pageBuilder{
		store: t.store, ctx: ctx, db: t.conn, reader: reader{store: t.store},
		q: storage.Query{Filter: c.Filter, From: uint64(c.After) + 1, Limit: 1},
	}
	for !b.page.Done && len(b.page.Records) == 0 {
		b.page, b.looked = storage.Page{Head: t.head.Position}, 0
		if scan {
			err = b.scan(uint64(t.head.Position))
		} else {
			err = b.byPosition(p, t.store.index.view(&indexRows{store: t.store, ctx: ctx, db: t.conn}, p.Keys))
		}
		if err != nil {
			return 0, err
		}
		b.q.From = b.page.Scanned + 1
	}
	if len(b.page.Records) == 0 {
		return 0, nil
	}
	return b.page.Records[0].Position, nil
}

// settle ends a transaction that writes nothing. Where an earlier commit is asked about, because nobody heard how it
// ended, what is visible of it may not be on the replicas that commits wait for: only an answer to a commit that writes
// something, and so waits for them, makes it good to tell anybody.
func (t *commit) settle() error {
	asked := slices.ContainsFunc(t.found.IDs, func(x storage.Existing) bool { return x.Position != 0 })
	if !t.store.doubt && !asked {
		t.rollback()
		return nil
	}
	defer t.store.link.Watch()()
	var b pgx.Batch
	b.Queue(`UPDATE head SET one = true`)
	return t.send(&b)
}

// send does what is queued, and COMMIT. Its error is event.ErrUnknown if nobody can say whether that was done.
func (t *commit) send(b *pgx.Batch) error {
	err := t.store.link.Commit(b)
	t.store.doubt = errors.Is(err, event.ErrUnknown) || err != nil && t.store.doubt
	return err
}
