package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is a tree that something is proved of: its size and root.
type Tree struct {
	Size uint64
	Root Hash
}

// Reader makes proofs about the tree of a Tiler and of every earlier size of it. It checks every tile it reads
// against the root, so that a proof from it is right or is an error. A Reader may be used by many goroutines at once
// if its ReadTiles may.
type Reader struct {
	tiler Tiler
	root  Hash
	read  ReadTiles
}

// NewReader reads full tiles through read and the right edge from the Tiler.
func NewReader(t Tiler, read ReadTiles) Reader {
	f := t.Frontier()
	return Reader{tiler: t, root: f.Root(), read: read}
}

// Inclusion is the RFC 6962 audit path of the leaf at position (from 1) in the tree of that size.
func Inclusion(r Reader, position, size uint64) ([]Hash, error) {
	if position < 1 || position > size || size > r.tiler.size {
		return nil, fmt.Errorf("prove position %d in tree of size %d of %d: %w",
			position, size, r.tiler.size, ErrMalformed)
	}
	source := tileSource{Reader: r}
	proof, err := tlog.ProveRecord(int64(size), int64(position-1), source.hashes())
	if err != nil {
		return nil, fmt.Errorf("prove position %d in tree of size %d: %w", position, size, source.fault(err))
	}
	return fromTlog(proof), nil
}

// Consistency is the RFC 6962 proof that the tree of size from is the beginning of the tree of size to. It is empty
// when from is 0 or equal to to.
func Consistency(r Reader, from, to uint64) ([]Hash, error) {
	if from > to || to > r.tiler.size {
		return nil, fmt.Errorf("prove tree of size %d in %d of %d: %w", from, to, r.tiler.size, ErrMalformed)
	}
	if from == 0 {
		return nil, nil
	}
	source := tileSource{Reader: r}
	proof, err := tlog.ProveTree(int64(to), int64(from), source.hashes())
	if err != nil {
		return nil, fmt.Errorf("prove tree of size %d in %d: %w", from, to, source.fault(err))
	}
	return fromTlog(proof), nil
}

// Tree is the tree as it was at this size, such as the size of an older checkpoint.
func (r Reader) Tree(size uint64) (Tree, error) {
	if size > r.tiler.size {
		return Tree{}, fmt.Errorf("read tree of size %d of %d: %w", size, r.tiler.size, ErrMalformed)
	}
	source := tileSource{Reader: r}
	root, err := tlog.TreeHash(int64(size), source.hashes())
	if err != nil {
		return Tree{}, fmt.Errorf("read tree of size %d: %w", size, source.fault(err))
	}
	return Tree{Size: size, Root: root}, nil
}

// VerifyInclusion checks that the leaf with this hash is at position (from 1) of the tree. ErrMismatch if the proof
// does not show it, ErrMalformed if there is no such position.
func VerifyInclusion(tree Tree, position uint64, leaf Hash, proof []Hash) error {
	if position < 1 || position > tree.Size || tree.Size > MaxSize {
		return fmt.Errorf("verify position %d in tree of size %d: %w", position, tree.Size, ErrMalformed)
	}
	err := tlog.CheckRecord(toTlog(proof), int64(tree.Size), tree.Root, int64(position-1), leaf)
	if err != nil {
		return fmt.Errorf("verify position %d in tree of size %d: %w", position, tree.Size, ErrMismatch)
	}
	return nil
}

// VerifyConsistency checks that the older tree is the beginning of the newer one. ErrMismatch if the proof does not
// show it, ErrMalformed if the sizes cannot be.
func VerifyConsistency(older, newer Tree, proof []Hash) error {
	if older.Size > newer.Size || newer.Size > MaxSize {
		return fmt.Errorf("verify tree of size %d in %d: %w", older.Size, newer.Size, ErrMalformed)
	}
	if holds := consistent(older, newer, proof); !holds {
		return fmt.Errorf("verify tree of size %d in %d: %w", older.Size, newer.Size, ErrMismatch)
	}
	return nil
}

func consistent(older, newer Tree, proof []Hash) bool {
	switch {
	case newer.Size == 0 && newer.Root != emptyRoot():
		return false
	case older.Size == 0: // the empty tree begins every tree; RFC 6962 leaves the case open
		return older.Root == emptyRoot() && len(proof) == 0
	}
	return tlog.CheckTree(toTlog(proof), int64(newer.Size), newer.Root, int64(older.Size), older.Root) == nil
}

// tileSource gives tlog the tiles of a Reader for one proof and remembers why that failed.
type tileSource struct {
	Reader
	err error
}

// hashes authenticates every tile against the root of the whole tree.
func (s *tileSource) hashes() tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(s.tiler.size), Hash: s.root}, s)
}

// fault is the cause of a failed proof: a failed read, else tiles that do not give the root.
func (s *tileSource) fault(err error) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%w: %w", ErrMismatch, err)
}

func (s *tileSource) Height() int { return tileHeight }

// SaveTiles is part of tlog.TileReader; nothing is cached here.
func (s *tileSource) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles takes partial tiles from the right edge, where alone there are any, and the full ones from storage.
func (s *tileSource) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	var ids []TileID
	var at []int
	for i, tile := range tiles {
		if tile.W < TileWidth {
			data[i] = s.tiler.edge[tile.L]
			continue
		}
		ids = append(ids, TileID{uint8(tile.L), uint64(tile.N)})
		at = append(at, i)
	}
	if len(ids) == 0 {
		return data, nil
	}
	stored, err := readTiles(s.read, ids)
	if err != nil {
		s.err = err
		return nil, err
	}
	for i, tile := range stored {
		data[at[i]] = tile
	}
	return data, nil
}

func toTlog(proof []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(proof))
	for i := range proof {
		out[i] = proof[i]
	}
	return out
}

func fromTlog(proof []tlog.Hash) []Hash {
	out := make([]Hash, len(proof))
	for i := range proof {
		out[i] = Hash(proof[i])
	}
	return out
}
