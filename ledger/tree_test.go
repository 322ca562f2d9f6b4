package ledger_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/ledger"
)

// memoryTree is the oracle: every hash of the tree, kept and computed by tlog.
type memoryTree struct{ hashes []tlog.Hash }

func (m *memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = m.hashes[x]
	}
	return out, nil
}

func (m *memoryTree) add(t rapid.TB, leaf tlog.Hash) {
	t.Helper()
	level, n := tlog.SplitStoredHashIndex(int64(len(m.hashes)))
	if level != 0 {
		t.Fatal("the oracle lost count")
	}
	more, err := tlog.StoredHashesForRecordHash(n, leaf, m)
	if err != nil {
		t.Fatal(err)
	}
	m.hashes = append(m.hashes, more...)
}

func (m *memoryTree) root(t rapid.TB, size int) ledger.Hash {
	t.Helper()
	h, err := tlog.TreeHash(int64(size), m)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Hash(h)
}

func leafAt(i int) ledger.Hash {
	return ledger.LeafHash(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

// world is a tree as a store keeps it, beside the oracle.
type world struct {
	oracle   memoryTree
	leaves   []ledger.Hash
	frontier ledger.Frontier
	tiler    ledger.Tiler
	tiles    map[ledger.TileID][]byte
}

// grow appends leaves up to size in batches of the given length.
func (w *world) grow(t rapid.TB, size, batch int) {
	t.Helper()
	for len(w.leaves) < size {
		first := len(w.leaves)
		for i := first; i < min(first+batch, size); i++ {
			w.leaves = append(w.leaves, leafAt(i))
			w.oracle.add(t, leafAt(i))
			w.frontier.Append(leafAt(i))
		}
		var full []ledger.Tile
		w.tiler, full = w.tiler.Append(w.leaves[first:])
		w.store(t, full)
	}
}

func (w *world) store(t rapid.TB, full []ledger.Tile) {
	t.Helper()
	if w.tiles == nil {
		w.tiles = map[ledger.TileID][]byte{}
	}
	for _, tile := range full {
		if _, twice := w.tiles[tile.ID]; twice {
			t.Fatalf("tile %v comes twice", tile.ID)
		}
		w.tiles[tile.ID] = bytes.Clone(tile.Hashes)
	}
}

func (w *world) read(ids []ledger.TileID) ([][]byte, error) {
	var out [][]byte
	for _, id := range ids {
		tile, ok := w.tiles[id]
		if !ok {
			return nil, fmt.Errorf("no tile %v", id)
		}
		out = append(out, tile)
	}
	return out, nil
}

func (w *world) edge() []ledger.Hash { return w.leaves[len(w.leaves)/256*256:] }

// checkTiles compares every tile that must be there with the oracle, and that there is no other.
func (w *world) checkTiles(t *testing.T) {
	t.Helper()
	count := 0
	for level := 0; len(w.leaves)>>(8*(level+1)) > 0; level++ {
		for n := range len(w.leaves) >> (8 * (level + 1)) {
			want, err := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(n), W: 256}, &w.oracle)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(w.tiles[ledger.TileID{Level: uint8(level), N: uint64(n)}], want) {
				t.Fatalf("size %d: tile %d/%d is not the oracle's", len(w.leaves), level, n)
			}
			count++
		}
	}
	if len(w.tiles) != count {
		t.Fatalf("size %d: %d tiles, want %d", len(w.leaves), len(w.tiles), count)
	}
}

func (w *world) check(t *testing.T) {
	t.Helper()
	if got, want := w.frontier.Root(), w.oracle.root(t, len(w.leaves)); got != want {
		t.Fatalf("root at size %d is %x, want %x", len(w.leaves), got, want)
	}
	if w.tiler.Frontier() != w.frontier || w.tiler.Size() != w.frontier.Size {
		t.Fatalf("size %d: the tiler has another frontier", len(w.leaves))
	}
	b, err := w.frontier.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ledger.ParseFrontier(b); err != nil || again != w.frontier {
		t.Fatalf("frontier of size %d does not come back: %v", len(w.leaves), err)
	}
	recovered, err := ledger.RecoverTiler(w.frontier, w.edge(), w.read)
	if err != nil {
		t.Fatalf("recover at size %d: %v", len(w.leaves), err)
	}
	if recovered.Frontier() != w.frontier || recovered.Size() != w.frontier.Size {
		t.Fatalf("size %d: the recovered tiler has another frontier", len(w.leaves))
	}
}

func TestEverySizeAgainstTheOracle(t *testing.T) {
	var w world
	for size := range 1101 {
		w.grow(t, size, 1)
		w.check(t)
	}
	w.checkTiles(t)
}

// TestTwoLevelsOfTiles crosses 65,536 leaves, where the first tile of level 1 is full, in batches of odd sizes.
func TestTwoLevelsOfTiles(t *testing.T) {
	var w world
	for _, size := range []int{65_000, 65_535, 65_536, 65_537, 65_792, 70_000} {
		w.grow(t, size, 997)
		w.check(t)
		w.checkTiles(t)
	}
}

