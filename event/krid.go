package event

import (
	"encoding/base32"
	"strings"
)

// KRID is the alias by which the log knows a person: 16 random bytes that say nothing, and name nobody once the
// person's keyring is gone. References (customer/4711) are turned into it before an event is stored.
type KRID [16]byte

// kridMark begins the text of every KRID, so that it is not taken for a reference, nor a reference for it.
const kridMark = "krid_"

// kridText is base32hex (RFC 4648, section 7) in lower case, without padding: 26 characters for 16 bytes.
var kridText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// IsZero reports whether nobody is meant.
func (k KRID) IsZero() bool { return k == KRID{} }

// String is krid_ and 26 characters, such as krid_64o3gchk6ko30d9i6ko30d9i6k.
func (k KRID) String() string {
	var b [len(kridMark) + 26]byte
	copy(b[:], kridMark)
	kridText.Encode(b[len(kridMark):], k[:])
	return string(b[:])
}

// MarshalText is String.
func (k KRID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseKRID.
func (k *KRID) UnmarshalText(b []byte) error {
	parsed, err := ParseKRID(string(b))
	if err == nil {
		*k = parsed
	}
	return err
}

// IsKRID reports whether a reference claims to be a KRID.
func IsKRID(ref string) bool { return strings.HasPrefix(ref, kridMark) }

// ParseKRID reads what String writes, and no other spelling of it.
func ParseKRID(text string) (KRID, error) {
	rest, ok := strings.CutPrefix(text, kridMark)
	if !ok || len(rest) != 26 {
		return KRID{}, Invalid("malformed_krid", "parse KRID: want krid_ and 26 characters")
	}
	var k KRID
	var bits uint32
	held, n := 0, 0 // bits that wait for their byte, and bytes that are done
	for i := range len(rest) {
		v, ok := kridDigit(rest[i])
		if !ok {
			return KRID{}, Invalid("malformed_krid", "parse KRID: want krid_ and 26 of the characters 0-9 and a-v")
		}
		bits, held = bits<<5|uint32(v), held+5
		if held >= 8 && n < len(k) {
			held -= 8
			k[n] = byte(bits >> held)
			n++
		}
	}
	if k.IsZero() || bits&3 != 0 { // the last character holds two bits that mean nothing
		return KRID{}, Invalid("malformed_krid", "parse KRID: it is not one that Lethe made")
	}
	return k, nil
}

// kridDigit is the value of a character of kridText. It is written out because aliases are read on every path, and
// package base32 allocates.
func kridDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'v':
		return c - 'a' + 10, true
	}
	return 0, false
}
