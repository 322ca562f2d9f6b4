package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/sealed"
	"github.com/lethe-es/lethe/storage"
)

// Finding is one thing that does not fit.
type Finding struct {
	Position event.Position // of the event; of a tile its first event; 0: the log as a whole
	Cause    string         // in words, without payload
}

// maxFindings bounds a report: where everything is wrong, the first places say enough.
const maxFindings = 20

// Report is what Verify found.
type Report struct {
	Events   uint64 // that were looked at
	Pruned   uint64 // of them, those of which only header and leaf are left
	Tiles    uint64 // full tiles that were compared
	Root     ledger.Hash
	Findings []Finding // at most 20, in order
	More     uint64    // findings beyond those
}

// OK reports whether everything fits.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) add(p event.Position, cause string) {
	if len(r.Findings) == maxFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, Finding{p, cause})
}

// Verify reads the whole log as of its head and proves it against its own Merkle tree: from every row it computes the
// open commitment and the leaf anew and compares the leaf; of a pruned row only the stored leaf is left. The leaves
// then give the tree's right edge and full tiles, which are compared with the stored ones. It needs constant memory
// and writes nothing. progress, which may be nil, is called after every page with the position reached and the head.
//
// What does not fit is in the report; an error says that the log could not be read to its end, and the report holds
// what was found before. An error at a damaged row is event.ErrCorrupt.
func Verify(ctx context.Context, store storage.Log, progress func(done, head event.Position)) (Report, error) {
	return NewVerifier(store).Run(ctx, progress)
}

// Verifier is Verify for a log that grows: each Run goes on after the last event of the one before it.
type Verifier struct {
	store   storage.Log
	head    storage.Head
	scratch scratch
	buf     []byte

	frontier ledger.Frontier
	tiler    ledger.Tiler
	report   Report
}

// NewVerifier makes one that begins at the first event.
func NewVerifier(store storage.Log) *Verifier { return &Verifier{store: store} }

// Run verifies what the log has had since the last Run, and reports on all of it, as Verify does.
func (v *Verifier) Run(ctx context.Context, progress func(done, head event.Position)) (Report, error) {
	head, err := v.store.Head(ctx)
	if err != nil {
		return v.report, fmt.Errorf("verify log: %w", err)
	}
	v.head = head
	limit := fullPage
	for from := event.Position(v.frontier.Size) + 1; from <= head.Position; {
		page, err := v.store.Page(ctx, storage.Query{From: uint64(from), To: uint64(head.Position), Limit: limit})
		switch {
		case errors.Is(err, event.ErrCorrupt) && limit > 1:
			limit = 1 // go on row by row, to name the damaged one
			continue
		case err == nil && page.Scanned < uint64(from):
			err = event.Errorf(event.ErrCorrupt, "the rows end before it")
		case err == nil:
			err = v.page(ctx, page.Records)
		}
		if err != nil {
			return v.report, fmt.Errorf("verify log: position %d: %w", from, err)
		}
		from = event.Position(page.Scanned) + 1
		if progress != nil {
			progress(from-1, head.Position)
		}
	}
	v.finish()
	return v.report, nil
}

// Verify is the function Verify over this log's engine.
func (l *Log) Verify(ctx context.Context, progress func(done, head event.Position)) (Report, error) {
	return Verify(ctx, l.store, progress)
}

func (v *Verifier) page(ctx context.Context, records []storage.Record) error {
	leaves := make([]ledger.Hash, len(records))
	for i := range records {
		r := &records[i]
		if next := event.Position(v.frontier.Size) + 1; r.Position != next {
			return event.Errorf(event.ErrCorrupt, "the row at position %d is missing", next)
		}
		v.record(r)
		v.frontier.Append(r.Leaf)
		leaves[i] = r.Leaf
	}
	var full []ledger.Tile
	v.tiler, full = v.tiler.Append(leaves)
	return v.tiles(ctx, full)
}

// record compares the leaf of one row with the leaf its content gives.
func (v *Verifier) record(r *storage.Record) {
	v.report.Events++
	if r.Body == nil {
		v.report.Pruned++
		return
	}
	leaf, cause := v.leaf(r)
	if cause == "" && leaf != r.Leaf {
		cause = "its content does not give its leaf: it was changed or damaged"
	}
	if cause != "" {
		v.report.add(r.Position, cause)
	}
}

func (v *Verifier) leaf(r *storage.Record) (leaf ledger.Hash, cause string) {
	e, err := r.Event()
	if err != nil {
		return leaf, "its body cannot be read: " + event.Code(err)
	}
	if len(r.Commitments) != len(leaf) {
		return leaf, "its commitments are not of a known format"
	}
	boxes, err := sealed.Parse(r.Boxes)
	if err != nil {
		return leaf, "its boxes cannot be read: " + event.Code(err)
	}
	slots, err := v.scratch.openSlots(e.Stream, &e.Draft)
	if err != nil {
		return leaf, "its data cannot be read: " + event.Code(err)
	}
	open := ledger.Prepare(ledger.Hash(r.Commitments), slots, &v.scratch.ledger)
	l := ledger.Leaf{
		Store: v.head.Store, Incarnation: v.incarnation(r.Position), Position: uint64(r.Position),
		ID: r.ID, Type: r.Type, Schema: ledger.Hash(e.Schema), RecordedAt: r.Recorded,
		Open: open.Seal(uint64(r.Version)), Boxes: commitments(boxes),
	}
	v.buf = l.AppendTo(v.buf[:0])
	return ledger.LeafHash(v.buf), ""
}

// commitments are what a leaf holds of boxes.
func commitments(boxes []sealed.Box) []ledger.BoxCommitment {
	list := make([]ledger.BoxCommitment, len(boxes))
	for i := range boxes {
		b := &boxes[i]
		list[i] = ledger.BoxCommitment{Group: b.Group, Bucket: b.Bucket, Commitment: b.Commitment}
	}
	return list
}

// incarnation is the life of the store in which position p was appended.
func (v *Verifier) incarnation(p event.Position) uint64 {
	life := v.head.Incarnation
	for _, fork := range v.head.Lineage {
		if fork.First <= p {
			life = fork.Incarnation
		}
	}
	return uint64(life)
}

func (v *Verifier) tiles(ctx context.Context, full []ledger.Tile) error {
	for i := range full {
		v.report.Tiles++
		first := event.Position(full[i].ID.N<<(8*(full[i].ID.Level+1)) + 1)
		stored, err := v.store.Tiles(ctx, []storage.TileID{storage.TileID(full[i].ID)})
		switch {
		case errors.Is(err, event.ErrNotFound):
			v.report.add(first, fmt.Sprintf("tile %d/%d, which begins there, is not stored", full[i].ID.Level, full[i].ID.N))
		case err != nil:
			return err
		case len(stored) != 1 || !bytes.Equal(stored[0], full[i].Hashes):
			v.report.add(first, fmt.Sprintf("tile %d/%d, which begins there, does not hold the leaves of the rows",
				full[i].ID.Level, full[i].ID.N))
		}
	}
	return nil
}

func (v *Verifier) finish() {
	v.report.Root = v.frontier.Root()
	edge, err := v.frontier.MarshalBinary()
	empty := v.frontier.Size == 0 && len(v.head.Frontier) == 0
	if err != nil || !empty && !bytes.Equal(edge, v.head.Frontier) {
		v.report.add(0, "the stored right edge of the tree is not that of the rows' leaves")
	}
}
