// Package sqlink is what the engines on SQLite share: connections with their settings and statements, transactions,
// result codes in our words, tables and how they came to be, the write-ahead log, reading connections, the lock of a
// folder, and the rows of an inverted index. It knows nothing of what is kept.
//
//	lock, err := sqlink.Acquire(dir, "lock", address)
//	writer, err := sqlink.Open(path, schema)                // the one that writes
//	err = writer.MoveLog(&fill)                             // before a transaction
//	err = writer.Transaction(func() error { … })            // durable on return
//	reader, err := sqlink.NewPool(path).Take(ctx)           // each reader has its own
//
// After a sync that failed (event.ErrFailed) nothing may be written any more: ErrFailedBefore.
package sqlink

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"zombiezen.com/go/sqlite"
)

// Conn is one connection with its prepared statements. Not safe for concurrent use.
type Conn struct {
	*sqlite.Conn
	path       string
	statements map[string]*sqlite.Stmt
}

// settings are set at every open and read back: a store that cannot have them does not start. secure_delete makes
// SQLite overwrite what is deleted; synchronous=FULL (2) syncs the write-ahead log at every commit.
var settings = []struct{ name, value, want string }{
	{"journal_mode", "WAL", "wal"},
	{"synchronous", "FULL", "2"},
	{"secure_delete", "ON", "1"},
	{"foreign_keys", "ON", "1"},
	{"busy_timeout", "5000", "5000"},
	{"temp_store", "MEMORY", "2"},
	{"cache_size", "-32768", "-32768"},
	{"wal_autocheckpoint", "0", "0"}, // SQLite's own would swallow a failed sync: see walLimit
}

// readCache is the page cache of a reading connection, in KiB below 0; the file's pages are in the kernel's cache too.
const readCache = "-32768"

// openConn opens a file with the settings. A connection that may write says which tables the file should have.
func openConn(path string, flags sqlite.OpenFlags, tables Schema) (*Conn, error) {
	raw, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, Classify(err))
	}
	raw.SetBusyTimeout(5 * time.Second)
	c := &Conn{Conn: raw, path: path, statements: make(map[string]*sqlite.Stmt)}
	reader := flags&sqlite.OpenReadOnly != 0
	if !reader { // before anything is set: a file that is not ours stays as it is
		if _, err := c.Format(tables); err != nil {
			return nil, joinClose(err, c)
		}
	}
	if err := c.configure(reader, tables.pageSize()); err != nil {
		return nil, joinClose(err, c)
	}
	return c, nil
}

func (c *Conn) configure(reader bool, pageSize int) error {
	if !reader {
		if err := c.Exec("PRAGMA page_size = " + strconv.Itoa(pageSize)); err != nil {
			return fmt.Errorf("set page_size: %w", err)
		}
	}
	for _, s := range settings {
		value, want := s.value, s.want
		switch {
		case reader && s.name == "journal_mode":
			continue
		case reader && s.name == "cache_size":
			value, want = readCache, readCache
		}
		if err := c.Exec("PRAGMA " + s.name + " = " + value); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		if got, err := c.Pragma(s.name); err != nil || got != want {
			return errors.Join(event.Errorf(event.ErrUnavailable,
				"open %s: setting %s is %q, not %q", c.path, s.name, got, want), err)
		}
	}
	return c.checkVersion()
}

// minVersion is the first SQLite whose write-ahead log does not lose a commit when it is reset (3.51.3).
const minVersion = 3_051_003

func (c *Conn) checkVersion() error {
	version := ""
	err := c.Query("SELECT sqlite_version()", func(r Row) error { version = r.Text(0); return nil })
	if err != nil {
		return err
	}
	number := 0
	for _, part := range strings.SplitN(version, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return event.Errorf(event.ErrUnavailable, "open %s: SQLite version %q is not known", c.path, version)
		}
		number = number*1000 + n
	}
	if number < minVersion {
		return event.Errorf(event.ErrUnavailable, "open %s: SQLite %s is older than 3.51.3", c.path, version)
	}
	return nil
}

// Stmt is the prepared statement of a text, reset and ready to bind.
func (c *Conn) Stmt(text string) (*sqlite.Stmt, error) {
	if s := c.statements[text]; s != nil {
		return s, nil
	}
	s, err := c.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", Classify(err))
	}
	c.statements[text] = s
	return s, nil
}

// Row is the present row of a query; what it gives is a copy.
type Row struct{ Stmt *sqlite.Stmt }

