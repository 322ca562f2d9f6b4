package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// StoreID names a store for ever, through every copy and restore.
type StoreID [16]byte

// String is lower-case hex.
func (s StoreID) String() string { return hex.EncodeToString(s[:]) }

// Incarnation names one life of a store: a restore starts a new one. It is random, so that two restores of the
// same backup are told apart.
type Incarnation uint64

// Cursor is a place in one incarnation of one store, from which reading resumes.
type Cursor struct {
	Store       StoreID
	Incarnation Incarnation
	Position    Position // the last position already seen
}

// IsZero reports whether the cursor is the start of any log.
func (c Cursor) IsZero() bool { return c == Cursor{} }

const cursorFormat = 1

// String is URL-safe base64 of: format 1 ‖ store 16 ‖ incarnation 8 ‖ position 8 ‖ first 4 bytes of the SHA-256
// of what precedes. The empty string is the start of the log.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	b := make([]byte, 0, 37)
	b = append(b, cursorFormat)
	b = append(b, c.Store[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Incarnation))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Position))
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:4]...))
}

// ParseCursor reads String's form, strictly.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	malformed := Invalid("malformed_cursor", "parse cursor: it is damaged or not a cursor").
		Hint("use a cursor exactly as it was given out, or start from the beginning")
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 37 || b[0] != cursorFormat {
		return Cursor{}, malformed
	}
	if sum := sha256.Sum256(b[:33]); !bytes.Equal(sum[:4], b[33:]) {
		return Cursor{}, malformed
	}
	return Cursor{
		Store:       StoreID(b[1:17]),
		Incarnation: Incarnation(binary.BigEndian.Uint64(b[17:25])),
		Position:    Position(binary.BigEndian.Uint64(b[25:33])),
	}, nil
}

// MarshalText is String.
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is ParseCursor.
func (c *Cursor) UnmarshalText(b []byte) error {
	parsed, err := ParseCursor(string(b))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
