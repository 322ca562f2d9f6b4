package localkms_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms/localkms"
)

// FuzzKeyFolder: a file of the folder is read as it was written, or refused; what is read encodes to the same bytes.
func FuzzKeyFolder(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "keys")
	k, err := localkms.Open(f.Context(), dir, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"root", "ended"} {
		if err := k.Create(f.Context(), name); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := k.Destroy(f.Context(), "ended"); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"folder", "root.key", "ended.destroyed"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-8])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, b := range [][]byte{body, localkms.Checked(body)} {
			for kind, again := range localkms.Parses(b) {
				switch {
				case again.Err == nil && !bytes.Equal(again.Encoded, b):
					t.Errorf("%s is read, and encodes to other bytes", kind)
				case again.Err != nil && !errors.Is(again.Err, event.ErrCorrupt) && !errors.Is(again.Err, event.ErrFormat):
					t.Errorf("%s: %v", kind, again.Err)
				}
			}
		}
	})
}
