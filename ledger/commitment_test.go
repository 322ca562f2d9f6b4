package ledger_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/ledger"
)

// The oracle is written from docs/format/commitment.md with the standard library's HKDF and tlog's tree; it shares
// no code with the package.

func oracleSalt(t rapid.TB, seed ledger.Hash, kind ledger.SlotKind, path string) []byte {
	t.Helper()
	info := "lethe/salt/1" + string([]byte{byte(kind)})
	info += string(binary.BigEndian.AppendUint32(nil, uint32(len(path)))) + path
	salt, err := hkdf.Expand(sha256.New, seed[:], info, 32)
	if err != nil {
		t.Fatal(err)
	}
	return salt
}

func oracleSlot(t rapid.TB, seed ledger.Hash, s ledger.Slot) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("lethe/slot/1")
	b.WriteByte(byte(s.Kind))
	b.Write(oracleSalt(t, seed, s.Kind, s.Path))
	b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s.Path))))
	b.WriteString(s.Path)
	b.WriteByte(byte(s.State))
	if s.State == ledger.Value {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s.Value))))
		b.Write(s.Value)
	}
	return b.Bytes()
}

func oracleRoot(t rapid.TB, seed ledger.Hash, slots []ledger.Slot) ledger.Hash {
	t.Helper()
	var tree memoryTree
	for _, s := range slots {
		tree.add(t, tlog.RecordHash(oracleSlot(t, seed, s)))
	}
	return tree.root(t, len(slots))
}

func manySlots(n int) []ledger.Slot {
	slots := make([]ledger.Slot, n)
	for i := range slots {
		slots[i] = ledger.Slot{Kind: ledger.KindProperty, Path: fmt.Sprintf("p%06d", i), State: ledger.SlotState(i % 3)}
		if slots[i].State == ledger.Value {
			slots[i].Value = bytes.Repeat([]byte{byte(i)}, i)
		}
	}
	return slots
}

func withVersion(version uint64, slots []ledger.Slot) []ledger.Slot {
	return append([]ledger.Slot{ledger.VersionSlot(version)}, slots...)
}

func TestPrepareSealRootAndOracleAgree(t *testing.T) {
	scratch := new(ledger.Scratch)
	for n := range 140 {
		seed, slots, version := ledger.Hash{1, byte(n)}, manySlots(n), uint64(n)<<33+1
		want := oracleRoot(t, seed, withVersion(version, slots))
		if got := ledger.Root(seed, withVersion(version, slots)); got != want {
			t.Fatalf("root over %d slots is %x, want %x", n+1, got, want)
		}
		p := ledger.Prepare(seed, slots, scratch)
		if got := p.Seal(version); got != want {
			t.Fatalf("sealed commitment over %d slots is %x, want %x", n+1, got, want)
		}
		if got := p.Seal(version); got != want {
			t.Fatal("sealing twice gives something else")
		}
		if p.Seal(version+1) == want {
			t.Fatal("the version is not committed")
		}
	}
}

func TestRootOfNoSlots(t *testing.T) {
	if ledger.Root(ledger.Hash{1}, nil) != sha256.Sum256(nil) {
		t.Error("not the root of the empty tree")
	}
}

// TestMoreSlotsThanSixteenLevels: a payload of 1 MiB can hold more than 65,535 properties.
func TestMoreSlotsThanSixteenLevels(t *testing.T) {
	slots := make([]ledger.Slot, 1<<17+3)
	for i := range slots {
		slots[i] = ledger.Slot{Kind: ledger.KindProperty, Path: fmt.Sprintf("%06d", i)}
	}
	p := ledger.Prepare(ledger.Hash{}, slots, nil)
	if p.Seal(7) != ledger.Root(ledger.Hash{}, withVersion(7, slots)) {
		t.Error("prepared and plain commitment differ")
	}
}

