// Package kms is the seam to the service that holds root keys. Root keys never leave it: Lethe hands in what is to be
// wrapped, with what it is bound to, and keeps only the wrapped bytes. Whoever destroys a root key ends everything that
// is wrapped by it, in every copy and backup.
//
// A service that cannot be asked is event.ErrUnavailable with code kms_unavailable. A key that it does not have, a
// mount that is not there, or rights that are missing are never taken for a key that was destroyed: only State says so.
package kms

import (
	"context"
	"time"

	"github.com/lethe-es/lethe/event"
)

// KMS wraps and unwraps keys under named root keys that never leave the service. Names are 1 to 100 of a-z, 0-9 and -.
type KMS interface {
	// Create makes a root key. One that is there stays as it is [kmstest.CreateRepeats]; a name whose key was destroyed
	// is event.ErrConflict with code kms_key_destroyed, for ever. [kmstest.DestroyedForGood]
	Create(ctx context.Context, name string) error
	// Wrap seals every item under the root key called name, index by index, or none. [kmstest.WrapsBatches]
	Wrap(ctx context.Context, name string, items []Item) ([][]byte, error)
	// Unwrap opens what Wrap sealed under the same name and AAD, and nothing else. [kmstest.FailsClosed]
	// [kmstest.BoundToNameAndAAD]
	Unwrap(ctx context.Context, name string, items []Item) ([][]byte, error)
	// State tells what became of a root key. One the service never heard of is event.ErrNotFound with code
	// kms_key_missing. [kmstest.UnknownIsNotDestroyed]
	State(ctx context.Context, name string) (State, error)
	// Destroy ends a root key. Again it tells the same. [kmstest.DestroyedForGood]
	Destroy(ctx context.Context, name string) (Destruction, error)
	// Describe says which service this is, in one line without secrets, such as "local keys in /etc/lethe/keys".
	Describe() string
}

// Item is bytes and what they are bound to.
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
