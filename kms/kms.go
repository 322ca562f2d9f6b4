// Package kms is the seam to the service that holds root keys. Lethe never stores what it wraps without it: a store
// opened with None can hold no personal data at all, which is refused when it is declared, not when it is lost.
package kms

import (
	"context"

	"github.com/lethe-es/lethe/event"
)

// KMS wraps and unwraps keys under named root keys that never leave the service.
type KMS interface {
	// Wrap seals plain under the root key called name, bound to aad. [kmstest.FailsClosed]
	Wrap(ctx context.Context, name string, plain, aad []byte) ([]byte, error)
	// Unwrap opens what Wrap sealed under the same name and aad, and nothing else. [kmstest.FailsClosed]
	Unwrap(ctx context.Context, name string, wrapped, aad []byte) ([]byte, error)
}

// None holds no keys: every use is refused with event.ErrUnsupported.
var None KMS = none{}

type none struct{}

func (none) Wrap(context.Context, string, []byte, []byte) ([]byte, error)   { return nil, refused() }
func (none) Unwrap(context.Context, string, []byte, []byte) ([]byte, error) { return nil, refused() }

func refused() error {
	return event.Errorf(event.ErrUnsupported, "use keys: the store was opened without a key service").
		Hint("open it with one to hold personal data")
}