// Int64 is column i, from 0.
func (r Row) Int64(i int) int64 { return r.Stmt.ColumnInt64(i) }

// Text is column i.
func (r Row) Text(i int) string { return r.Stmt.ColumnText(i) }

// Bytes is column i; nil: NULL.
func (r Row) Bytes(i int) []byte {
	if r.Stmt.ColumnIsNull(i) {
		return nil
	}
	b := make([]byte, r.Stmt.ColumnLen(i))
	r.Stmt.ColumnBytes(i, b)
	return b
}

// bind binds arguments of the types engines use; nil []byte is NULL.
func bind(s *sqlite.Stmt, args []any) {
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			s.BindInt64(i+1, v)
		case int:
			s.BindInt64(i+1, int64(v))
		case string:
			s.BindText(i+1, v)
		case []byte:
			if v == nil {
				s.BindNull(i + 1)
			} else {
				s.BindBytes(i+1, v)
			}
		default:
			panic("bind: a type that no column has")
		}
	}
}

// Query runs a statement and calls each for every row.
func (c *Conn) Query(text string, each func(Row) error, args ...any) error {
	s, err := c.Stmt(text)
	if err != nil {
		return err
	}
	bind(s, args)
	for {
		more, err := s.Step()
		if err == nil && more {
			err = each(Row{s})
		}
		if err != nil || !more {
			if reset := s.Reset(); err == nil {
				err = reset
			}
			return Classify(err)
		}
	}
}

// Rows is Query for those who read columns without a copy.
func (c *Conn) Rows(text string, each func(*sqlite.Stmt) error, args ...any) error {
	return c.Query(text, func(r Row) error { return each(r.Stmt) }, args...)
}

// Exec runs a statement whose rows, if it has any, nobody wants.
func (c *Conn) Exec(text string, args ...any) error {
	return c.Query(text, func(Row) error { return nil }, args...)
}

// Changed is Exec that tells how many rows it changed.
func (c *Conn) Changed(text string, args ...any) (int, error) {
	err := c.Exec(text, args...)
	return c.Changes(), err
}

// Pragma reads a setting.
func (c *Conn) Pragma(name string) (string, error) {
	value := ""
	err := c.Query("PRAGMA "+name, func(r Row) error { value = r.Text(0); return nil })
	return value, err
}

// Transaction runs do between BEGIN IMMEDIATE and COMMIT, or rolls back.
func (c *Conn) Transaction(do func() error) error {
	if err := c.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := do(); err != nil {
		if rollback := c.rollback(); rollback != nil {
			return errors.Join(err, rollback)
		}
		return err
	}
	if err := c.Exec("COMMIT"); err != nil {
		return errors.Join(commitError(err), c.rollback())
	}
	return nil
}

// rollback ends the transaction if SQLite has not ended it by itself.
func (c *Conn) rollback() error {
	if c.AutocommitEnabled() {
		return nil
	}
	return c.Exec("ROLLBACK")
}

// Classify gives SQLite's result codes our words. What the disk did wrong is ErrFailed: the store stops writing.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	var known interface{ ErrorCode() string }
	if errors.As(err, &known) {
		return err
	}
	code := sqlite.ErrCode(err)
	switch code.ToPrimary() {
	case sqlite.ResultFull:
		return fmt.Errorf("%w: %w", event.Errorf(event.ErrFull, "write store: the disk is full").
			Hint("make room: appends go on by themselves, reading works meanwhile"), err)
	case sqlite.ResultIOErr, sqlite.ResultCantOpen, sqlite.ResultReadOnly, sqlite.ResultPerm:
		return fmt.Errorf("%w: %w", event.Errorf(event.ErrFailed, "use store: the disk refused (%v)", code).
			Hint("check the disk, then open the store again"), err)
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return fmt.Errorf("%w: %w", event.Errorf(event.ErrCorrupt, "read store: the file is damaged (%v)", code).
			Hint("restore a backup"), err)
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultInterrupt, sqlite.ResultNoMem:
		return fmt.Errorf("%w: %w", event.Errorf(event.ErrUnavailable, "use store: it is busy (%v)", code), err)
	}
	return err
}

// commitError is Classify for COMMIT itself: a disk that fails there leaves the outcome unknown.
func commitError(err error) error {
	if errors.Is(err, event.ErrFailed) {
		return fmt.Errorf("%w: %w", event.ErrUnknown, err)
	}
	return err
}
