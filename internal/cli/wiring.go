package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	zombiezen "zombiezen.com/go/sqlite"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// opened is a store in use by a command.
type opened struct {
	*lethe.Store // nil: only the engine is open
	engine       storage.Store
	dir          string
}

// access says what a command may do to a store that is not there.
type access bool

const (
	existing access = false // the store must be there
	creating access = true  // it is made
)

// engine opens what keeps the store that --store names, with the driver it needs. The log on it is not opened.
func (a *app) engine(ctx context.Context, how access) (s *opened, created bool, err error) {
	dir := a.settings.Store
	if scheme, _, ok := strings.Cut(dir, "://"); ok {
		return nil, false, event.Errorf(event.ErrUnsupported,
			"open store: addresses that begin with %s:// do not work yet", scheme).Hint("name a folder, such as --store ./data")
	}
	_, err = os.Stat(filepath.Join(dir, "events.db"))
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, false, fmt.Errorf("open store: %w", err)
	}
	if missing && how == existing {
		return nil, false, event.Errorf(event.ErrNotFound, "open store: there is no store in folder %s", dir).
			Hint("name another with --store, or create it by a first lethe event append or lethe import")
	}
	engine, err := sqlite.Open(ctx, dir, &sqlite.Options{Indexed: a.settings.Indexed})
	if err != nil {
		return nil, false, err
	}
	return &opened{engine: engine, dir: dir}, missing, nil
}

// with opens the store, hands it to do, and closes it.
func (a *app) with(ctx context.Context, how access, do func(s *opened) error) error {
	s, created, err := a.engine(ctx, how)
	if err != nil {
		return err
	}
	if s.Store, err = lethe.Open(ctx, s.engine, kms.None, &lethe.Options{Clock: a.Clock}); err != nil {
		return errors.Join(err, s.engine.Close())
	}
	if created {
		a.out.Say("created store %s", s.dir)
	}
	return s.use(do)
}

// withEngine is with for who looks at a store that may be too damaged to be opened as a log.
func (a *app) withEngine(ctx context.Context, do func(s *opened) error) error {
	s, _, err := a.engine(ctx, existing)
	if err != nil {
		return err
	}
	return s.use(do)
}

func (s *opened) use(do func(s *opened) error) (err error) {
	defer func() {
		if closing := s.engine.Close(); err == nil && closing != nil {
			err = fmt.Errorf("close store: %w", closing)
		}
	}()
	return do(s)
}

// reindex builds the index of the store anew.
func (s *opened) reindex(ctx context.Context) error {
	engine, ok := s.engine.(interface{ Reindex(context.Context) error })
	if !ok {
		return event.Errorf(event.ErrUnsupported, "rebuild index: this engine has none to rebuild")
	}
	return engine.Reindex(ctx)
}

// sqliteVersion is the version of the SQLite inside this binary.
func sqliteVersion() string { return sqlite3.SQLITE_VERSION }

// inspect asks SQLite about the file of an open store, over a connection of its own that only reads.
func (s *opened) inspect() (settings map[string]string, fault string, err error) {
	conn, err := zombiezen.OpenConn(filepath.Join(s.dir, "events.db"), zombiezen.OpenReadOnly)
	if err != nil {
		return nil, "", fmt.Errorf("inspect store: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ask := func(pragma string) string {
		stmt, _, failure := conn.PrepareTransient("PRAGMA " + pragma)
		if failure != nil {
			err = errors.Join(err, failure)
			return ""
		}
		defer func() { err = errors.Join(err, stmt.Finalize()) }()
		if _, failure := stmt.Step(); failure != nil {
			err = errors.Join(err, failure)
			return ""
		}
		return stmt.ColumnText(0)
	}
	settings = make(map[string]string)
	for _, name := range []string{"journal_mode", "page_size", "user_version"} {
		settings[name] = ask(name)
	}
	if answer := ask("quick_check(1)"); answer != "ok" {
		fault = answer
	}
	return settings, fault, err
}
