package ledger_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/ledger"
)

func plainLeaf() ledger.Leaf {
	return ledger.Leaf{
		Store: [16]byte{1}, Incarnation: 1, Position: 42, ID: [16]byte{2}, Type: "ApplicationRegistered",
		Schema: ledger.Hash{3}, RecordedAt: 1_790_000_000_000_000, Open: ledger.Hash{4},
		Boxes: []ledger.BoxCommitment{
			{Group: "contact", Bucket: -1, Commitment: ledger.Hash{5}},
			{Group: "contact", Bucket: 2027, Commitment: ledger.Hash{6}},
			{Group: "contact", Bucket: 2027, Commitment: ledger.Hash{7}},
			{Group: "identity", Bucket: 0, Commitment: ledger.Hash{8}},
		},
	}
}

func drawLeaf(t *rapid.T) ledger.Leaf {
	hash := func(name string) ledger.Hash {
		return ledger.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, name))
	}
	name := rapid.StringN(1, 30, -1)
	l := ledger.Leaf{
		Store:       [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "store")),
		Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		Position:    rapid.Uint64Min(1).Draw(t, "position"),
		ID:          [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		Type:        name.Draw(t, "type"),
		Schema:      hash("schema"),
		RecordedAt:  rapid.Int64().Draw(t, "recorded"),
		Open:        hash("open"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "boxes") {
		l.Boxes = append(l.Boxes, ledger.BoxCommitment{
			Group: name.Draw(t, "group"), Bucket: rapid.Int64().Draw(t, "bucket"), Commitment: hash("commitment")})
	}
	slices.SortFunc(l.Boxes, ledger.BoxCommitment.Compare)
	l.Boxes = slices.Compact(l.Boxes)
	return l
}

func TestLeafRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawLeaf(t)
		if err := want.Check(); err != nil {
			t.Fatal(err)
		}
		prefix := []byte("before")
		b := want.AppendTo(prefix)
		got, err := ledger.ParseLeaf(b[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestLeafBitFlips: every changed bit changes the leaf hash, and either is refused or reads as another leaf.
func TestLeafBitFlips(t *testing.T) {
	leaf := plainLeaf()
	b := leaf.AppendTo(nil)
	want := ledger.LeafHash(b)
	for i := range len(b) * 8 {
		flipped := bytes.Clone(b)
		flipped[i/8] ^= 1 << (i % 8)
		if ledger.LeafHash(flipped) == want {
			t.Fatalf("bit %d does not count", i)
		}
		got, err := ledger.ParseLeaf(flipped)
		switch {
		case i < 16 && !errors.Is(err, ledger.ErrUnknownFormat):
			t.Errorf("bit %d of version or suite: %v", i, err)
		case err == nil && !bytes.Equal(got.AppendTo(nil), flipped):
			t.Errorf("bit %d: read, but not canonical", i)
		}
	}
}

func TestLeafOfWrongLength(t *testing.T) {
	leaf := plainLeaf()
	b := leaf.AppendTo(nil)
	for n := range b {
		if _, err := ledger.ParseLeaf(b[:n]); !errors.Is(err, ledger.ErrMalformed) {
			t.Fatalf("first %d bytes: %v", n, err)
		}
	}
	if _, err := ledger.ParseLeaf(append(b, 0)); !errors.Is(err, ledger.ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestLeafCheck(t *testing.T) {
	for name, change := range map[string]func(l *ledger.Leaf){
		"position 0":      func(l *ledger.Leaf) { l.Position = 0 },
		"no type":         func(l *ledger.Leaf) { l.Type = "" },
		"type not UTF-8":  func(l *ledger.Leaf) { l.Type = "\xff" },
		"group empty":     func(l *ledger.Leaf) { l.Boxes[0].Group = "" },
		"group not UTF-8": func(l *ledger.Leaf) { l.Boxes[3].Group = "z\xc0" },
		"order of boxes":  func(l *ledger.Leaf) { slices.Reverse(l.Boxes) },
		"order of buckets": func(l *ledger.Leaf) {
			l.Boxes[0].Bucket, l.Boxes[1].Bucket = l.Boxes[1].Bucket, l.Boxes[0].Bucket
		},
		"one box twice": func(l *ledger.Leaf) { l.Boxes[1] = l.Boxes[2] },
	} {
		l := plainLeaf()
		change(&l)
		if err := l.Check(); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ledger.ParseLeaf(l.AppendTo(nil)); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("%s, parsed: %v", name, err)
		}
	}
	long := plainLeaf()
	long.Type = strings.Repeat("t", math.MaxUint16+1)
	many := plainLeaf()
	many.Boxes = make([]ledger.BoxCommitment, math.MaxUint16+1)
	for _, l := range []ledger.Leaf{long, many} {
		if err := l.Check(); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("more than the length field holds: %v", err)
		}
	}
	long.Type = long.Type[1:]
	if got, err := ledger.ParseLeaf(long.AppendTo(nil)); err != nil || got.Type != long.Type {
		t.Errorf("the longest type: %v", err)
	}
}

// TestLeafKeepsNothingOfItsBytes: stored bytes may be reused after parsing.
func TestLeafKeepsNothingOfItsBytes(t *testing.T) {
	leaf := plainLeaf()
	b := leaf.AppendTo(nil)
	got, err := ledger.ParseLeaf(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if diff := cmp.Diff(leaf, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseLeaf(f *testing.F) {
	leaf := plainLeaf()
	f.Add(leaf.AppendTo(nil))
	leaf.Boxes = nil
	f.Add(leaf.AppendTo(nil))
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ledger.ParseLeaf(b)
		if err != nil {
			if !errors.Is(err, ledger.ErrMalformed) && !errors.Is(err, ledger.ErrUnknownFormat) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again := l.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("not canonical:\n%x\n%x", b, again)
		}
	})
}
