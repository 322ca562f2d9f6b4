package follow

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// pacer makes lanes wait between tries.
type pacer struct {
	options *Options
	mu      sync.Mutex // lanes share one source of randomness
}

// wait waits after the n-th try that failed, n from 1.
func (p *pacer) wait(ctx context.Context, n int) error {
	d, err := p.pause(n)
	if err != nil {
		return err
	}
	return p.sleep(ctx, d)
}

func (p *pacer) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-p.options.Clock.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is Backoff, doubled for each try after the first, at most MaxBackoff; of that between half and all, so that
// followers that failed together do not come back together.
func (p *pacer) pause(n int) (time.Duration, error) {
	d := min(p.options.Backoff, p.options.MaxBackoff)
	for ; n > 1 && d < p.options.MaxBackoff; n-- {
		d = p.options.MaxBackoff - max(p.options.MaxBackoff-d-d, 0) // 2d, bounded, without overflow
	}
	var b [8]byte
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := io.ReadFull(p.options.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("wait before trying again: read randomness: %w", err)
	}
	fraction := float64(binary.BigEndian.Uint64(b[:])>>11) / (1<<53 - 1) // 0 to 1, both included
	return d/2 + time.Duration(fraction*float64(d-d/2)), nil
}
