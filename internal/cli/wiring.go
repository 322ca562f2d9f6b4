package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	zombiezen "zombiezen.com/go/sqlite"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/storage/sqlite"
)

// opened is a store in use by a command.
type opened struct {
	*client.Client               // of a server, or of services in this process; nil: only the engine is open
	log            *lethe.Store  // the store without services between, where it is in this process; else the client's
	engine         storage.Store // nil: the store is a server's
	where          string        // folder or address
}

// access says what a command may do to a store that is not there.
type access bool

const (
	existing access = false // the store must be there
	creating access = true  // it is made
)

// remote tells whether --store names a server's store.
func (a *app) remote() bool {
	return strings.HasPrefix(a.settings.Store, "http://") || strings.HasPrefix(a.settings.Store, "https://")
}

// folder opens what keeps the store in a folder, with the driver it needs; address is where a server of this process
// gives it out. The log on it is not opened.
func (a *app) folder(ctx context.Context, dir, address string, how access) (e storage.Store, created bool, err error) {
	if scheme, _, ok := strings.Cut(dir, "://"); ok {
		return nil, false, event.Errorf(event.ErrUnsupported, "open store: %s:// is not a store's address here", scheme).
			Hint("name a folder, such as --store ./data, or a server, such as --store http://127.0.0.1:7070")
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
	engine, err := sqlite.Open(ctx, dir, &sqlite.Options{Indexed: a.settings.Indexed, Address: address})
	if err != nil {
		return nil, false, err
	}
	return engine, missing, nil
}

// log opens the log of a folder.
func (a *app) log(ctx context.Context, dir, address string, how access) (*lethe.Store, storage.Store, error) {
	engine, created, err := a.folder(ctx, dir, address, how)
	if err != nil {
		return nil, nil, err
	}
	store, err := lethe.Open(ctx, engine, kms.None, &lethe.Options{Clock: a.Clock})
	if err != nil {
		return nil, nil, errors.Join(err, engine.Close())
	}
	if created {
		a.out.Say("created store %s", dir)
	}
	return store, engine, nil
}

// with opens the store, hands it to do, and closes it. A folder has no server: its services run in this process, so
// that every command says the same to both.
func (a *app) with(ctx context.Context, how access, do func(s *opened) error) (err error) {
	if a.remote() {
		c, err := a.dial(ctx)
		if err != nil {
			return err
		}
		return errors.Join(do(&opened{Client: c, log: c.Store, where: a.settings.Store}), c.Close())
	}
	store, engine, err := a.log(ctx, a.settings.Store, "", how)
	if err != nil {
		return err
	}
	defer func() {
		if closing := store.Close(); err == nil && closing != nil {
			err = fmt.Errorf("close store: %w", closing)
		}
	}()
	handlers, err := server.New([]server.Tenant{{Name: mainStore, Store: store, Tokens: engine}}, server.Options{
		NoTokens: true, Version: thisBuild().Version, Clock: a.Clock,
		Logger: slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handlers.Close()) }()
	c, err := client.Open(ctx, "http://"+mainStore, &client.Options{Transport: handlers.Transport(), Clock: a.Clock})
	if err != nil {
		return err
	}
	return errors.Join(do(&opened{Client: c, log: store, engine: engine, where: a.settings.Store}), c.Close())
}

// withEngine is with for who looks at a folder that may be too damaged to be opened as a log.
func (a *app) withEngine(ctx context.Context, do func(s *opened) error) error {
	engine, _, err := a.folder(ctx, a.settings.Store, "", existing)
	if err != nil {
		return err
	}
	err = do(&opened{engine: engine, where: a.settings.Store})
	if closing := engine.Close(); err == nil && closing != nil {
		err = fmt.Errorf("close store: %w", closing)
	}
	return err
}

// dial opens the store of a server. Whether anybody is there shows at once; calls after that are made again while the
// server is away for a moment.
func (a *app) dial(ctx context.Context) (*client.Client, error) {
	if strings.HasPrefix(a.settings.Source(setting.Indexed), "flag ") {
		return nil, event.Errorf(event.ErrUnsupported, "open store: a server's metadata keys are not changed from afar").
			Hint("declare them where the server runs")
	}
	token, err := a.settings.Bearer()
	if err != nil {
		return nil, err
	}
	o := client.Options{Token: token, Clock: a.Clock, Retry: -1}
	if o.TLS, err = a.trust(); err != nil {
		return nil, err
	}
	first, err := client.Open(ctx, a.settings.Store, &o)
	if event.Code(err) == "unavailable" {
		message, _ := split(err)
		return nil, event.Errorf(event.ErrUnavailable, "%s", message).
			Hint("check the address, or start a server there: lethe serve")
	}
	if err != nil {
		return nil, err
	}
	defer first.Close()
	o.Retry = 0
	return client.Open(ctx, a.settings.Store, &o)
}

// trust is whom the machine trusts, and those of the setting ca_file; nil: only the former.
func (a *app) trust() (*tls.Config, error) {
	if a.settings.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(a.settings.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, event.Invalid("malformed_certificate", "read certificates: file %s holds none in PEM", a.settings.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
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
	conn, err := zombiezen.OpenConn(filepath.Join(s.where, "events.db"), zombiezen.OpenReadOnly)
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
