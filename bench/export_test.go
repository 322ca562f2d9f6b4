package bench

import "time"

// Histogram opens the histogram to its test.
type Histogram = histogram

func (h *Histogram) Add(d time.Duration)              { h.add(d) }
func (h *Histogram) Merge(o *Histogram)               { h.merge(o) }
func (h *Histogram) Quantile(q float64) time.Duration { return h.quantile(q) }
