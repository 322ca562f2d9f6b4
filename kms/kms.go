// Package kms is the seam to the service that holds root keys. Root keys never leave it: Lethe hands in what is to be
// wrapped, with what it is bound to, and keeps only the wrapped bytes. Whoever destroys a root key ends everything that
// is wrapped by it, in every copy and backup.
//
// Services say the same in the same words; fault.go has them:
//
//	kms_unavailable     event.ErrUnavailable  the service cannot be asked, or its answer makes no sense
//	kms_denied          event.ErrDenied       the service refuses this caller
//	kms_mount_missing   event.ErrUnavailable  there is no such service at this place
//	kms_key_missing     event.ErrNotFound     the service is there and never heard of the key
//	kms_key_destroyed   event.ErrConflict     the key was destroyed, for good
//	kms_not_opened      event.ErrCorrupt      these bytes were not wrapped under this key and AAD
//	kms_name, kms_items event.ErrInvalid      the question breaks the rules below
//
// Only State tells that a key was destroyed, and only of one whose destruction the service itself noted: nothing that
// is missing, out of reach or forbidden is ever taken for it. No error holds a key, a token or bytes that were handed
// in.
package kms

import (
	"context"
	"time"

	"github.com/lethe-es/lethe/event"
)

// Bounds of one call: far above what the keys of an epoch need, far below what services take (Vault: 32 MiB).
const (
	MaxName   = 100     // bytes of a name
	MaxItems  = 1000    // items of one call
	MaxWrap   = 1 << 20 // bytes of all items and their AAD handed to Wrap
	MaxUnwrap = 2 << 20 // the same for Unwrap: what was wrapped has grown
)

// KMS wraps and unwraps keys under named root keys that never leave the service. Names are 1 to 100 of a-z, 0-9 and -,
// the first and the last of them no hyphen. [kmstest.NamesChecked] A KMS is for many callers at once, and several
// processes may use one service: what one of them did, the others see at their next call. [kmstest.SeenByOthers]
// What was done stays when the service is opened again. [kmstest.Durable]
type KMS interface {
	// Create makes a root key. One that is there stays as it is [kmstest.CreateRepeats], also when many create it at
	// once [kmstest.CreateOneWinner]; a name whose key was destroyed is event.ErrConflict with code kms_key_destroyed,
	// for ever. [kmstest.DestroyedForGood]
	Create(ctx context.Context, name string) error
	// Wrap seals every item under the root key called name, index by index, or none. [kmstest.WrapsBatches] It never
	// makes a key: a name without one is event.ErrNotFound. [kmstest.UnknownIsNotDestroyed] The same item is wrapped
	// into other bytes each time. [kmstest.WrapsAnew]
	Wrap(ctx context.Context, name string, items []Item) ([][]byte, error)
	// Unwrap opens what Wrap sealed under the same name and AAD, and nothing else. [kmstest.FailsClosed]
	// [kmstest.BoundToNameAndAAD] One item that does not open fails the whole call. [kmstest.WrapsBatches]
	Unwrap(ctx context.Context, name string, items []Item) ([][]byte, error)
	// State tells what became of a root key. One the service never heard of is event.ErrNotFound with code
	// kms_key_missing. [kmstest.UnknownIsNotDestroyed]
	State(ctx context.Context, name string) (State, error)
	// Destroy ends a root key. Again it tells the same. [kmstest.DestroyedForGood] One that was cut off may have done
	// nothing or all of it; State knows, and Destroy again completes it.
	Destroy(ctx context.Context, name string) (Destruction, error)
	// Describe says which service this is, in one line without secrets, such as "local keys in /etc/lethe/keys".
	// [kmstest.Describes]
	Describe() string
}

// Item is bytes and what they are bound to. A call takes 1 to 1000 items, each of at least one byte; AAD may be empty.
// [kmstest.ItemsChecked]
type Item struct{ Bytes, AAD []byte }

// State of a root key.
type State uint8

// The states of a root key.
const (
	Live      State = 1
	Destroyed State = 2
)

// Destruction says when a destroyed root key opens nothing any more, and until when somebody could bring it back.
type Destruction struct {
	Effective        time.Time
	RecoverableUntil time.Time // zero: not known, until the operator states how long backups of the service are kept
}

// None holds no keys: every use is refused with event.ErrUnsupported.
var None KMS = none{}

type none struct{}

func (none) Create(context.Context, string) error                     { return refused() }
func (none) Wrap(context.Context, string, []Item) ([][]byte, error)   { return nil, refused() }
func (none) Unwrap(context.Context, string, []Item) ([][]byte, error) { return nil, refused() }
func (none) State(context.Context, string) (State, error)             { return 0, refused() }
func (none) Destroy(context.Context, string) (Destruction, error)     { return Destruction{}, refused() }
func (none) Describe() string                                         { return "no key service" }

func refused() error {
	return event.Errorf(event.ErrUnsupported, "use keys: the store was opened without a key service").
		Hint("open it with one to hold personal data")
}
