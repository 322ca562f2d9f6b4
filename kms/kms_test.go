package kms_test

import (
	"errors"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
)

func TestNoneFailsClosed(t *testing.T) {
	kmstest.FailsClosed(t, kms.None)
	if _, err := kms.None.Wrap(t.Context(), "root", nil); !errors.Is(err, event.ErrUnsupported) {
		t.Errorf("got %v, want event.ErrUnsupported", err)
	}
}
