package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Every binary format of this package starts with these two bytes.
const (
	formatVersion = 1
	suiteSHA256   = 1 // SHA-256, RFC 6962 trees, HKDF-SHA256 salts
)

// reader takes fixed parts off the front of bytes. Once they do not suffice it is short and gives zeros.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.short, r.rest = true, nil
		var zeros Hash // the longest fixed part
		return zeros[:min(n, len(zeros))]
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) hash() Hash     { return Hash(r.take(sha256.Size)) }
func (r *reader) name() string   { return string(r.take(int(r.uint16()))) }

// header takes the version and the suite byte.
func (r *reader) header(what string) error {
	if len(r.rest) < 2 {
		return fmt.Errorf("parse %s of %d bytes: %w", what, len(r.rest), ErrMalformed)
	}
	version, suite := r.rest[0], r.rest[1]
	if version != formatVersion || suite != suiteSHA256 {
		return fmt.Errorf("parse %s: format %d, suite %d: %w", what, version, suite, ErrUnknownFormat)
	}
	r.rest = r.rest[2:]
	return nil
}
