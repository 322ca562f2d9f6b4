package ledger

import (
	"crypto/sha256"
	"fmt"
)

// Tiles follow C2SP tlog-tiles: height 8.
const (
	TileWidth = 256                     // hashes of a full tile
	TileBytes = TileWidth * sha256.Size // 8,192

	tileHeight = 8
)

// TileID names a tile. Tile n of level l holds, for i from 0 to 255, the root of the full subtree over the leaves
// from (n·256+i)·256^l up to (n·256+i+1)·256^l: leaf hashes at level 0, roots of full tiles of level l-1 above.
type TileID struct {
	Level uint8
	N     uint64
}

// Tile is a full tile: 256 hashes in 8,192 bytes.
type Tile struct {
	ID     TileID
	Hashes []byte
}

// ReadTiles fetches full tiles by id, all of them or an error, in the order asked for.
type ReadTiles func(ids []TileID) ([][]byte, error)

// Tiler turns appended leaf hashes into full tiles and keeps what fills none yet: at most 255 hashes of each level.
// It is a small value with value semantics, for a writer that may have to take an append back:
//
//	next, tiles := tiler.Append(leaves) // tiler is unchanged
//	… write tiles in the event's transaction; only when it is committed:
//	tiler = next
//
// Copies share memory: of the values that Append makes from one Tiler only one may be kept, and a later Append to
// the same Tiler makes the earlier results void. Readers may hold any kept value while the writer goes on.
// The zero Tiler is the empty tree.
type Tiler struct {
	size uint64
	edge [8][]byte // edge[l]: the last size/256^l mod 256 hashes of level l; capacity TileBytes or none
}

// Size is the number of leaves.
func (t Tiler) Size() uint64 { return t.size }

// Append gives the Tiler after these leaves and the tiles they fill, lower levels first.
func (t Tiler) Append(leaves []Hash) (Tiler, []Tile) {
	var full []Tile
	for i := range leaves {
		t.size++
		full = t.push(leaves[i], full)
	}
	return t, full
}

// push adds the hash to level 0 and moves the root of each tile that it fills one level up.
func (t *Tiler) push(h Hash, full []Tile) []Tile {
	for level := range t.edge {
		t.put(level, h)
		tile := t.edge[level]
		if len(tile) < TileBytes {
			break
		}
		full = append(full, Tile{TileID{uint8(level), t.size>>(tileHeight*(level+1)) - 1}, tile})
		t.edge[level] = nil
		h = subtreeRoot(tile)
	}
	return full
}

func (t *Tiler) put(level int, h Hash) {
	if t.edge[level] == nil {
		t.edge[level] = make([]byte, 0, TileBytes)
	}
	t.edge[level] = append(t.edge[level], h[:]...)
}

// subtreeRoot is the root over at most 256 concatenated hashes.
func subtreeRoot(hashes []byte) Hash {
	var nodes [TileWidth]Hash
	n := len(hashes) / sha256.Size
	for i := range n {
		nodes[i] = Hash(hashes[i*sha256.Size:])
	}
	return fold(nodes[:n])
}

// Frontier is the frontier of the same tree, computed anew from the hashes the Tiler keeps.
func (t Tiler) Frontier() Frontier {
	f := Frontier{Size: t.size}
	for level, rest := range t.edge {
		count := len(rest) / sha256.Size
		for bit := tileHeight - 1; bit >= 0; bit-- {
			if count>>bit&1 == 1 {
				width := sha256.Size << bit
				f.edge[tileHeight*level+bit] = subtreeRoot(rest[:width])
				rest = rest[width:]
			}
		}
	}
	return f
}

// RecoverTiler rebuilds the Tiler of the tree with this frontier from what is stored: the hashes of its last
// Size mod 256 leaves, and full tiles, of which it reads at most 255 of each level. What it returns has this very
// frontier; ErrMismatch says that rows or tiles do not fit it.
func RecoverTiler(f Frontier, leaves []Hash, read ReadTiles) (Tiler, error) {
	if f.Size > MaxSize || uint64(len(leaves)) != f.Size%TileWidth {
		return Tiler{}, fmt.Errorf("recover tree of size %d from %d leaves: %w", f.Size, len(leaves), ErrMalformed)
	}
	t := Tiler{size: f.Size}
	for i := range leaves {
		t.put(0, leaves[i])
	}
	for level := 1; level < len(t.edge); level++ {
		if err := t.recoverLevel(level, read); err != nil {
			return Tiler{}, fmt.Errorf("recover tree of size %d: %w", f.Size, err)
		}
	}
	if t.Frontier() != f {
		return Tiler{}, fmt.Errorf("recover tree of size %d: leaves or tiles do not give its frontier: %w",
			f.Size, ErrMismatch)
	}
	return t, nil
}

func (t *Tiler) recoverLevel(level int, read ReadTiles) error {
	count := t.size >> (tileHeight * level) // hashes of this level, each the root of a full tile below
	var ids []TileID
	for n := count &^ (TileWidth - 1); n < count; n++ {
		ids = append(ids, TileID{uint8(level - 1), n})
	}
	if len(ids) == 0 {
		return nil
	}
	tiles, err := readTiles(read, ids)
	if err != nil {
		return err
	}
	for _, tile := range tiles {
		t.put(level, subtreeRoot(tile))
	}
	return nil
}

// readTiles holds read to its contract.
func readTiles(read ReadTiles, ids []TileID) ([][]byte, error) {
	tiles, err := read(ids)
	if err != nil {
		return nil, fmt.Errorf("read %d tiles from %d/%d: %w", len(ids), ids[0].Level, ids[0].N, err)
	}
	if len(tiles) != len(ids) {
		return nil, fmt.Errorf("read %d tiles: got %d: %w", len(ids), len(tiles), ErrMismatch)
	}
	for i, tile := range tiles {
		if len(tile) != TileBytes {
			return nil, fmt.Errorf("read tile %d/%d: got %d bytes: %w", ids[i].Level, ids[i].N, len(tile), ErrMismatch)
		}
	}
	return tiles, nil
}
