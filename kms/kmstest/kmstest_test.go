package kmstest_test

import (
	"testing"

	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
)

func TestMemory(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) func() kms.KMS {
		m := kmstest.New(t)
		return func() kms.KMS { return m }
	})
}

// TestFaultyWell: without a fault it is nothing but the service behind it.
func TestFaultyWell(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) func() kms.KMS {
		f := kmstest.NewFaulty(kmstest.New(t))
		return func() kms.KMS { return f }
	})
}
