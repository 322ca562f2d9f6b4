package bench_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-es/lethe/bench"
)

// TestHistogram compares quantiles with those of the sorted list.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 300).Draw(t, "durations")
		q := rapid.Float64Range(0.001, 1).Draw(t, "quantile")
		var a, b bench.Histogram
		for i, d := range durations {
			if i%2 == 0 {
				a.Add(time.Duration(d))
			} else {
				b.Add(time.Duration(d))
			}
		}
		a.Merge(&b)
		slices.Sort(durations)
		want := float64(durations[int(math.Ceil(q*float64(len(durations))))-1])
		if got := float64(a.Quantile(q)); math.Abs(got-want) > want/120+1 {
			t.Fatalf("quantile %v is %v, want %v", q, got, want)
		}
	})
}

func TestHistogramEnds(t *testing.T) {
	var h bench.Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
	h.Add(-time.Second)
	h.Add(math.MaxInt64)
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("a clock that went back counts as %v", got)
	}
	if got := float64(h.Quantile(1)); math.Abs(got/math.MaxInt64-1) > 0.01 {
		t.Errorf("the longest duration counts as %v", got)
	}
}
