package ledger_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/lethe-es/lethe/ledger"
)

// loanSlots are the twelve slots, besides the version, of a typical event of the loan log.
func loanSlots() []ledger.Slot {
	return []ledger.Slot{
		{Kind: ledger.KindStream, State: ledger.Value, Value: []byte("application/173688")},
		{Kind: ledger.KindRelation, Path: "affected/0", State: ledger.Value, Value: []byte("offer/4711")},
		{Kind: ledger.KindRelation, Path: "issuer/0", State: ledger.Value, Value: []byte("employee/112")},
		{Kind: ledger.KindMetadata, Path: "channel", State: ledger.Value, Value: []byte("branch")},
		{Kind: ledger.KindProperty, Path: "amount", State: ledger.Value, Value: []byte("20000")},
		{Kind: ledger.KindProperty, Path: "lifecycle", State: ledger.Value, Value: []byte(`"COMPLETE"`)},
		{Kind: ledger.KindProperty, Path: "note", State: ledger.Null},
		{Kind: ledger.KindOccurred, State: ledger.Value, Value: []byte{0, 4, 0xae, 0x11, 0x5f, 0x33, 0xc2, 0x80}},
		{Kind: ledger.KindCorrelation, State: ledger.Value, Value: []byte("import-2012-10")},
		{Kind: ledger.KindCausation, State: ledger.Value, Value: make([]byte, 16)},
		{Kind: ledger.KindTraceparent, State: ledger.Value,
			Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
		{Kind: ledger.KindProducer, State: ledger.Value, Value: []byte("\x00\x05lethe\x00\x050.1.0\x00\x00")},
	}
}

func BenchmarkPrepare12(b *testing.B) {
	slots, seed, scratch := loanSlots(), ledger.Hash{1}, new(ledger.Scratch)
	b.ReportAllocs()
	for b.Loop() {
		seed[0]++
		ledger.Prepare(seed, slots, scratch)
	}
}

// BenchmarkSaltCascade12 is the rejected way to make the thirteen salts of that event: one plain hash each.
func BenchmarkSaltCascade12(b *testing.B) {
	slots, seed := append(loanSlots(), ledger.VersionSlot(1)), ledger.Hash{1}
	var buf []byte
	var sink ledger.Hash
	b.ReportAllocs()
	for b.Loop() {
		seed[0]++
		for i := range slots {
			buf = append(append(buf[:0], seed[:]...), byte(slots[i].Kind))
			buf = binary.BigEndian.AppendUint32(buf, uint32(len(slots[i].Path)))
			buf = append(buf, slots[i].Path...)
			sink = sha256.Sum256(buf)
		}
	}
	_ = sink
}

func BenchmarkSeal(b *testing.B) {
	p := ledger.Prepare(ledger.Hash{1}, loanSlots(), nil)
	b.ReportAllocs()
	for version := uint64(0); b.Loop(); version++ {
		p.Seal(version)
	}
}

func BenchmarkLeafHash(b *testing.B) {
	leaf := plainLeaf()
	leaf.Boxes = nil
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		leaf.Position++
		buf = leaf.AppendTo(buf[:0])
		ledger.LeafHash(buf)
	}
}

func BenchmarkFrontierAppend(b *testing.B) {
	var f ledger.Frontier
	leaf := leafAt(1)
	b.ReportAllocs()
	for b.Loop() {
		f.Append(leaf)
	}
}

// BenchmarkTilerAppend includes the share of the 8 KiB that each tile is made of.
func BenchmarkTilerAppend(b *testing.B) {
	var t ledger.Tiler
	leaves := []ledger.Hash{leafAt(1)}
	b.ReportAllocs()
	for b.Loop() {
		t, _ = t.Append(leaves)
	}
}

func BenchmarkInclusion(b *testing.B) {
	var w world
	w.grow(b, 70_000, 5_000)
	r := ledger.NewReader(w.tiler, w.read)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ledger.Inclusion(r, 12_345, 70_000); err != nil {
			b.Fatal(err)
		}
	}
}
