package archtest_test

import (
	"os"
	"testing"

	"github.com/lethe-es/lethe/internal/archtest"
)

// TestHouse holds the rules over the module itself.
func TestHouse(t *testing.T) {
	h, err := archtest.Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if h.Module != "github.com/lethe-es/lethe" || len(h.Packages) == 0 {
		t.Fatalf("read module %q with %d packages: not the house", h.Module, len(h.Packages))
	}
	for _, finding := range archtest.Inspect(h) {
		t.Error(finding)
	}
}
