package sqlink

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"zombiezen.com/go/sqlite"
)

// applicationID marks the files as Lethe's ("leth").
const applicationID = 0x6c657468

// Schema is how the tables of a file came to be.
type Schema struct {
	// Steps: the first makes format 1 of an empty file, the second format 2 of format 1. What a step has written is in
	// folders everywhere: it stays as it is, and a change is one step more.
	Steps []string
	// Page is the size of pages of a file that is created; 0: PageSize.
	Page int
}

func (s Schema) pageSize() int {
	if s.Page == 0 {
		return PageSize
	}
	return s.Page
}

// PageSize: a commit of one event dirties a page of each of three b-trees, so small pages make small commits; a
// scan does not care. docs/design.md has the measurements.
const PageSize = 4096

// Open opens the write connection of a file, which is created if it is not there, and brings its tables to the newest
// format.
func Open(path string, tables Schema) (*Conn, error) {
	c, err := openConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate, tables)
	if err != nil {
		return nil, err
	}
	if err := c.upgrade(tables); err != nil {
		return nil, joinClose(err, c)
	}
	return c, nil
}

func joinClose(err error, c *Conn) error {
	if closing := c.Close(); closing != nil {
		return fmt.Errorf("%w (and closing failed: %w)", err, closing)
	}
	return err
}

// Format is how many steps of its schema a file has seen; 0: it is empty. A file that is not ours, or newer than we
// are, is event.ErrFormat.
func (c *Conn) Format(tables Schema) (int, error) {
	app, err := c.Pragma("application_id")
	if err != nil {
		return 0, err
	}
	version, err := c.Pragma("user_version")
	if err != nil {
		return 0, err
	}
	count := int64(0)
	err = c.Query("SELECT count(*) FROM sqlite_schema", func(r Row) error { count = r.Int64(0); return nil })
	switch {
	case err != nil:
		return 0, err
	case app == "0" && version == "0" && count == 0:
		return 0, nil
	case app != strconv.Itoa(applicationID):
		return 0, event.Errorf(event.ErrFormat, "open %s: it is not a Lethe file", c.path)
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 || n > len(tables.Steps) {
		return 0, event.Errorf(event.ErrFormat, "open %s: its format is %s, this version knows %d",
			c.path, version, len(tables.Steps)).Hint("upgrade Lethe")
	}
	return n, nil
}

// upgrade does the steps the file has not seen, and marks it, in one transaction: a crash leaves the file as it was
// or whole.
func (c *Conn) upgrade(tables Schema) error {
	from, err := c.Format(tables)
	if err != nil || from == len(tables.Steps) {
		return err
	}
	var statements []string
	for _, step := range tables.Steps[from:] {
		statements = append(statements, strings.Split(strings.TrimSpace(step), ";\n")...)
	}
	statements = append(statements,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID), fmt.Sprintf("PRAGMA user_version = %d", len(tables.Steps)))
	return c.Transaction(func() error {
		for _, text := range statements {
			if err := c.Exec(strings.TrimSuffix(text, ";")); err != nil {
				return fmt.Errorf("create tables: %w", err)
			}
		}
		return nil
	})
}
