package memory

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Restore begins another life of a store: a copy of its log up to position at, in a new incarnation minted from
// random (nil: crypto/rand). The store of the earlier life stays as it is.
//
// frontier is the right edge of the tree at that position, which the caller's ledger computes. Streams are closed,
// truncated and pruned as they were then, but a body that is gone stays gone. Checkpoints come along as they are,
// also those beyond at: that is what a follower has to notice. So do tokens and fences: what is revoked or narrowed
// stays so. A position beyond the head is event.ErrInvalid.
func Restore(from *Store, at event.Position, frontier []byte, random io.Reader) (*Store, error) {
	from.mu.RLock()
	defer from.mu.RUnlock()
	if at > from.head.Position {
		return nil, event.Invalid("malformed_position", "restore store %s: position %d is beyond its head %d",
			from.head.Store, at, from.head.Position)
	}
	head := storage.Head{Identity: from.head.Clone().Identity, Fence: from.head.Fence, Frontier: kept(frontier)}
	head.Incarnation = incarnation(source(random))
	head.Lineage = append(head.Lineage, storage.Fork{Incarnation: head.Incarnation, First: at + 1})
	s := newStore(head, nil)
	for _, e := range from.log[:at] {
		if err := s.copy(e); err != nil {
			return nil, err
		}
	}
	for _, c := range from.changes {
		if c.position <= at {
			s.set(c.state)
		}
	}
	for id, hashes := range from.tiles {
		if within(id, at) {
			s.tiles[id] = bytes.Clone(hashes)
		}
	}
	for name, c := range from.checkpoints {
		s.checkpoints[name] = cloneCheckpoint(c)
	}
	for id, t := range from.tokens {
		s.tokens[id] = cloneToken(t)
	}
	s.fences = slices.Clone(from.fences)
	return s, nil
}

func (s *Store) copy(e entry) error {
	r := cloneRecord(e.record)
	decoded, err := r.Event() // its data shall alias the copy, not the original
	if err != nil {
		return err
	}
	s.add(entry{record: r, event: decoded})
	if r.Stream.Kind == event.SystemKind {
		s.head.System = r.Position
	}
	return nil
}

// within reports whether a tile covers leaves up to position at only: 256^(level+1) of them for each n.
func within(id storage.TileID, at event.Position) bool {
	shift := 8 * (uint(id.Level) + 1)
	return uint64(at)>>shift > id.N
}

// Sizes implements storage.Sizer. Both forms of an event, stored and decoded, are counted.
func (s *Store) Sizes(ctx context.Context) ([]storage.Size, error) {
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	sizes := []storage.Size{
		{Part: "events"}, {Part: "ids"}, {Part: "streams"}, {Part: "postings"}, {Part: "tiles"}, {Part: "free"},
		{Part: "wal"}, {Part: "other"},
	}
	for part, b := range s.parts {
		i := slices.IndexFunc(sizes, func(z storage.Size) bool { return z.Part == part })
		sizes[i].Bytes += int64(len(b))
	}
	return sizes, nil
}

// Dump is every byte the store keeps, as copies: what a test searches that wants to know that something is gone.
func (s *Store) Dump() [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all [][]byte
	for _, b := range s.parts {
		all = append(all, bytes.Clone(b))
	}
	return all
}

// parts yields all that is kept, piece by piece, with the part of Sizes it belongs to. It wants mu.
func (s *Store) parts(yield func(part string, b []byte) bool) {
	for i := range s.log {
		e := &s.log[i]
		if !yield("events", appendEntry(nil, e)) || !yield("ids", e.record.ID[:]) {
			return
		}
	}
	for id, known := range s.streams {
		if !yield("streams", append([]byte(id.String()), make([]byte, 25+8*len(known.places))...)) {
			return
		}
	}
	for _, hashes := range s.tiles {
		if !yield("tiles", hashes) {
			return
		}
	}
	for name, c := range s.checkpoints {
		if !yield("other", append([]byte(name+c.Cursor.String()), c.Note...)) {
			return
		}
	}
	for id, t := range s.tokens {
		b := append([]byte(id+t.Label+strings.Join(t.Kinds, "")), t.Hash[:]...)
		for _, n := range []int64{t.Created, t.Expires, t.Revoked, t.Used} {
			b = binary.BigEndian.AppendUint64(b, uint64(n))
		}
		if !yield("other", b) {
			return
		}
	}
	for _, f := range s.fences {
		b := binary.BigEndian.AppendUint64(f.KRID[:], f.Number)
		if !yield("other", binary.BigEndian.AppendUint64(b, uint64(f.Position))) {
			return
		}
	}
	yield("other", slices.Concat(s.head.Store[:], s.head.Secret[:], s.head.Frontier, []byte(s.head.Life.Place)))
}

// appendEntry appends a record's fields and the fields of the decoded event that do not alias them.
func appendEntry(b []byte, e *entry) []byte {
	r := &e.record
	b = binary.BigEndian.AppendUint64(b, uint64(r.Recorded))
	b = append(append(b, r.Type...), r.Stream.String()...)
	b = append(append(b, r.Leaf[:]...), r.Request[:]...)
	b = append(append(append(b, r.Body...), r.Commitments...), r.Boxes...)
	decoded := e.event.Draft
	decoded.Data = nil
	return event.AppendBody(b, &decoded)
}
