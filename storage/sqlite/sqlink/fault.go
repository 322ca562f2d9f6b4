package sqlink

import "github.com/lethe-es/lethe/event"

// ErrClosed answers every call after Close.
func ErrClosed() error {
	return event.Errorf(event.ErrUnavailable, "use store: it is closed")
}

// ErrFailedBefore answers every write after one that the disk failed: what that one left on the disk is not known.
func ErrFailedBefore() error {
	return event.Errorf(event.ErrFailed, "write store: the disk failed an earlier write").
		Hint("check the disk, then open the store again")
}
