package storagetest

import (
	"errors"
	"testing"

	"github.com/lethe-es/lethe/storage"
)

var errDeclined = errors.New("declined")

// TurnKept holds that commits are as they are without a turn: taken, taken twice, given back, or ended by a commit that
// is refused. Engines without the role pass by having none.
func TurnKept(t *testing.T, open Open) {
	e := open(t)
	turn := func() func() {
		if x, ok := e.Store.(storage.Turner); ok {
			return x.Turn(t.Context())
		}
		return func() {}
	}
	n := 0
	for range 3 {
		done := turn()
		Append(t, e.Store, items(2)...)
		done()
		done()

		done = turn()
		turn()()
		Append(t, e.Store, items(1)...)
		turn()
		done()
		Append(t, e.Store, items(1)...)

		turn()
		if _, err := e.Store.Commit(t.Context(), storage.Probe{}, func(storage.Head, storage.Found) (storage.Batch, error) {
			return storage.Batch{}, errDeclined
		}); err != errDeclined { //nolint:errorlint // decide's own value
			t.Errorf("commit that decide declined: %v", err)
		}
		turn()
		advance(t, e.Store, "relay", storage.Checkpoint{Revision: uint64(n / 4)}, storage.Checkpoint{})
		turn()()
		n += 4
		gapless(t, readAll(t, e.Store, storage.Query{}), n)
	}
	turn()
	e.Reopen(t)
	Append(t, e.Store, items(1)...)
}
