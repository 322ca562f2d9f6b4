package token

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// number is an unsigned number of 256 bits, lowest 64 first.
type number [4]uint64

func bigEndian(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// numberOf reads 32 bytes, the highest first.
func numberOf(b [32]byte) (n number) {
	for i := range n {
		n[i] = bigEndian(b[24-8*i:])
	}
	return n
}

// bytes is the reverse of numberOf.
func (n number) bytes() (b [32]byte) {
	for i := range n {
		binary.BigEndian.PutUint64(b[24-8*i:], n[i])
	}
	return b
}

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// put fills b with the digits of n in base 62, leading zeros among them. b must be long enough.
func (n number) put(b []byte) {
	for i := len(b) - 1; i >= 0; i-- {
		var rest uint64
		for j := len(n) - 1; j >= 0; j-- {
			n[j], rest = bits.Div64(rest, n[j], uint64(len(digits)))
		}
		b[i] = digits[rest]
	}
}

// parseNumber is the reverse of put. It is not ok if s holds anything but digits, or does not fit.
func parseNumber(s string) (n number, ok bool) {
	for i := range len(s) {
		digit := strings.IndexByte(digits, s[i])
		if digit < 0 {
			return number{}, false
		}
		carry := uint64(digit)
		for j := range n {
			high, low := bits.Mul64(n[j], uint64(len(digits)))
			sum, more := bits.Add64(low, carry, 0)
			n[j], carry = sum, high+more
		}
		if carry != 0 {
			return number{}, false
		}
	}
	return n, true
}
