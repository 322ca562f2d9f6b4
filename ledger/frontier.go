package ledger

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxSize is the largest tree whose proofs, frontiers and checkpoints are accepted: 2^56 leaves, seven full levels
// of tiles. At a million events a second it is reached after two thousand years; sizes above come from nonsense.
const MaxSize = 1 << 56

// Frontier is the right edge of an RFC 6962 tree, enough to append and to know the root: the roots of the full
// subtrees that tile its leaves. It is a plain value of 2 KiB: assigning copies it, == compares it, and the zero
// Frontier is the empty tree.
type Frontier struct {
	Size uint64
	edge [64]Hash // edge[l]: root of the full subtree of 2^l leaves, where bit l of Size is set; zero elsewhere
}

// Append adds a leaf by its hash: one node hash on average, no allocation.
func (f *Frontier) Append(leaf Hash) {
	level := 0
	for ; f.Size>>level&1 == 1; level++ {
		leaf = nodeHash(&f.edge[level], &leaf)
		f.edge[level] = Hash{}
	}
	f.edge[level] = leaf
	f.Size++
}

// Root is the RFC 6962 root: SHA-256 of nothing for the empty tree.
func (f *Frontier) Root() Hash {
	if f.Size == 0 {
		return emptyRoot()
	}
	level := bits.TrailingZeros64(f.Size)
	h := f.edge[level]
	for level++; level < bits.Len64(f.Size); level++ {
		if f.Size>>level&1 == 1 {
			h = nodeHash(&f.edge[level], &h)
		}
	}
	return h
}

// Clone is a copy, as an assignment is.
func (f Frontier) Clone() Frontier { return f }

// AppendBinary appends the encoding: version, suite, u64 size, then the hashes of the edge from left (the largest
// subtree) to right. It never fails.
func (f *Frontier) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, formatVersion, suiteSHA256)
	b = binary.BigEndian.AppendUint64(b, f.Size)
	for level := bits.Len64(f.Size) - 1; level >= 0; level-- {
		if f.Size>>level&1 == 1 {
			b = append(b, f.edge[level][:]...)
		}
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nothing.
func (f *Frontier) MarshalBinary() ([]byte, error) {
	return f.AppendBinary(make([]byte, 0, 10+32*bits.OnesCount64(f.Size)))
}

// ParseFrontier reads what AppendBinary wrote and nothing else. ErrUnknownFormat for another version or suite,
// ErrMalformed for a size above MaxSize and a length that does not fit the size.
func ParseFrontier(b []byte) (Frontier, error) {
	r := reader{rest: b}
	if err := r.header("frontier"); err != nil {
		return Frontier{}, err
	}
	f := Frontier{Size: r.uint64()}
	if f.Size > MaxSize {
		return Frontier{}, fmt.Errorf("parse frontier: size %d: %w", f.Size, ErrMalformed)
	}
	for level := bits.Len64(f.Size) - 1; level >= 0; level-- {
		if f.Size>>level&1 == 1 {
			f.edge[level] = r.hash()
		}
	}
	if r.short || len(r.rest) > 0 {
		return Frontier{}, fmt.Errorf("parse frontier of size %d from %d bytes: %w", f.Size, len(b), ErrMalformed)
	}
	return f, nil
}
