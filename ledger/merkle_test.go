package ledger_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/lethe-es/lethe/ledger"
)

// ctLeaves and ctRoots are the reference vectors of Certificate Transparency (RFC 6962 implementations share them):
// ctRoots[i] is the root over the first i leaves.
var (
	ctLeaves = []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
		"606162636465666768696a6b6c6d6e6f"}
	ctRoots = []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCertificateTransparencyVectors(t *testing.T) {
	var f ledger.Frontier
	for i, want := range ctRoots {
		if got := f.Root(); hex.EncodeToString(got[:]) != want {
			t.Errorf("root of %d leaves is %x, want %s", i, got, want)
		}
		if i < len(ctLeaves) {
			f.Append(ledger.LeafHash(unhex(t, ctLeaves[i])))
		}
	}
}

func TestLeafHashOfAnyLength(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 63, 64, 255, 510, 511, 512, 513, 5000} {
		b := []byte(strings.Repeat("x", n))
		if got := ledger.LeafHash(b); got != ledger.Hash(tlog.RecordHash(b)) {
			t.Errorf("leaf hash of %d bytes is %x", n, got)
		}
	}
}

// TestLeavesAndNodesAreApart: the preimage of an inner node, taken as a leaf, hashes to something else.
func TestLeavesAndNodesAreApart(t *testing.T) {
	left, right := ledger.LeafHash([]byte("a")), ledger.LeafHash([]byte("b"))
	var f ledger.Frontier
	f.Append(left)
	f.Append(right)
	preimage := append(append([]byte{1}, left[:]...), right[:]...)
	if f.Root() != sha256.Sum256(preimage) {
		t.Fatal("the preimage of the node is not what RFC 6962 says")
	}
	if ledger.LeafHash(preimage) == f.Root() || ledger.LeafHash(preimage[1:]) == f.Root() {
		t.Error("a node passes as a leaf")
	}
}
