package localkms_test

import (
	"path/filepath"
	"testing"

	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/localkms"
)

func TestContract(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) func() kms.KMS {
		dir := filepath.Join(t.TempDir(), "keys")
		return func() kms.KMS { return opened(t, dir, nil) }
	})
}

func opened(t *testing.T, dir string, o *localkms.Options) *localkms.KMS {
	t.Helper()
	k, err := localkms.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}
