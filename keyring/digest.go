package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/lethe-es/lethe/event"
)

// RequestDigest gives the number of the current epoch and a function that makes HMAC-SHA256 under the request key of
// any live epoch; ok is false for one whose key is gone. By it two requests are compared without keeping their content.
// The function holds keys: it is to be used at once and not to be kept. If there is no epoch yet, one is made.
func (k *Keeper) RequestDigest(ctx context.Context) (epoch uint32,
	mac func(epoch uint32, data []byte) (sum [32]byte, ok bool), err error) {
	h, err := k.hold(ctx, true)
	if err != nil {
		return 0, nil, err
	}
	defer h.release()
	if h.partial { // "gone" would be said of a key that is not
		return 0, nil, fault(event.ErrUnavailable, "kms_unavailable", "digest request: a live epoch could not be opened").
			Hint("try again")
	}
	keys := make([]requestKey, len(h.all))
	for i, e := range h.all {
		keys[i] = requestKey{e.Number, e.Request()}
	}
	return h.current.Number, func(epoch uint32, data []byte) (sum [32]byte, ok bool) {
		for i := range keys {
			if keys[i].epoch == epoch {
				mac := hmac.New(sha256.New, keys[i].key[:])
				mac.Write(data)
				mac.Sum(sum[:0])
				return sum, true
			}
		}
		return sum, false
	}, nil
}

type requestKey struct {
	epoch uint32
	key   [32]byte
}