func drawSlot(t *rapid.T) ledger.Slot {
	s := ledger.Slot{
		Kind:  ledger.SlotKind(rapid.IntRange(1, 10).Draw(t, "kind")),
		Path:  rapid.String().Draw(t, "path"),
		State: ledger.SlotState(rapid.IntRange(0, 2).Draw(t, "state")),
	}
	if s.State == ledger.Value {
		s.Value = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value")
		if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
			s.Value = bytes.Repeat([]byte("long"), rapid.IntRange(250, 260).Draw(t, "length"))
		}
	}
	return s
}

func TestCommitmentProperties(t *testing.T) {
	scratch := new(ledger.Scratch) // shared on purpose: nothing may leak from one event to the next
	rapid.Check(t, func(t *rapid.T) {
		seed := ledger.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		slots := rapid.SliceOfN(rapid.Custom(drawSlot), 0, 20).Draw(t, "slots")
		version := rapid.Uint64().Draw(t, "version")
		p := ledger.Prepare(seed, slots, scratch)
		all := withVersion(version, slots)
		root := p.Seal(version)
		if want := oracleRoot(t, seed, all); root != want || ledger.Root(seed, all) != want {
			t.Fatalf("commitment is %x, want %x", root, want)
		}
		i := rapid.IntRange(0, len(all)-1).Draw(t, "slot")
		proof, err := ledger.ProveSlot(seed, all, i)
		if err != nil {
			t.Fatal(err)
		}
		if err := ledger.VerifySlot(root, all[i], proof); err != nil {
			t.Fatal(err)
		}
		if other := drawSlot(t); !sameSlot(other, all[i]) && ledger.VerifySlot(root, other, proof) == nil {
			t.Fatalf("the proof of %+v also proves %+v", all[i], other)
		}
	})
}

func sameSlot(a, b ledger.Slot) bool {
	return a.Kind == b.Kind && a.Path == b.Path && a.State == b.State && bytes.Equal(a.Value, b.Value)
}

// TestCommittedPartsAreUnambiguous: moving a byte from one part of a slot to the next changes its hash.
func TestCommittedPartsAreUnambiguous(t *testing.T) {
	slots := []ledger.Slot{
		{Kind: ledger.KindProperty, Path: "ab", State: ledger.Value, Value: []byte("c")},
		{Kind: ledger.KindProperty, Path: "a", State: ledger.Value, Value: []byte("bc")},
		{Kind: ledger.KindProperty, Path: "abc", State: ledger.Value},
		{Kind: ledger.KindProperty, Path: "abc", State: ledger.Null},
		{Kind: ledger.KindProperty, Path: "abc", State: ledger.Absent},
		{Kind: ledger.KindMetadata, Path: "abc", State: ledger.Null},
		{Kind: ledger.KindProperty, Path: "abc\x01", State: ledger.Absent},
	}
	seen := map[ledger.Hash]int{}
	for i, s := range slots {
		h := ledger.SlotHash(ledger.Hash{9}, s)
		if j, ok := seen[h]; ok {
			t.Errorf("slots %d and %d have one hash", i, j)
		}
		seen[h] = i
	}
}

func TestSaltIsHKDF(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := ledger.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		kind := ledger.SlotKind(rapid.Byte().Draw(t, "kind"))
		path := rapid.StringN(0, 300, -1).Draw(t, "path")
		if got := ledger.Salt(seed, kind, path); !bytes.Equal(got[:], oracleSalt(t, seed, kind, path)) {
			t.Fatalf("salt is %x", got)
		}
	})
}

