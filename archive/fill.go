package archive

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/storage"
)

// pageEvents is how many events are copied in one commit, unless their bodies fill a page before.
const pageEvents = 4096

// fill copies the records after those the target has, up to the head of the source. The next page is read, and its
// terms are computed, while the present one is being written.
func (c *copier) fill(ctx context.Context, source *storage.Head) error {
	if c.at > source.Position {
		return event.Errorf(event.ErrConflict, "copy store: the copy is at position %d, the source at %d only",
			c.at, source.Position).Hint("the source was put back; delete the copy and run it again")
	}
	ctx, cancel := context.WithCancel(ctx)
	pages := make(chan page)
	go c.read(ctx, c.at+1, source.Position, pages)
	defer func() {
		cancel()
		for range pages { // nothing is read any more when Copy returns
		}
	}()
	for p := range pages {
		if p.err != nil {
			return fmt.Errorf("copy store: read position %d of the source: %w", p.from, p.err)
		}
		if err := c.write(ctx, &p); err != nil {
			return fmt.Errorf("copy store: write positions from %d of the copy: %w", p.from, err)
		}
		c.progress(Copying, c.at, source.Position)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	edge, err := encode(c.tree)
	if err != nil || !bytes.Equal(edge, source.Frontier) {
		return event.Errorf(event.ErrCorrupt, "copy store: the events up to position %d do not give the root of the source",
			source.Position).Hint("see what lethe doctor says of the source")
	}
	return nil
}

// page is what one commit copies.
type page struct {
	from    event.Position
	records []storage.Record
	streams []event.StreamID // of the records, each once
	leaves  []ledger.Hash
	system  event.Position // of the last system event; 0: none
	err     error          // the page could not be read, and none follows
}

// read sends the pages from a position to the last one, and closes the channel in the end.
func (c *copier) read(ctx context.Context, from, last event.Position, pages chan<- page) {
	defer close(pages)
	for from <= last {
		p := c.page(ctx, from, last)
		select {
		case pages <- p:
		case <-ctx.Done():
			return
		}
		if p.err != nil {
			return
		}
		from += event.Position(len(p.records))
	}
}

func (c *copier) page(ctx context.Context, from, last event.Position) page {
	p := page{from: from}
	found, err := c.from.Page(ctx, storage.Query{From: uint64(from), To: uint64(last), Limit: pageEvents})
	if err != nil {
		p.err = err
		return p
	}
	p.records = found.Records
	if len(p.records) == 0 {
		p.err = event.Errorf(event.ErrCorrupt, "it is missing").Hint("see what lethe doctor says of the source")
		return p
	}
	known := make(map[event.StreamID]struct{}, len(p.records))
	for i := range p.records {
		if p.err = c.prepare(&p, &p.records[i], from+event.Position(i)); p.err != nil {
			p.from += event.Position(i)
			return p
		}
		s := p.records[i].Stream
		if _, ok := known[s]; !ok {
			known[s] = struct{}{}
			p.streams = append(p.streams, s)
		}
	}
	return p
}

// prepare adds to a record what a page does not tell: what the index shall know of it. Of a pruned one that is little.
func (c *copier) prepare(p *page, r *storage.Record, at event.Position) error {
	if r.Position != at {
		return event.Errorf(event.ErrCorrupt, "it is missing").Hint("see what lethe doctor says of the source")
	}
	e, err := r.Event()
	if err != nil {
		return err
	}
	r.Terms = c.terms.Append(nil, r.Stream, &e.Draft)
	p.leaves = append(p.leaves, r.Leaf)
	if r.Stream.Kind == event.SystemKind {
		p.system = r.Position
	}
	return nil
}

// write commits a page to the target, with the tree over its leaves.
func (c *copier) write(ctx context.Context, p *page) error {
	tree, full := c.tree.Append(p.leaves)
	edge, err := encode(tree)
	if err != nil {
		return err
	}
	b := storage.Batch{Records: p.records, Frontier: edge, System: p.system, Tiles: make([]storage.Tile, len(full))}
	for i := range full {
		b.Tiles[i] = storage.Tile{ID: storage.TileID(full[i].ID), Hashes: full[i].Hashes}
	}
	head, err := c.commit(ctx, b, p.streams...)
	if err != nil {
		return err
	}
	c.at, c.tree = head.Position, tree
	return nil
}

// commit makes a batch durable in the target, if it is as this copy left it.
func (c *copier) commit(ctx context.Context, b storage.Batch, streams ...event.StreamID) (storage.Head, error) {
	return c.to.Commit(ctx, storage.Probe{Streams: streams},
		func(h storage.Head, _ storage.Found) (storage.Batch, error) {
			if !c.ours(&h) || h.Life.State != storage.Filling || h.Position != c.at {
				return b, event.Errorf(event.ErrConflict, "another process copies into this store, too").
					Hint("let one of them end, then run it again")
			}
			return b, nil
		})
}

// encode is the right edge of a tree as a head holds it.
func encode(tree ledger.Tiler) ([]byte, error) {
	if tree.Size() == 0 {
		return nil, nil
	}
	frontier := tree.Frontier()
	return frontier.MarshalBinary()
}

// recoverTree is the tree of what a store holds.
func recoverTree(ctx context.Context, store storage.Log, head *storage.Head) (ledger.Tiler, error) {
	if head.Position == 0 {
		return ledger.Tiler{}, nil
	}
	frontier, err := ledger.ParseFrontier(head.Frontier)
	if err != nil {
		return ledger.Tiler{}, err
	}
	var edge []ledger.Hash
	last := uint64(head.Position)
	for from := last - last%ledger.TileWidth + 1; from <= last; {
		found, err := store.Page(ctx, storage.Query{From: from, To: last, Limit: ledger.TileWidth})
		if err != nil {
			return ledger.Tiler{}, err
		}
		for i := range found.Records {
			edge = append(edge, found.Records[i].Leaf)
		}
		if found.Done || found.Scanned < from {
			break
		}
		from = found.Scanned + 1
	}
	return ledger.RecoverTiler(frontier, edge, func(ids []ledger.TileID) ([][]byte, error) {
		wanted := make([]storage.TileID, len(ids))
		for i, id := range ids {
			wanted[i] = storage.TileID(id)
		}
		return store.Tiles(ctx, wanted)
	})
}
