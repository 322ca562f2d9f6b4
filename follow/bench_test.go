package follow_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/follow"
)

// counter is the least that a follower can do.
type counter struct{ events int }

func (*counter) Name() string { return "counter" }

func (*counter) Filter() event.Filter { return nil }

func (c *counter) Apply(_ context.Context, b follow.Batch) error {
	c.events += len(b.Events)
	return nil
}

// BenchmarkFollow follows 50,000 events from the start, checkpoints included; one op is one event.
func BenchmarkFollow(b *testing.B) {
	const size = 50_000
	r := newRig(b)
	r.append(b, "Noted", size)
	b.ReportAllocs()
	followed := 0
	for b.ResetTimer(); followed < b.N; followed += size {
		from, err := r.engine.Checkpoint(b.Context(), "counter")
		if err != nil {
			b.Fatal(err)
		}
		from.Cursor, from.Note = event.Cursor{}, nil
		if _, err := r.engine.Advance(b.Context(), "counter", from, from); err != nil {
			b.Fatal(err)
		}
		c := new(counter)
		if err := r.through(b, c, nil, size); !errors.Is(err, context.Canceled) || c.events != size {
			b.Fatalf("%d events: %v", c.events, err)
		}
	}
	b.ReportMetric(float64(followed)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}