func TestVerifySlotFindsEveryChange(t *testing.T) {
	seed, all := ledger.Hash{3}, withVersion(9, loanSlots())
	root := ledger.Root(seed, all)
	for i, s := range all {
		proof, err := ledger.ProveSlot(seed, all, i)
		if err != nil || ledger.VerifySlot(root, s, proof) != nil {
			t.Fatalf("slot %d is not proved: %v", i, err)
		}
		for _, wrong := range []func(root *ledger.Hash, s *ledger.Slot, p *ledger.SlotProof){
			func(root *ledger.Hash, _ *ledger.Slot, _ *ledger.SlotProof) { root[31] ^= 1 },
			func(_ *ledger.Hash, s *ledger.Slot, _ *ledger.SlotProof) { s.Kind ^= 1 },
			func(_ *ledger.Hash, s *ledger.Slot, _ *ledger.SlotProof) { s.Path += "x" },
			func(_ *ledger.Hash, s *ledger.Slot, _ *ledger.SlotProof) { s.State = ledger.Absent },
			func(_ *ledger.Hash, s *ledger.Slot, _ *ledger.SlotProof) {
				s.State, s.Value = ledger.Value, append([]byte("x"), s.Value...)
			},
			func(_ *ledger.Hash, _ *ledger.Slot, p *ledger.SlotProof) { p.Salt[0] ^= 0x80 },
			func(_ *ledger.Hash, _ *ledger.Slot, p *ledger.SlotProof) { p.Path[len(p.Path)-1][5] ^= 4 },
			func(_ *ledger.Hash, _ *ledger.Slot, p *ledger.SlotProof) { p.Path = p.Path[1:] },
			func(_ *ledger.Hash, _ *ledger.Slot, p *ledger.SlotProof) { p.Path = append(p.Path, ledger.Hash{}) },
			func(_ *ledger.Hash, _ *ledger.Slot, p *ledger.SlotProof) { p.Index = (p.Index + 1) % p.Count },
		} {
			root, s, p := root, s, proof
			p.Path = slices.Clone(proof.Path)
			wrong(&root, &s, &p)
			if err := ledger.VerifySlot(root, s, p); !errors.Is(err, ledger.ErrMismatch) {
				t.Errorf("slot %d: a changed proof gives %v", i, err)
			}
		}
	}
}

func TestSlotProofsOutOfRange(t *testing.T) {
	for _, i := range []int{-1, 1, math.MaxInt, math.MinInt} {
		if _, err := ledger.ProveSlot(ledger.Hash{}, make([]ledger.Slot, 1), i); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("proof of slot %d: %v", i, err)
		}
		proof := ledger.SlotProof{Index: i, Count: 1}
		if err := ledger.VerifySlot(ledger.Hash{}, ledger.Slot{}, proof); !errors.Is(err, ledger.ErrMalformed) {
			t.Errorf("verify slot %d: %v", i, err)
		}
	}
	proof := ledger.SlotProof{Index: 0, Count: math.MaxInt, Path: make([]ledger.Hash, 3)}
	if err := ledger.VerifySlot(ledger.Hash{}, ledger.Slot{}, proof); !errors.Is(err, ledger.ErrMalformed) {
		t.Errorf("verify with an absurd count: %v", err)
	}
}

func TestCanonical(t *testing.T) {
	good := withVersion(1, loanSlots())
	if err := ledger.Canonical(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		want   error
		change func(s []ledger.Slot)
	}{
		"order of paths":   {ledger.ErrMalformed, func(s []ledger.Slot) { s[2], s[3] = s[3], s[2] }},
		"order of kinds":   {ledger.ErrMalformed, func(s []ledger.Slot) { s[0], s[1] = s[1], s[0] }},
		"repeated":         {ledger.ErrMalformed, func(s []ledger.Slot) { s[1] = s[0] }},
		"unknown kind":     {ledger.ErrUnknownFormat, func(s []ledger.Slot) { s[len(s)-1].Kind = 12 }},
		"kind zero":        {ledger.ErrUnknownFormat, func(s []ledger.Slot) { s[0].Kind = 0 }},
		"unknown state":    {ledger.ErrUnknownFormat, func(s []ledger.Slot) { s[0].State = 3 }},
		"bytes under null": {ledger.ErrMalformed, func(s []ledger.Slot) { s[0].State = ledger.Null }},
	} {
		bad := slices.Clone(good)
		c.change(bad)
		if err := ledger.Canonical(bad); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
