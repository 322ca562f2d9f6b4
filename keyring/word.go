package keyring

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/policy"
	"github.com/lethe-es/lethe/wrapped"
)

// Reference is by what callers know a person: the kind of entity and its name there, normalised by the policy.
type Reference = wrapped.Reference

// Want asks for the key of one person's group of data in one period of a retention class.
type Want struct {
	KRID   event.KRID
	Group  string
	Class  string // retention class; empty: kept without a fixed end
	Bucket int64  // period of the class; 0: no fixed end
}

// Key is what values are sealed under.
type Key struct {
	Generation uint32
	PRK        [32]byte // pseudorandom key: box keys are expanded from it
}

// OpenWant asks for a key as of a generation.
type OpenWant struct {
	Want
	Generation uint32
}

// State says what became of a key.
type State uint8

// The states of keys.
const (
	Live       State = 1
	Erased     State = 2 // the person, or the group, was erased; Receipt names the proof
	Superseded State = 3 // what was sealed under it was sealed anew under a later generation
	Expired    State = 4 // the period is over and its retention key destroyed
)

// Opened is the answer to an OpenWant.
type Opened struct {
	State    State
	PRK      [32]byte         // zero unless Live
	Standing *policy.Standing // what holds for the person now; shared: not to be changed; nil: nothing is noted
	Receipt  string           // of what ended the key; else empty
}

// Person is what a keyring says of a person, without keys.
type Person struct {
	KRID       event.KRID
	State      State // Live or Erased
	References []Reference
	Groups     []GroupKeys
	Standing   *policy.Standing // shared: not to be changed; nil: nothing is noted
	Version    uint64
	Epoch      uint32
	Receipt    string // of the erasure; else empty
}

// GroupKeys is which keys of a group of data there are.
type GroupKeys struct {
	Group         string
	Generations   []uint32 // live ones, ascending
	ErasedThrough uint32   // generations up to this one were erased; 0: none
	Receipt       string   // of that erasure
}

// OfStore is the KRID of the store's own keyring: what is sealed, but belongs to no person. It is made
// with the first epoch.
func OfStore(store event.StoreID) event.KRID { return event.KRID(store) }
