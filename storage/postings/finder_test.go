package postings

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lethe-es/lethe/event"
)

// listed finds what a sorted list has, and counts how often it searches.
type listed struct {
	at       []event.Position
	backward bool
	asked    int
}

func (l *listed) Next(p event.Position) (event.Position, bool, error) {
	l.asked++
	for i := range l.at {
		if l.backward {
			i = len(l.at) - 1 - i
		}
		if !Beyond(p, l.at[i], l.backward) {
			return l.at[i], true, nil
		}
	}
	return 0, false, nil
}

// TestAnyOf holds that what any of several lists has is found once and in order, and that no list is searched more
// often than it has candidates: one that has none would be searched to its end for each that another has.
func TestAnyOf(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		backward := seed%2 == 1
		f := &anyOf{backward: backward}
		var want []event.Position
		for range random.IntN(4) {
			l := &listed{backward: backward}
			for p := event.Position(1); p <= 40; p++ {
				if random.IntN(4) == 0 {
					l.at = append(l.at, p)
				}
			}
			f.parts, want = append(f.parts, l), append(want, l.at...)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		from, step := event.Position(1), event.Position(1)
		if backward {
			slices.Reverse(want)
			from, step = 41, -step
		}
		var got []event.Position
		for {
			p, ok, err := f.Next(from)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got, from = append(got, p), p+step
		}
		if !slices.Equal(want, got) {
			t.Errorf("seed %d: found %v, want %v", seed, got, want)
		}
		for i, part := range f.parts {
			if l := part.(*listed); l.asked > len(l.at)+1 {
				t.Errorf("seed %d: part %d of %d candidates was asked %d times", seed, i, len(l.at), l.asked)
			}
		}
	}
}
