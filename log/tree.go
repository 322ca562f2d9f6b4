package log

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/ledger"
	"github.com/lethe-es/lethe/storage"
)

// tree is the Merkle tree over the leaves of the log, as far as appending needs it: what is durable, and what the
// batch being decided adds to it. Only the sequencer touches it.
type tree struct {
	durable ledger.Frontier
	tiler   ledger.Tiler

	next   ledger.Frontier // durable and the batch's leaves
	leaves []ledger.Hash   // of the batch
	tiled  ledger.Tiler    // tiler and the batch's leaves
	buf    []byte
}

func (t *tree) size() uint64 { return t.durable.Size }

// append adds a leaf to the batch.
func (t *tree) append(leaf *ledger.Leaf) ledger.Hash {
	t.buf = leaf.AppendTo(t.buf[:0])
	h := ledger.LeafHash(t.buf)
	t.next.Append(h)
	t.leaves = append(t.leaves, h)
	return h
}

// pending is what must be stored with the batch: the new right edge, and the tiles that became full.
func (t *tree) pending() ([]byte, []storage.Tile) {
	edge, err := t.next.MarshalBinary()
	if err != nil {
		panic("a frontier always encodes")
	}
	var full []ledger.Tile
	t.tiled, full = t.tiler.Append(t.leaves)
	tiles := make([]storage.Tile, len(full))
	for i := range full {
		tiles[i] = storage.Tile{ID: storage.TileID(full[i].ID), Hashes: full[i].Hashes}
	}
	return edge, tiles
}

// commit takes the batch over, rollback forgets it.
func (t *tree) commit() {
	if len(t.leaves) > 0 {
		t.durable, t.tiler = t.next, t.tiled
	}
	t.rollback()
}

func (t *tree) rollback() {
	t.next, t.leaves = t.durable, t.leaves[:0]
}

// follow takes over the leaves from a position on that others appended, of which the head knows the right edge. Those
// that the tree has, it skips: a batch may be decided again with the same leaves.
func (t *tree) follow(from event.Position, leaves []ledger.Hash, frontier []byte) error {
	if from > 0 {
		leaves = leaves[min(t.size()+1-uint64(from), uint64(len(leaves))):]
	}
	if len(leaves) == 0 {
		return nil
	}
	for _, leaf := range leaves {
		t.durable.Append(leaf)
	}
	t.tiler, _ = t.tiler.Append(leaves) // the tiles that became full are stored with the events
	t.rollback()
	edge, err := t.durable.MarshalBinary()
	if err != nil || !bytes.Equal(edge, frontier) {
		return event.Errorf(event.ErrCorrupt, "follow the log: the leaves up to %d do not give the head's tree", t.size()).
			Hint("run lethe doctor --full")
	}
	return nil
}

// load brings the tree to the head of the store, and checks that rows, tiles and head agree.
func (t *tree) load(ctx context.Context, store storage.Log) error {
	head, err := store.Head(ctx)
	if err != nil {
		return fmt.Errorf("load tree: %w", err)
	}
	var frontier ledger.Frontier
	if len(head.Frontier) > 0 {
		if frontier, err = ledger.ParseFrontier(head.Frontier); err != nil {
			return fmt.Errorf("load tree: %w", err)
		}
	}
	if frontier.Size != uint64(head.Position) {
		return event.Errorf(event.ErrCorrupt, "load tree: it holds %d leaves, the log %d events",
			frontier.Size, head.Position).Hint("restore a backup")
	}
	edge, err := rightEdge(ctx, store, frontier.Size)
	if err != nil {
		return fmt.Errorf("load tree: %w", err)
	}
	tiler, err := ledger.RecoverTiler(frontier, edge, func(ids []ledger.TileID) ([][]byte, error) {
		wanted := make([]storage.TileID, len(ids))
		for i, id := range ids {
			wanted[i] = storage.TileID(id)
		}
		return store.Tiles(ctx, wanted)
	})
	if err != nil {
		return event.Errorf(event.ErrCorrupt, "load tree: %v", err).Hint("restore a backup")
	}
	*t = tree{durable: frontier, next: frontier, tiler: tiler, tiled: tiler, leaves: t.leaves[:0], buf: t.buf}
	return nil
}

// rightEdge reads the leaves that fill no tile yet from their rows.
func rightEdge(ctx context.Context, store storage.Log, size uint64) ([]ledger.Hash, error) {
	first := size - size%ledger.TileWidth + 1
	edge := make([]ledger.Hash, 0, ledger.TileWidth)
	for from := first; from <= size; {
		page, err := store.Page(ctx, storage.Query{From: from, To: size, Limit: ledger.TileWidth})
		if err != nil {
			return nil, err
		}
		for i := range page.Records {
			edge = append(edge, page.Records[i].Leaf)
		}
		if page.Done || page.Scanned < from {
			break
		}
		from = page.Scanned + 1
	}
	return edge, nil
}
