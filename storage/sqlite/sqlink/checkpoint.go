package sqlink

import (
	"errors"

	"github.com/lethe-es/lethe/event"
)

// walLimit is about how many bytes go into a write-ahead log before they are moved into the database file. Moving is
// done by the writer before its next commit, not by SQLite within one: SQLite goes on when a sync fails there, and a
// disk that failed a sync must not be written to again.
const walLimit = 8 << 20

// commitPages is what a commit writes at least: a page of each tree it touches, and the head's.
const commitPages = 5

// Fill estimates how full the write-ahead log is.
type Fill struct{ bytes int }

// Add notes a commit and about how many bytes it wrote.
func (w *Fill) Add(bytes int) { w.bytes += bytes + commitPages*PageSize }

// Checkpoint moves the write-ahead log into the database file: PASSIVE as far as no reader is in the way, TRUNCATE
// wholly and cuts it to nothing. busy reports that a reader was in the way.
func (c *Conn) Checkpoint(mode string) (busy bool, err error) {
	err = c.Query("PRAGMA wal_checkpoint("+mode+")", func(r Row) error { busy = r.Int64(0) != 0; return nil })
	return busy, err
}

// MoveLog keeps the write-ahead log short. Its error means that the disk failed: nothing may be written after it.
// Where there is no room, or someone is in the way, the log stays as it is and is moved another time.
func (c *Conn) MoveLog(w *Fill) error {
	if w.bytes < walLimit {
		return nil
	}
	w.bytes = 0
	_, err := c.Checkpoint("PASSIVE")
	if errors.Is(err, event.ErrFull) || errors.Is(err, event.ErrUnavailable) {
		return nil
	}
	return err
}
