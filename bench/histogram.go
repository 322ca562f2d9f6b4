package bench

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in buckets of which each is at most 1/64 wider than its lower end, so that quantiles are
// within 0.8 % in a memory that does not grow with the number of durations. The zero histogram is empty.
type histogram struct {
	counts [58 << 6]uint64
	n      uint64
	max    time.Duration
}

// bucket: below 128 ns each has its own; above, the six bits after the leading one count.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 128 {
		return int(v)
	}
	shift := bits.Len64(v) - 7
	return shift<<6 + int(v>>shift)
}

// middle is the duration a bucket stands for.
func middle(i int) time.Duration {
	if i < 128 {
		return time.Duration(i)
	}
	shift := i>>6 - 1
	return time.Duration(i-shift<<6)<<shift + time.Duration(1)<<shift/2
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile is the duration that a share q of all durations does not exceed; 0 of an empty histogram.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.n)))
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(middle(i), h.max)
		}
	}
	return h.max
}

// Latency is how long callers waited, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func (h *histogram) latency() Latency {
	return Latency{P50: millis(h.quantile(0.5)), P99: millis(h.quantile(0.99)), Max: millis(h.max)}
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