// TestRecoveredTilerGoesOn: a tiler from storage fills the same tiles as the one that was never closed.
func TestRecoveredTilerGoesOn(t *testing.T) {
	var w world
	for _, size := range []int{1, 255, 256, 257, 700, 66_000, 66_100} {
		w.grow(t, size, 640)
		recovered, err := ledger.RecoverTiler(w.frontier, w.edge(), w.read)
		if err != nil {
			t.Fatal(err)
		}
		w.tiler = recovered
	}
	w.grow(t, 66_600, 100)
	w.check(t)
	w.checkTiles(t)
}

// TestDiscardedAppend: an append whose transaction failed leaves no trace, also when it filled a tile, and a reader
// that holds the tiler meanwhile reads what it always read.
func TestDiscardedAppend(t *testing.T) {
	var w world
	w.grow(t, 500, 500)
	reader := ledger.NewReader(w.tiler, w.read)
	other := make([]ledger.Hash, 300)
	for i := range other {
		other[i] = leafAt(1_000_000 + i)
	}
	if _, full := w.tiler.Append(other); len(full) != 2 {
		t.Fatalf("the discarded append fills %d tiles, want 2", len(full))
	}
	w.grow(t, 530, 3)
	w.check(t)
	proof, err := ledger.Inclusion(reader, 490, 500)
	if err != nil {
		t.Fatal(err)
	}
	tree := ledger.Tree{Size: 500, Root: w.oracle.root(t, 500)}
	if err := ledger.VerifyInclusion(tree, 490, leafAt(489), proof); err != nil {
		t.Error(err)
	}
	w.grow(t, 800, 7)
	w.check(t)
	w.checkTiles(t)
}

func TestRecoverRefusesWhatDoesNotFit(t *testing.T) {
	var w world
	w.grow(t, 1000, 100)
	swapped := slices.Clone(w.edge())
	swapped[0], swapped[1] = swapped[1], swapped[0]
	id := ledger.TileID{Level: 0, N: 1}
	damaged := func(change func([]byte) []byte) ledger.ReadTiles {
		return func(ids []ledger.TileID) ([][]byte, error) {
			tiles, err := w.read(ids)
			if i := slices.Index(ids, id); i >= 0 {
				tiles[i] = change(bytes.Clone(tiles[i]))
			}
			return tiles, err
		}
	}
	failed := errors.New("disk gone")
	for name, c := range map[string]struct {
		want   error
		leaves []ledger.Hash
		read   ledger.ReadTiles
	}{
		"a leaf missing":   {ledger.ErrMalformed, w.edge()[1:], w.read},
		"leaves swapped":   {ledger.ErrMismatch, swapped, w.read},
		"a bit flipped":    {ledger.ErrMismatch, w.edge(), damaged(func(b []byte) []byte { b[77] ^= 2; return b })},
		"a tile cut short": {ledger.ErrMismatch, w.edge(), damaged(func(b []byte) []byte { return b[1:] })},
		"a tile too few": {ledger.ErrMismatch, w.edge(), func(ids []ledger.TileID) ([][]byte, error) {
			return w.read(ids[1:])
		}},
		"storage fails": {failed, w.edge(), func([]ledger.TileID) ([][]byte, error) { return nil, failed }},
	} {
		if _, err := ledger.RecoverTiler(w.frontier, c.leaves, c.read); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	absurd := ledger.Frontier{Size: ledger.MaxSize + 256}
	if _, err := ledger.RecoverTiler(absurd, nil, w.read); !errors.Is(err, ledger.ErrMalformed) {
		t.Errorf("absurd size: %v", err)
	}
}

func TestFrontierIsAValue(t *testing.T) {
	var a ledger.Frontier
	for i := range 5 {
		a.Append(leafAt(i))
	}
	b, root := a.Clone(), a.Root()
	b.Append(leafAt(5))
	if a.Root() != root || a.Size != 5 || b.Size != 6 || a == b {
		t.Error("a clone shares state")
	}
}

func TestFrontierBitFlips(t *testing.T) {
	var w world
	w.grow(t, 0b1011, 1)
	b, err := w.frontier.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(b) * 8 {
		flipped := bytes.Clone(b)
		flipped[i/8] ^= 1 << (i % 8)
		f, err := ledger.ParseFrontier(flipped)
		if err == nil && f.Root() == w.frontier.Root() {
			t.Errorf("bit %d is ignored", i)
		}
		if i < 16 && !errors.Is(err, ledger.ErrUnknownFormat) {
			t.Errorf("bit %d of version or suite: %v", i, err)
		}
	}
	for n := range b {
		if _, err := ledger.ParseFrontier(b[:n]); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
}

func FuzzParseFrontier(f *testing.F) {
	var frontier ledger.Frontier
	for i := range 8 {
		b, err := frontier.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		frontier.Append(leafAt(i))
	}
	f.Add(binary.BigEndian.AppendUint64([]byte{1, 1}, ledger.MaxSize+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ledger.ParseFrontier(b)
		if err != nil {
			if !errors.Is(err, ledger.ErrMalformed) && !errors.Is(err, ledger.ErrUnknownFormat) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		again, err := got.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("not canonical:\n%x\n%x %v", b, again, err)
		}
		got.Append(ledger.Hash{})
		got.Root()
	})
}
