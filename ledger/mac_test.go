package ledger_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/lethe-es/lethe/ledger"
)

// TestMAC holds MAC to the library's, for data of every length around the sizes of blocks.
func TestMAC(t *testing.T) {
	key := ledger.Hash(bytes.Repeat([]byte{7, 0xa5}, 16))
	for n := range 200 {
		data := bytes.Repeat([]byte{byte(n), 3}, n)[:n]
		b := append(bytes.Repeat([]byte{0xff}, ledger.Block), data...)
		want := hmac.New(sha256.New, key[:])
		want.Write(data)
		if got := ledger.MAC(b, &key); !bytes.Equal(got[:], want.Sum(nil)) {
			t.Errorf("%d bytes: %x", n, got)
		}
		if !bytes.Equal(b[:ledger.Block], make([]byte, ledger.Block)) || !bytes.Equal(b[ledger.Block:], data) {
			t.Errorf("%d bytes: it leaves %x", n, b)
		}
	}
}
