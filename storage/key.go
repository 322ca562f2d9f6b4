package storage

import (
	"context"
	"math"

	"github.com/lethe-es/lethe/event"
)

// Keys keeps the wrapped keys of one store, apart from its log: what is kept here opens nothing without the key
// service, and backups of it can expire by themselves. An engine stores records and compares versions; it neither
// wraps nor judges. What is not there is absent, never destroyed: only a record in state KeyDestroyed says so.
//
// As with a log, for every call of every engine: a context that has ended is answered with its error, and nothing was
// done [keystest.ContextEnded]. After Close every call is event.ErrUnavailable [keystest.CloseEnds]. What goes in and
// what comes out is the caller's to overwrite [keystest.CopyKept]. A record with nothing in it is nil on the way out.
type Keys interface {
	// KeyHead is the state of the keystore. A new one belongs to no store and has no epochs. [keystest.HeadKept]
	KeyHead(ctx context.Context) (KeyHead, error)
	// Keyrings returns the records of persons, index by index; of one that is not there the zero Keyring. They are as of
	// one moment, also where a person is asked for twice. [keystest.KeyringsAnswered]
	Keyrings(ctx context.Context, krids []event.KRID) ([]Keyring, error)
	// Lookups returns what tokens stand for, index by index; the zero Lookup for one that is not there.
	// [keystest.LookupsAnswered]
	Lookups(ctx context.Context, tokens []LookupToken) ([]Lookup, error)
	// Retentions returns retention keys, index by index; the zero RetentionKey for one that is not there.
	// [keystest.RetentionsAnswered]
	Retentions(ctx context.Context, ids []RetentionID) ([]RetentionKey, error)
	// ChangeKeys applies changes in order, each by itself as a whole or not at all, durably before it returns. Outcome i
	// is that of change i; one that is refused does not stop the others, and one sees what those before it stored.
	// [keystest.ChangeAtomic] [keystest.ChangeDurable] [keystest.ChangeCompares] Of many callers who create the same
	// thing one wins, and the others are told what it stored. [keystest.ChangeOneWinner]
	// With a change that is malformed (KeyChange.Check) nothing is stored at all. [keystest.ChangeChecked]
	// event.ErrUnknown: they may or may not be durable; read what is there. event.ErrFailed: the engine stopped for
	// good. event.ErrFull: no room; nothing changed and a later call may succeed.
	ChangeKeys(ctx context.Context, changes []KeyChange) ([]KeyOutcome, error)
	// ScanKeyrings returns up to q.Limit records that q asks for, in an order of the engine's own: the one in which
	// changing one after the other costs least. It stays as it is, also for records that are changed. If they are fewer,
	// there are no more. A Limit below 1, and an After whose record is not there, are event.ErrInvalid. A walk sees every
	// record that is there all the while once, and one that is added meanwhile once or not at all.
	// [keystest.ScanComplete]
	ScanKeyrings(ctx context.Context, q KeyringQuery) ([]Keyring, error)
	// ScrubKeys removes the old bytes of what was changed, removed or pruned, and says what still holds some.
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
	Number  uint32 // from 1
	Version uint64 // counts the changes, from 1
	State   KeyState
	Created int64  // µs since 1970 UTC
	Name    string // of its root key in the key service
	Record  []byte // the epoch's keys, wrapped by the root key; nil: destroyed
}

// Keyring is a person's keyring as it is stored.
type Keyring struct {
	KRID    event.KRID
	Version uint64 // counts the changes, from 1
	Epoch   uint32 // whose keys wrap it; 0: none
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

// KeyChange is one change, stored as a whole or not at all. A keyring, retention key or epoch is stored if its Version
// is one more than that of what is stored (0 if nothing is), so what was read and meanwhile changed is not overwritten;
// and never if it is live where what is stored is destroyed. Whether a change can be stored is judged by what was there
// before it. Parts that are zero change nothing.
type KeyChange struct {
	Keyring   *Keyring
	Retention *RetentionKey
	Add       []Lookup      // refused if one of their tokens is there, whatever it stands for
	Replace   []Lookup      // stored whatever is there
	Remove    []LookupToken // removed if they are there
	Epoch     *Epoch
	Store     event.StoreID  // refused if the keystore belongs to another
	Applied   event.Position // the head's, unless that is higher
}

// KeyOutcome says what became of a change. If it was not stored, it says what was in its way, as it is now: the
// first of these that is. The zero Keyring, RetentionKey or Epoch says that nothing is there yet.
type KeyOutcome struct {
	Stored    bool
	Keyring   *Keyring      // its version is not the one before, or it is destroyed
	Retention *RetentionKey // likewise
	Lookup    *Lookup       // a token to be added is there: the first of Add
	Epoch     *Epoch        // like Keyring
	Store     event.StoreID // the keystore belongs to this store
}

// Check says whether a change is well formed: otherwise it is event.ErrInvalid. Records have a name, a version and a
// state; a token stands in one place only.
func (c *KeyChange) Check() error {
	if k := c.Keyring; k != nil && (k.KRID.IsZero() || !versioned(k.Version, k.State)) {
		return malformed("keyring %s has version %d and state %d", k.KRID, k.Version, k.State)
	}
	if r := c.Retention; r != nil && (r.Class == "" || !versioned(r.Version, r.State)) {
		return malformed("retention key %s/%d has version %d and state %d", r.Class, r.Bucket, r.Version, r.State)
	}
	if e := c.Epoch; e != nil && (e.Number == 0 || !versioned(e.Version, e.State)) {
		return malformed("epoch %d has version %d and state %d", e.Number, e.Version, e.State)
	}
	seen := make(map[LookupToken]bool, len(c.Add)+len(c.Replace)+len(c.Remove))
	for _, list := range [][]Lookup{c.Add, c.Replace} {
		for _, l := range list {
			if seen[l.Token] || !l.State.known() || (l.State == KeyLive) == l.KRID.IsZero() {
				return malformed("a lookup in state %d is of the wrong person, or there twice", l.State)
			}
			seen[l.Token] = true
		}
	}
	for _, token := range c.Remove {
		if seen[token] {
			return malformed("a lookup is there twice")
		}
		seen[token] = true
	}
	return nil
}

// Follows tells whether a record may be stored in the place of one with these; 0 and 0: there is none.
func (k *Keyring) Follows(version uint64, state KeyState) bool {
	return follows(k.Version, k.State, version, state)
}

// Follows is like Keyring.Follows.
func (r *RetentionKey) Follows(version uint64, state KeyState) bool {
	return follows(r.Version, r.State, version, state)
}

// Follows is like Keyring.Follows.
func (e *Epoch) Follows(version uint64, state KeyState) bool {
	return follows(e.Version, e.State, version, state)
}

func follows(next uint64, to KeyState, version uint64, from KeyState) bool {
	return next == version+1 && (from != KeyDestroyed || to == KeyDestroyed)
}

func versioned(version uint64, state KeyState) bool {
	return version > 0 && version <= math.MaxInt64 && state.known()
}

func (s KeyState) known() bool { return s == KeyLive || s == KeyDestroyed }

func malformed(format string, args ...any) error {
	return event.Invalid("malformed_key_change", "change keys: "+format, args...)
}

// KeyringQuery asks for keyrings.
type KeyringQuery struct {
	After  event.KRID // the last one seen; zero: from the beginning
	Before uint32     // only of epochs below this one; 0: all
	Live   bool       // only live ones
	Limit  int
}
