package sqlite

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"zombiezen.com/go/sqlite"
)

// conn is one connection with its prepared statements. Not safe for concurrent use.
type conn struct {
	*sqlite.Conn
	path       string
	statements map[string]*sqlite.Stmt
}

// settings are set at every open and read back: a store that cannot have them does not start. secure_delete makes
// SQLite overwrite what is deleted; synchronous=FULL (2) syncs the write-ahead log at every commit.
var settings = []struct{ name, value, want string }{
	{"page_size", strconv.Itoa(pageSize), ""},
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
func openConn(path string, flags sqlite.OpenFlags, tables schema) (*conn, error) {
	raw, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, classify(err))
	}
	raw.SetBusyTimeout(5 * time.Second)
	c := &conn{Conn: raw, path: path, statements: make(map[string]*sqlite.Stmt)}
	reader := flags&sqlite.OpenReadOnly != 0
	if !reader { // before anything is set: a file that is not ours stays as it is
		if _, err := c.format(tables); err != nil {
			return nil, joinClose(err, c)
		}
	}
	if err := c.configure(reader); err != nil {
		return nil, joinClose(err, c)
	}
	return c, nil
}

func (c *conn) configure(reader bool) error {
	for _, s := range settings {
		value, want := s.value, s.want
		switch {
		case reader && (s.name == "journal_mode" || s.name == "page_size"):
			continue
		case reader && s.name == "cache_size":
			value, want = readCache, readCache
		}
		if err := c.exec("PRAGMA " + s.name + " = " + value); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		if want == "" {
			continue
		}
		if got, err := c.pragma(s.name); err != nil || got != want {
			return errors.Join(event.Errorf(event.ErrUnavailable,
				"open %s: setting %s is %q, not %q", c.path, s.name, got, want), err)
		}
	}
	return c.checkVersion()
}

// minVersion is the first SQLite whose write-ahead log does not lose a commit when it is reset (3.51.3).
const minVersion = 3_051_003

func (c *conn) checkVersion() error {
	version := ""
	err := c.query("SELECT sqlite_version()", func(r row) error { version = r.text(0); return nil })
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

// stmt is the prepared statement of a text, reset and ready to bind.
func (c *conn) stmt(text string) (*sqlite.Stmt, error) {
	if s := c.statements[text]; s != nil {
		return s, nil
	}
	s, err := c.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", classify(err))
	}
	c.statements[text] = s
	return s, nil
}

// row is the present row of a query; what it gives is a copy.
type row struct{ s *sqlite.Stmt }

func (r row) int64(i int) int64 { return r.s.ColumnInt64(i) }
func (r row) text(i int) string { return r.s.ColumnText(i) }

func (r row) bytes(i int) []byte {
	if r.s.ColumnIsNull(i) {
		return nil
	}
	b := make([]byte, r.s.ColumnLen(i))
	r.s.ColumnBytes(i, b)
	return b
}

// bind binds arguments of the types this package uses; nil []byte is NULL.
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
			panic("bind: a type this package does not use")
		}
	}
}

// query runs a statement and calls each for every row.
func (c *conn) query(text string, each func(row) error, args ...any) error {
	s, err := c.stmt(text)
	if err != nil {
		return err
	}
	bind(s, args)
	for {
		more, err := s.Step()
		if err == nil && more {
			err = each(row{s})
		}
		if err != nil || !more {
			if reset := s.Reset(); err == nil {
				err = reset
			}
			return classify(err)
		}
	}
}

func (c *conn) exec(text string, args ...any) error {
	return c.query(text, func(row) error { return nil }, args...)
}

// changed is exec that tells how many rows it changed.
func (c *conn) changed(text string, args ...any) (int, error) {
	err := c.exec(text, args...)
	return c.Changes(), err
}

func (c *conn) pragma(name string) (string, error) {
	value := ""
	err := c.query("PRAGMA "+name, func(r row) error { value = r.text(0); return nil })
	return value, err
}

// transaction runs do between BEGIN IMMEDIATE and COMMIT, or rolls back.
func (c *conn) transaction(do func() error) error {
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := do(); err != nil {
		if rollback := c.rollback(); rollback != nil {
			return errors.Join(err, rollback)
		}
		return err
	}
	if err := c.exec("COMMIT"); err != nil {
		return errors.Join(commitError(err), c.rollback())
	}
	return nil
}

// rollback ends the transaction if SQLite has not ended it by itself.
func (c *conn) rollback() error {
	if c.AutocommitEnabled() {
		return nil
	}
	return c.exec("ROLLBACK")
}

// classify gives SQLite's result codes our words. What the disk did wrong is ErrFailed: the store stops writing.
func classify(err error) error {
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

// commitError is classify for COMMIT itself: a disk that fails there leaves the outcome unknown.
func commitError(err error) error {
	if errors.Is(err, event.ErrFailed) {
		return fmt.Errorf("%w: %w", event.ErrUnknown, err)
	}
	return err
}
