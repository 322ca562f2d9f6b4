package memory_test

import (
	"testing"

	"github.com/lethe-es/lethe/storage/keystest"
	"github.com/lethe-es/lethe/storage/memory"
)

func TestKeystore(t *testing.T) {
	keystest.Run(t, func(t testing.TB) *keystest.Engine {
		keys := memory.NewKeys()
		t.Cleanup(func() {
			if err := keys.Close(); err != nil {
				t.Error(err)
			}
		})
		return &keystest.Engine{
			Keys:   keys,
			Reopen: func(testing.TB) {},
			Dump:   func(testing.TB) [][]byte { return keys.Dump() },
			Bytes: func(testing.TB) (n int64) {
				for _, b := range keys.Dump() {
					n += int64(len(b))
				}
				return n
			},
		}
	})
}
