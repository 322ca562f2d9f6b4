package keyring_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/keyring"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/storage/sqlite/sqlitekeys"
)

func TestZZSize(t *testing.T) {
	keys, err := sqlitekeys.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	k, err := keyring.Open(t.Context(), keys, kmstest.New(t), keyring.Options{Store: event.StoreID{1}, Clock: event.SystemClock{}, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	n := 30000
	began := time.Now()
	for first := 0; first < n; first += 1000 {
		var refs []keyring.Reference
		for i := range 1000 {
			refs = append(refs, customer(first+i))
		}
		var wants []keyring.Want
		for _, krid := range mint(t, k, refs...) {
			for _, group := range []string{"identity", "contact", "finance"} {
				wants = append(wants, want(krid, group))
			}
		}
		if err := k.ForSealing(t.Context(), wants, make([]keyring.Key, len(wants))); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("minted", time.Since(began))
	show := func() {
		sizes, err := keys.KeySizes(t.Context())
		for _, s := range sizes {
			t.Log(s.Part, float64(s.Bytes)/float64(n), err)
		}
	}
	show()
	began = time.Now()
	done, err := k.Roll(t.Context(), nil)
	t.Log(done, err, time.Since(began))
	show()
}
