// Package kmstest holds every key service to the contract of kms.
package kmstest

import (
	"bytes"
	"testing"

	"github.com/lethe-es/lethe/kms"
)

// FailsClosed checks that a service which cannot open something says so, and gives out no bytes: neither what it was
// handed, nor anything else.
func FailsClosed(t *testing.T, service kms.KMS) {
	t.Helper()
	secret := []byte("a key that must not come back")
	if wrapped, err := service.Wrap(t.Context(), "no such root key", secret, nil); err == nil || wrapped != nil {
		t.Errorf("wrap under an unknown root key: got %d bytes, error %v", len(wrapped), err)
	}
	opened, err := service.Unwrap(t.Context(), "no such root key", secret, nil)
	if err == nil || opened != nil || bytes.Contains(opened, secret) {
		t.Errorf("unwrap what was never wrapped: got %d bytes, error %v", len(opened), err)
	}
}
