package sqlite

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

// walFill estimates how full the write-ahead log is.
type walFill struct{ bytes int }

func (w *walFill) add(bytes int) { w.bytes += bytes + commitPages*pageSize }

func (w *walFill) full() bool { return w.bytes >= walLimit }

// checkpoint moves the write-ahead log into the database file: PASSIVE as far as no reader is in the way, TRUNCATE
// wholly and cuts it to nothing. busy reports that a reader was in the way.
func (c *conn) checkpoint(mode string) (busy bool, err error) {
	err = c.query("PRAGMA wal_checkpoint("+mode+")", func(r row) error { busy = r.int64(0) != 0; return nil })
	return busy, err
}

// moveLog keeps the write-ahead log short. Its error means that the disk failed: nothing may be written after it.
// Where there is no room, or someone is in the way, the log stays as it is and is moved another time.
func (c *conn) moveLog(w *walFill) error {
	if !w.full() {
		return nil
	}
	w.bytes = 0
	_, err := c.checkpoint("PASSIVE")
	if errors.Is(err, event.ErrFull) || errors.Is(err, event.ErrUnavailable) {
		return nil
	}
	return err
}
