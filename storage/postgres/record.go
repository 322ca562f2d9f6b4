package postgres

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/postgres/pglink"
)

const recordColumns = `position, id, stream, version, type, recorded, hashes, body, boxes`

// hashesBytes are the fixed part of the hashes column: leaf 32 ‖ request 32; what follows are the commitments.
const hashesBytes = 64

// reader turns rows of table event into records. The names of streams and types are looked up when all rows are read,
// because a connection answers one question at a time.
type reader struct {
	store   *Store
	arena   []byte // one allocation serves many rows
	records []storage.Record
	streams []int64
	types   []int64
}

// read appends the records of an answer whose columns from skip on are recordColumns. each is called for every row,
// before what its record begins with; a row whose position is null has no record.
func (r *reader) read(rows pgx.Rows, skip int, each func(values [][]byte)) error {
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		if each != nil {
			each(values)
		}
		if values = values[skip:]; values[0] == nil {
			continue
		}
		if err := r.add(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// add decodes one row, whose values are in PostgreSQL's binary format: integers are big-endian.
func (r *reader) add(v [][]byte) error {
	if len(v[0]) != 8 || len(v[1]) != 16 || len(v[2]) != 8 || len(v[3]) != 8 || len(v[4]) != 4 || len(v[5]) != 8 ||
		len(v[6]) < hashesBytes {
		return event.Errorf(event.ErrCorrupt, "read event: its row is damaged").Hint("restore a backup")
	}
	record := storage.Record{
		Position: event.Position(int64Of(v[0])), ID: event.ID(v[1]), Version: event.Version(int64Of(v[3])),
		Recorded: int64Of(v[5]), Leaf: [32]byte(v[6][:32]), Request: [32]byte(v[6][32:hashesBytes]),
		Commitments: r.copied(v[6][hashesBytes:]), Body: r.copied(v[7]), Boxes: r.copied(v[8]),
	}
	r.records = append(r.records, record)
	r.streams = append(r.streams, int64Of(v[2]))
	r.types = append(r.types, int64(int32(binary.BigEndian.Uint32(v[4]))))
	return nil
}

func int64Of(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

// copied puts bytes into the arena; nothing, or nothing in it, is nil.
func (r *reader) copied(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if cap(r.arena)-len(r.arena) < len(b) {
		r.arena = make([]byte, 0, max(len(b), 64<<10))
	}
	start := len(r.arena)
	r.arena = append(r.arena, b...)
	return r.arena[start:len(r.arena):len(r.arena)]
}

// take gives the records that were read, with their names, and is ready for more.
func (r *reader) take(ctx context.Context, q pglink.Querier) ([]storage.Record, error) {
	if err := r.store.streams.load(ctx, q, r.streams); err != nil {
		return nil, err
	}
	for i := range r.records {
		record := &r.records[i]
		var ok bool
		if record.Stream, ok = r.store.streams.name(r.streams[i]); !ok {
			return nil, event.Errorf(event.ErrCorrupt, "read event at %d: stream %d is missing", record.Position, r.streams[i]).
				Hint("restore a backup")
		}
		record.Type, ok = r.store.names.text(r.types[i])
		if !ok {
			if err := r.store.names.load(ctx, q); err != nil {
				return nil, err
			}
			record.Type, ok = r.store.names.text(r.types[i])
		}
		if !ok {
			return nil, event.Errorf(event.ErrCorrupt, "read event at %d: type %d is missing", record.Position, r.types[i]).
				Hint("restore a backup")
		}
	}
	records := r.records
	r.records, r.streams, r.types = nil, r.streams[:0], r.types[:0]
	return records, nil
}

// streamNames remembers which stream has which number. Numbers are never given out again.
type streamNames struct {
	mu    sync.Mutex
	named *simplelru.LRU[int64, event.StreamID]
}

// How many streams are remembered: about 30 MB at the longest usual names.
const rememberedStreams = 100_000

func newStreamNames() *streamNames {
	named, _ := simplelru.NewLRU[int64, event.StreamID](rememberedStreams, nil) // fails for sizes below 1 only
	return &streamNames{named: named}
}

func (n *streamNames) name(number int64) (event.StreamID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.named.Get(number)
}

// load makes sure that the names of these numbers are known.
func (n *streamNames) load(ctx context.Context, q pglink.Querier, numbers []int64) error {
	var missing []int64
	asked := make(map[int64]bool)
	n.mu.Lock()
	for _, number := range numbers {
		if !n.named.Contains(number) && !asked[number] {
			asked[number] = true
			missing = append(missing, number)
		}
	}
	n.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, `SELECT id, kind, name FROM stream WHERE id = ANY($1)`, missing)
	if err != nil {
		return err
	}
	defer rows.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for rows.Next() {
		var number int64
		var s event.StreamID
		if err := rows.Scan(&number, &s.Kind, &s.ID); err != nil {
			return err
		}
		n.named.Add(number, s)
	}
	return rows.Err()
}
