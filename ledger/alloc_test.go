//go:build !race

// The race detector makes values escape that do not escape without it, so allocations are counted without it.

package ledger_test

import (
	"testing"

	"github.com/lethe-es/lethe/ledger"
)

func TestPrepareAllocatesNothing(t *testing.T) {
	scratch, seed := new(ledger.Scratch), ledger.Hash{1}
	slots := append(loanSlots(), ledger.Slot{Kind: ledger.KindProducer, Path: "z", State: ledger.Value,
		Value: make([]byte, 100_000)})
	var p ledger.Prepared
	if n := testing.AllocsPerRun(100, func() { p = ledger.Prepare(seed, slots, scratch) }); n != 0 {
		t.Errorf("Prepare allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { p.Seal(5) }); n != 0 {
		t.Errorf("Seal allocates %v times", n)
	}
}

func TestLeafAllocatesNothing(t *testing.T) {
	leaf, buf := plainLeaf(), make([]byte, 0, 1024)
	var h ledger.Hash
	if n := testing.AllocsPerRun(100, func() { h = ledger.LeafHash(leaf.AppendTo(buf)) }); n != 0 {
		t.Errorf("leaf and its hash allocate %v times", n)
	}
	if h != ledger.LeafHash(leaf.AppendTo(nil)) {
		t.Error("the hash depends on the buffer")
	}
}

func TestFrontierAllocatesNothing(t *testing.T) {
	var f ledger.Frontier
	var root ledger.Hash
	leaf := leafAt(6)
	if n := testing.AllocsPerRun(1000, func() { f.Append(leaf); root = f.Root() }); n != 0 {
		t.Errorf("Append and Root allocate %v times", n)
	}
	if root != f.Root() {
		t.Error("the root changes by itself")
	}
}
