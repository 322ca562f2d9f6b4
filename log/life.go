package log

import (
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// stillOurs says why the log at head is not the one that was opened: another process made the store, which was empty,
// take over the log of another one. What was prepared for the former would break the latter.
func stillOurs(opened storage.Identity, head *storage.Head) error {
	if head.Life.State == storage.Filling {
		return head.Life.Check("")
	}
	if opened.Store != head.Store || opened.Incarnation != head.Incarnation {
		return event.Errorf(event.ErrUnavailable, "the store took over the log of store %s", head.Store).
			Hint("open it again")
	}
	return nil
}
