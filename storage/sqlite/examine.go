package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	lib "modernc.org/sqlite/lib"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite/sqlink"
)

// Version is the version of the SQLite inside this program.
func Version() string { return lib.SQLITE_VERSION }

// Examine asks SQLite about the files. It reads all of them, and does not stop half way when its context ends.
func (s *Store) Examine(ctx context.Context) ([]storage.Check, error) {
	x := &examination{checks: []storage.Check{{Name: "sqlite", OK: true, Detail: "version " + Version() + ", built in"}}}
	err := x.events(ctx, s.readers)
	if err == nil {
		err = s.models.use(ctx, func(c *sqlink.Conn) error { return x.file(c, "models.db") })
	}
	if err != nil {
		return nil, fmt.Errorf("examine store: %w", err)
	}
	x.add("format", true, "tables of %s", strings.Join(x.formats, ", of "))
	if len(x.faults) == 0 {
		x.add("structure", true, "pages and trees of both files are whole")
	} else {
		x.add("structure", false, "%s", strings.Join(x.faults, "; "))
	}
	x.add("lock", true, "held by this process, %d", os.Getpid())
	return x.checks, nil
}

// examination gathers checks.
type examination struct {
	checks  []storage.Check
	formats []string
	faults  []string
}

func (x *examination) add(name string, ok bool, format string, args ...any) {
	x.checks = append(x.checks, storage.Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

// events looks at events.db over a reading connection, beside whom the log goes on.
func (x *examination) events(ctx context.Context, readers *sqlink.Pool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := readers.Take(ctx)
	if err != nil {
		return err
	}
	defer func() { readers.Give(c, err != nil) }()
	mode, err := c.Pragma("journal_mode")
	if err != nil {
		return err
	}
	size, err := c.Pragma("page_size")
	if err != nil {
		return err
	}
	x.add("settings", mode == "wal", "journal_mode=%s page_size=%s; synchronous, secure_delete and the others were "+
		"read back when the store opened", mode, size)
	err = x.file(c, "events.db")
	return err
}

// file looks at the pages and trees of a file.
func (x *examination) file(c *sqlink.Conn, name string) error {
	format, err := c.Pragma("user_version")
	if err != nil {
		return err
	}
	x.formats = append(x.formats, name+" in format "+format)
	answer, err := c.Pragma("quick_check(1)")
	switch {
	case errors.Is(err, event.ErrCorrupt):
		answer = "it cannot be read"
	case err != nil:
		return err
	case answer == "ok":
		return nil
	}
	x.faults = append(x.faults, name+": "+strings.Join(strings.Fields(answer), " "))
	return nil
}
