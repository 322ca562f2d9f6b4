package ledger_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/ledger"
)

func (w *world) tree(t rapid.TB, size int) ledger.Tree {
	t.Helper()
	return ledger.Tree{Size: uint64(size), Root: w.oracle.root(t, size)}
}

// checkInclusion compares a proof with tlog's own and verifies it.
func (w *world) checkInclusion(t rapid.TB, r ledger.Reader, position, size int) {
	t.Helper()
	want, err := tlog.ProveRecord(int64(size), int64(position-1), &w.oracle)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ledger.Inclusion(r, uint64(position), uint64(size))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(a ledger.Hash, b tlog.Hash) bool { return tlog.Hash(a) == b }) {
		t.Fatalf("proof of %d in %d is not the oracle's", position, size)
	}
	if err := ledger.VerifyInclusion(w.tree(t, size), uint64(position), leafAt(position-1), got); err != nil {
		t.Fatal(err)
	}
}

func (w *world) checkConsistency(t rapid.TB, r ledger.Reader, from, to int) {
	t.Helper()
	var want tlog.TreeProof
	if from > 0 {
		var err error
		if want, err = tlog.ProveTree(int64(to), int64(from), &w.oracle); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ledger.Consistency(r, uint64(from), uint64(to))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(a ledger.Hash, b tlog.Hash) bool { return tlog.Hash(a) == b }) {
		t.Fatalf("proof of %d in %d is not the oracle's", from, to)
	}
	if err := ledger.VerifyConsistency(w.tree(t, from), w.tree(t, to), got); err != nil {
		t.Fatal(err)
	}
}

func TestProofsAtEverySize(t *testing.T) {
	var w world
	for size := range 1101 {
		w.grow(t, size, 1)
		r := ledger.NewReader(w.tiler, w.read)
		for _, position := range []int{1, size/3 + 1, size} {
			if position >= 1 && position <= size {
				w.checkInclusion(t, r, position, size)
			}
		}
		for _, from := range []int{0, size / 2, size - 1} {
			if from >= 0 && from <= size {
				w.checkConsistency(t, r, from, size)
			}
		}
	}
}

func TestProofsOfALargeTree(t *testing.T) {
	var w world
	w.grow(t, 66_123, 5_000)
	r := ledger.NewReader(w.tiler, w.read)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, len(w.leaves)).Draw(t, "size")
		w.checkInclusion(t, r, rapid.IntRange(1, size).Draw(t, "position"), size)
		w.checkConsistency(t, r, rapid.IntRange(0, size).Draw(t, "from"), size)
		tree, err := r.Tree(uint64(size))
		if err != nil || tree != w.tree(t, size) {
			t.Fatalf("tree of size %d is %v: %v", size, tree, err)
		}
	})
}

// flips calls check with each bit of a proof flipped, with a hash less and with a hash more.
func flips(proof []ledger.Hash, check func(changed []ledger.Hash)) {
	for i := range len(proof) * 256 {
		changed := slices.Clone(proof)
		changed[i/256][i/8%32] ^= 1 << (i % 8)
		check(changed)
	}
	if len(proof) > 0 {
		check(proof[1:])
		check(proof[:len(proof)-1])
	}
	check(append(slices.Clone(proof), ledger.Hash{}))
	check(append([]ledger.Hash{{}}, proof...))
}

func TestChangedProofsAreRefused(t *testing.T) {
	var w world
	w.grow(t, 21, 21)
	r := ledger.NewReader(w.tiler, w.read)
	tree, older := w.tree(t, 21), w.tree(t, 13)
	inclusion, err := ledger.Inclusion(r, 6, 21)
	if err != nil {
		t.Fatal(err)
	}
	consistency, err := ledger.Consistency(r, 13, 21)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ledger.ErrMismatch) {
			t.Errorf("%s: %v", what, err)
		}
	}
	flips(inclusion, func(p []ledger.Hash) { refused("inclusion", ledger.VerifyInclusion(tree, 6, leafAt(5), p)) })
	flips(consistency, func(p []ledger.Hash) { refused("consistency", ledger.VerifyConsistency(older, tree, p)) })
	refused("another leaf", ledger.VerifyInclusion(tree, 6, leafAt(6), inclusion))
	refused("another root", ledger.VerifyInclusion(ledger.Tree{Size: 21, Root: older.Root}, 6, leafAt(5), inclusion))
	for position := uint64(1); position <= 21; position++ {
		if position != 6 {
			refused("another position", ledger.VerifyInclusion(tree, position, leafAt(5), inclusion))
		}
	}
	bad := older
	bad.Root[0] ^= 1
	refused("another older root", ledger.VerifyConsistency(bad, tree, consistency))
	bad.Size, bad.Root = 12, older.Root
	refused("another older size", ledger.VerifyConsistency(bad, tree, consistency))
	refused("same size, other root", ledger.VerifyConsistency(ledger.Tree{Size: 21, Root: older.Root}, tree, nil))
	refused("empty tree with a root", ledger.VerifyConsistency(ledger.Tree{Root: older.Root}, tree, nil))
	refused("empty tree with a proof", ledger.VerifyConsistency(w.tree(t, 0), tree, consistency))
	refused("empty to empty", ledger.VerifyConsistency(w.tree(t, 0), ledger.Tree{Root: older.Root}, nil))
}

