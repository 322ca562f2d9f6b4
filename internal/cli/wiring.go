package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
)

// opened is a store in use by a command.
type opened struct {
	*client.Client               // of a server, or of services in this process; nil: only the engine is open
	log            *lethe.Store  // the store without services between, where it is in this process; else the client's
	engine         storage.Store // nil: the store is a server's
	where          string        // folder or address
}

// remote tells whether --store names a server's store.
func (a *app) remote() bool {
	return strings.HasPrefix(a.settings.Store, "http://") || strings.HasPrefix(a.settings.Store, "https://")
}

// log opens the log of a folder or a database.
func (a *app) log(ctx context.Context, place, address string, how access) (*lethe.Store, storage.Store, error) {
	engine, created, err := a.engine(ctx, place, address, how)
	if err != nil {
		return nil, nil, err
	}
	store, err := lethe.Open(ctx, engine, kms.None, &lethe.Options{Clock: a.Clock})
	if err != nil {
		return nil, nil, errors.Join(err, engine.Close())
	}
	if created {
		a.out.Say("created store %s", shown(place))
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
		return errors.Join(do(&opened{Client: c, log: c.Store, where: shown(a.settings.Store)}), c.Close())
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
	return errors.Join(do(&opened{Client: c, log: store, engine: engine, where: shown(a.settings.Store)}), c.Close())
}

// withEngine is with for who looks at a folder that may be too damaged to be opened as a log.
func (a *app) withEngine(ctx context.Context, do func(s *opened) error) error {
	engine, _, err := a.engine(ctx, a.settings.Store, "", existing)
	if err != nil {
		return err
	}
	err = do(&opened{engine: engine, where: shown(a.settings.Store)})
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
