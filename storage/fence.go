package storage

import (
	"bytes"
	"cmp"
	"context"

	"github.com/lethe-es/lethe/event"
)

// Fence is a mark that ends what was prepared or remembered before it: of one person, or of everybody. What was sealed
// or opened under a lower number of the head is looked at again.
type Fence struct {
	Number   uint64         // the head's fence as of which it counts; fences of one batch have the same
	KRID     event.KRID     // zero: everybody, such as a change of policy
	Position event.Position // of the event that set it
}

// Fencer keeps the fences of a log.
type Fencer interface {
	// Fences returns the fences with a number above after, as of one head, by number, then the bytes of the KRID, then
	// position. It ends with the number with which it holds limit of them or more: a number is whole or not there, so
	// that going on after the last one misses none. A limit below 1 is event.ErrInvalid. [storagetest.FencesKept]
	Fences(ctx context.Context, after uint64, limit int) ([]Fence, error)
}

// Compare orders fences as Fencer.Fences does.
func (f Fence) Compare(o Fence) int {
	return cmp.Or(cmp.Compare(f.Number, o.Number), bytes.Compare(f.KRID[:], o.KRID[:]),
		cmp.Compare(f.Position, o.Position))
}

// CheckFences says whether fences may be inherited up to a number: otherwise the error is Heir.InheritFences's.
func CheckFences(upTo uint64, fences []Fence) error {
	for _, f := range fences {
		if f.Number == 0 || f.Number > upTo {
			return event.Invalid("malformed_fence", "inherit fences: number %d is not between 1 and %d", f.Number, upTo)
		}
	}
	return nil
}
