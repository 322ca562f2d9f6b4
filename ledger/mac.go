package ledger

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Block is how many bytes MAC needs before the data.
const Block = sha256.BlockSize

// MAC is HMAC-SHA256 by its definition (RFC 2104), under a key of 32 bytes, of what stands in b behind the first Block
// bytes, which are room for the key and are cleared. It is made for every salt of a small commitment, every box and
// every lookup, and package crypto/hmac allocates its states each time.
func MAC(b []byte, key *Hash) Hash {
	inner := b[:Block]
	copy(inner, innerPad[:])
	subtle.XORBytes(inner, inner, key[:])
	var outer [Block + sha256.Size]byte
	copy(outer[:], outerPad[:])
	subtle.XORBytes(outer[:], outer[:], key[:])
	sum := sha256.Sum256(b)
	copy(outer[Block:], sum[:])
	clear(inner)
	sum = sha256.Sum256(outer[:])
	clear(outer[:])
	return sum
}

// innerPad and outerPad are the blocks to which HMAC adds its key.
var innerPad, outerPad = pad(0x36), pad(0x5c)

func pad(b byte) (block [Block]byte) {
	for i := range block {
		block[i] = b
	}
	return block
}
