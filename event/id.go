package event

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"
)

// ID names one event for ever. Any UUID is accepted; the store mints UUIDv7 (RFC 9562), imports UUIDv8.
type ID [16]byte

// IsZero reports whether no id was given.
func (id ID) IsZero() bool { return id == ID{} }

// String is the usual 36-character form.
func (id ID) String() string { return uuid.UUID(id).String() }

// MarshalText is String, for JSON and flags.
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(b []byte) error {
	parsed, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseID reads the 36-character form only: other spellings of one id would be other texts in other systems.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, Invalid("malformed_id", "parse event id: want a UUID of 36 characters, got %d", len(s))
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, Invalid("malformed_id", "parse event id: not a UUID")
	}
	if u == uuid.Nil {
		return ID{}, Invalid("malformed_id", "parse event id: the nil UUID names no event")
	}
	return ID(u), nil
}

// IDs mints UUIDv7 from a clock and a source of randomness. Ids of one IDs ascend while the clock does,
// which keeps the id index of a store append-mostly. Safe for concurrent use.
type IDs struct {
	clock Clock

	mu   sync.Mutex
	rand io.Reader
	pool [4096]byte // randomness fetched in one call for many ids
	left int
}

// NewIDs mints from clock and rand.
func NewIDs(clock Clock, rand io.Reader) *IDs { return &IDs{clock: clock, rand: rand} }

// Next mints an id: 48 bits of milliseconds, 12 bits of sub-millisecond time, 62 random bits.
func (g *IDs) Next() (ID, error) {
	var id ID
	us := Micros(g.clock.Now())
	binary.BigEndian.PutUint64(id[:8], uint64(us/1000)<<16|uint64(us%1000*4096/1000))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left < 8 {
		if _, err := io.ReadFull(g.rand, g.pool[:]); err != nil {
			return ID{}, fmt.Errorf("mint event id: %w", err)
		}
		g.left = len(g.pool)
	}
	copy(id[8:], g.pool[len(g.pool)-g.left:][:8])
	g.left -= 8
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}
