package storage

import (
	"context"

	"github.com/lethe-es/lethe/event"
)

// Keys keeps the wrapped keys of one store, apart from its log: what is kept here opens nothing without the key
// service, and backups of it can expire by themselves. An engine stores records and compares versions; it neither
// wraps nor judges. What is not there is absent, never destroyed: only a record in state KeyDestroyed says so.
type Keys interface {
	// KeyHead is the state of the keystore. A new one belongs to no store and has no epochs. [keystest.HeadKept]
	KeyHead(ctx context.Context) (KeyHead, error)
	// Keyrings returns the records of persons, index by index; of one that is not there the zero Keyring.
	// [keystest.KeyringsAnswered]
	Keyrings(ctx context.Context, krids []event.KRID) ([]Keyring, error)
	// Lookups returns what tokens stand for, index by index; the zero Lookup for one that is not there.
	// [keystest.LookupsAnswered]
	Lookups(ctx context.Context, tokens []LookupToken) ([]Lookup, error)
	// Retentions returns retention keys, index by index; the zero RetentionKey for one that is not there.
	// [keystest.RetentionsAnswered]
	Retentions(ctx context.Context, ids []RetentionID) ([]RetentionKey, error)
	// ChangeKeys applies changes durably, each by itself as a whole or not at all, in order. Outcome i is that of
	// change i; one that is refused does not stop the others. [keystest.ChangeAtomic] [keystest.ChangeDurable]
	// [keystest.ChangeCompares] Of many callers who create the same thing one wins. [keystest.ChangeOneWinner]
	ChangeKeys(ctx context.Context, changes []KeyChange) ([]KeyOutcome, error)
	// ScanKeyrings returns up to limit records after a KRID, in the order of their bytes, of those with an epoch below
	// before (0: all). [keystest.ScanComplete]
	ScanKeyrings(ctx context.Context, q KeyringQuery) ([]Keyring, error)
	// ScrubKeys removes the old bytes of what was changed or removed, and says what still holds some.
	// [keystest.ScrubRemoves]
	ScrubKeys(ctx context.Context) (Residue, error)
}

// KeyState says what became of a key. The numbers are on disk, for ever.
type KeyState uint8

// The states of keys. 0 is that of nothing stored.
const (
	KeyLive      KeyState = 1
	KeyDestroyed KeyState = 2 // a tombstone: Record says when and by which receipt, and holds no key
)

// KeyHead is the state of a keystore.
type KeyHead struct {
	Store   event.StoreID  // whose keys these are; zero: nobody's yet
	Applied event.Position // system events up to here are in the keyrings
	Epochs  []Epoch        // by number, destroyed ones among them
}

// Epoch is a period of root keys.
type Epoch struct {
	Number  uint32
	State   KeyState
	Created int64  // µs since 1970 UTC
	Name    string // of its root key in the key service
	Record  []byte // the epoch's keys, wrapped by the root key; nil: destroyed
}

// Keyring is a person's keyring as it is stored.
type Keyring struct {
	KRID    event.KRID
	Version uint64 // counts the changes, from 1
	Epoch   uint32 // whose keys wrap it
	State   KeyState
	Record  []byte
}

// LookupToken stands for a reference; without the index key it says nothing.
type LookupToken [16]byte

// Lookup is what a token stands for.
type Lookup struct {
	Token LookupToken
	State KeyState   // KeyDestroyed: the reference of a person who was erased, until Until
	KRID  event.KRID // zero if destroyed
	Until int64      // µs since 1970 UTC; 0 if live
}

// RetentionID names a retention key.
type RetentionID struct {
	Class  string
	Bucket int64
}

// RetentionKey is the key of one period of a retention class.
type RetentionKey struct {
	RetentionID
	Version uint64
	Epoch   uint32
	State   KeyState
	Record  []byte
}

// KeyChange is one change, stored as a whole or not at all. A record is stored if its Version is one more than what is
// stored (0 if nothing is), so what was read and meanwhile changed is not overwritten. Zero parts change nothing.
type KeyChange struct {
	Keyring   *Keyring
	Retention *RetentionKey
	Add       []Lookup      // stored if their tokens are not there
	Replace   []Lookup      // stored whatever is there
	Remove    []LookupToken // removed if they are there
	Epoch     *Epoch        // stored if no epoch, or one with its Number and KeyLive, is there; KeyDestroyed stays
	Store     event.StoreID // stored if nobody's yet or the same
	Applied   event.Position
}

// KeyOutcome says what became of a change. If it was not stored, it says what was in its way, as it is now: the
// first of these that is.
type KeyOutcome struct {
	Stored    bool
	Keyring   *Keyring      // its version is not the one before
	Retention *RetentionKey // likewise
	Lookup    *Lookup       // a token to be added is there
	Epoch     *Epoch        // it is destroyed, or another is there
	Store     event.StoreID // the keystore belongs to this store
}

// KeyringQuery asks for keyrings.
type KeyringQuery struct {
	After  event.KRID // exclusive
	Before uint32     // only of epochs below this one; 0: all
	Live   bool       // only live ones
	Limit  int
}
