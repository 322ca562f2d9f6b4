package ledger

import (
	"crypto/sha256"
	"math/bits"
)

// Hash is a SHA-256 value. It converts freely to and from tlog.Hash of golang.org/x/mod/sumdb/tlog.
type Hash = [sha256.Size]byte

// The first byte of what is hashed tells a leaf from an inner node (RFC 6962, section 2.1).
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// emptyRoot is the root of the tree without leaves: SHA-256 of nothing.
func emptyRoot() Hash { return sha256.Sum256(nil) }

// LeafHash is the RFC 6962 hash of a leaf with these bytes: SHA-256(0x00 ‖ b).
func LeafHash(b []byte) Hash {
	var stack [512]byte
	return sha256.Sum256(append(append(stack[:0], leafPrefix), b...))
}

// nodeHash is the RFC 6962 hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
func nodeHash(left, right *Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// fold returns the RFC 6962 root over one or more leaf hashes and destroys them. Level by level neighbours are joined
// and an odd last one moves up as it is, which gives the same tree as splitting at the largest power of two below n.
func fold(nodes []Hash) Hash {
	for len(nodes) > 1 {
		pairs := len(nodes) / 2
		for i := range pairs {
			nodes[i] = nodeHash(&nodes[2*i], &nodes[2*i+1])
		}
		if len(nodes)%2 == 1 {
			nodes[pairs] = nodes[len(nodes)-1]
			pairs++
		}
		nodes = nodes[:pairs]
	}
	return nodes[0]
}

// root is fold as RFC 6962 writes it, and leaves its input alone. It is the plain form that fold is held against.
func root(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return emptyRoot()
	case 1:
		return leaves[0]
	default:
		k := split(n)
		left, right := root(leaves[:k]), root(leaves[k:])
		return nodeHash(&left, &right)
	}
}

// auditPath is the RFC 6962 audit path of leaf i, from the leaf up.
func auditPath(leaves []Hash, i int) []Hash {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if i < k {
		return append(auditPath(leaves[:k], i), root(leaves[k:]))
	}
	return append(auditPath(leaves[k:], i-k), root(leaves[:k]))
}

// split is the largest power of two below n, for n ≥ 2.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }
