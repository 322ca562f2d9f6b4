package keyring

import (
	"context"
	"sync"

	"github.com/lethe-es/lethe/event"
)

// Digest is the HMAC-SHA256 of a request under the request key of an epoch.
type Digest struct {
	Epoch uint32
	Sum   [32]byte
}

// RequestDigests appends to dst the digest of a request under every epoch that is live, the current one first. By them
// two requests are compared without keeping their content. If there is no epoch yet, one is made.
func (k *Keeper) RequestDigests(ctx context.Context, dst []Digest, data []byte) ([]Digest, error) {
	now := k.tick()
	if k.leased(now) {
		if warm, ok := k.sign(dst, data, now); ok {
			return warm, nil
		}
	}
	h, err := k.hold(ctx, true)
	if err != nil {
		return dst, err
	}
	defer h.release()
	if h.partial { // an older request would pass for a new one
		return dst, fault(event.ErrUnavailable, "kms_unavailable", "digest request: a live epoch could not be opened").
			Hint("try again")
	}
	k.permit()
	return digests(dst, h.all, data), nil
}

func digests(dst []Digest, epochs []*epoch, data []byte) []Digest {
	for _, e := range epochs {
		dst = append(dst, Digest{e.Number, e.Request(data)})
	}
	return dst
}

// signers is the live epochs, newest first, if all of them are open. Whoever learns something of epochs, or ends one,
// takes them away before; who signs is waited for.
type signers struct {
	mu     sync.RWMutex
	epochs []*epoch
	read   int64 // tick as of which the head says so
}

// sign answers if nothing has to be asked first.
func (k *Keeper) sign(dst []Digest, data []byte, now int64) ([]Digest, bool) {
	s := &k.signers
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.epochs) == 0 || !k.cache.fresh(now, s.read) {
		return dst, false
	}
	return digests(dst, s.epochs, data), true
}

// permit has these epochs sign, as of when the head was read.
func (s *signers) permit(epochs []*epoch, read int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs, s.read = epochs, read
}

// permit has the epochs sign that are open now, if no other is live.
func (k *Keeper) permit() {
	k.mu.Lock()
	defer k.mu.Unlock()
	var open []*epoch
	for _, e := range k.live() {
		if k.epochs[e.Number] == nil {
			return
		}
		open = append(open, k.epochs[e.Number])
	}
	k.signers.permit(open, k.headAt)
}