func TestProofsOutOfRange(t *testing.T) {
	var w world
	w.grow(t, 10, 10)
	r, empty := ledger.NewReader(w.tiler, w.read), ledger.NewReader(ledger.Tiler{}, w.read)
	malformed := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, at := range [][2]uint64{{0, 10}, {11, 10}, {1, 11}, {11, 11}, {1, math.MaxUint64}, {1, 0}, {0, 0}} {
		_, err := ledger.Inclusion(r, at[0], at[1])
		malformed("inclusion", err)
		_, err = ledger.Inclusion(empty, at[0], at[1])
		malformed("inclusion in nothing", err)
	}
	for _, at := range [][2]uint64{{10, 9}, {1, 11}, {0, 11}, {math.MaxUint64, math.MaxUint64}} {
		_, err := ledger.Consistency(r, at[0], at[1])
		malformed("consistency", err)
	}
	_, err := r.Tree(11)
	malformed("tree", err)
	if tree, err := empty.Tree(0); err != nil || tree != w.tree(t, 0) {
		t.Errorf("empty tree: %v %v", tree, err)
	}
	// Sizes that would overflow the walk must be refused, not walked.
	huge := ledger.Tree{Size: math.MaxInt64}
	malformed("huge size", ledger.VerifyInclusion(huge, 1, ledger.Hash{}, make([]ledger.Hash, 63)))
	malformed("huge size", ledger.VerifyConsistency(ledger.Tree{Size: 3}, huge, make([]ledger.Hash, 63)))
	malformed("position 0", ledger.VerifyInclusion(w.tree(t, 10), 0, ledger.Hash{}, nil))
	malformed("position beyond", ledger.VerifyInclusion(w.tree(t, 10), 11, ledger.Hash{}, nil))
	malformed("shrunk", ledger.VerifyConsistency(w.tree(t, 10), w.tree(t, 9), nil))
}

// TestDamagedTilesGiveNoProof: a proof is right or an error, whatever storage returns.
func TestDamagedTilesGiveNoProof(t *testing.T) {
	var w world
	w.grow(t, 66_000, 5_000)
	clean := ledger.NewReader(w.tiler, w.read)
	rapid.Check(t, func(t *rapid.T) {
		id := ledger.TileID{N: rapid.Uint64Range(0, 256).Draw(t, "tile")}
		if rapid.Bool().Draw(t, "upper") {
			id = ledger.TileID{Level: 1}
		}
		bit := rapid.IntRange(0, ledger.TileBytes*8-1).Draw(t, "bit")
		hit := false
		r := ledger.NewReader(w.tiler, func(ids []ledger.TileID) ([][]byte, error) {
			tiles, err := w.read(ids)
			if i := slices.Index(ids, id); i >= 0 {
				hit = true
				tiles[i] = bytes.Clone(tiles[i])
				tiles[i][bit/8] ^= 1 << (bit % 8)
			}
			return tiles, err
		})
		position := id.N*256 + rapid.Uint64Range(1, 256).Draw(t, "position")
		proof, err := ledger.Inclusion(r, position, 66_000)
		if hit && !errors.Is(err, ledger.ErrMismatch) {
			t.Fatalf("a proof from a damaged tile: %v", err)
		}
		if want, _ := ledger.Inclusion(clean, position, 66_000); !hit && !slices.Equal(proof, want) {
			t.Fatalf("an untouched proof differs: %v", err)
		}
	})
	failed := errors.New("disk gone")
	r := ledger.NewReader(w.tiler, func([]ledger.TileID) ([][]byte, error) { return nil, failed })
	_, err1 := ledger.Inclusion(r, 1, 66_000)
	_, err2 := ledger.Consistency(r, 77, 66_000)
	_, err3 := r.Tree(77)
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, failed) || errors.Is(err, ledger.ErrMismatch) {
			t.Errorf("storage fails: %v", err)
		}
	}
}
