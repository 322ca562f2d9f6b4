package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/office"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/phrase"
	"github.com/lethe-es/lethe/internal/setting"
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
func (a *app) remote() bool { return opening.Remote(a.settings.Store) }

// code is what reads, as the record of uses names it.
func code() string { return "lethe " + thisBuild().Version }

// opener opens stores of this process.
func (a *app) opener() *opening.Opener {
	return &opening.Opener{Settings: &a.settings, Clock: a.Clock, Code: code()}
}

// open opens the store at a place.
func (a *app) open(ctx context.Context, p opening.Place, how opening.Access) (*opening.Store, error) {
	s, err := a.opener().Store(ctx, p, how)
	if err == nil && s.Created {
		a.out.Say("created store %s", opening.Shown(p.Name))
	}
	return s, err
}

// opens finds out what flags open, and who opens it: at a server it may be the token.
func (a *app) opens(flags *phrase.Opening) (o event.Opening, err error) {
	if o, err = flags.Parse(); err != nil || o.IsZero() {
		return o, err
	}
	o.Code = code()
	switch {
	case !o.Actor.IsZero():
	case a.settings.Actor != "":
		o.Actor, err = phrase.ParseActor(a.settings.Actor)
	case !a.remote() || a.settings.Token == "" && a.settings.TokenFile == "":
		err = event.Invalid("actor_missing", "open personal data: nobody is named who opens it").
			Hint("name yourself: --actor employee/7, or LETHE_ACTOR=employee/7")
	}
	return o, err
}

// with opens the store, hands it to do, and closes it. A folder has no server: its services run in this process, so
// that every command says the same to both.
func (a *app) with(ctx context.Context, how opening.Access, do func(s *opened) error) (err error) {
	if a.opening, err = a.opens(&a.purpose); err != nil {
		return err
	}
	if a.remote() {
		c, err := a.dial(ctx)
		if err != nil {
			return err
		}
		return errors.Join(do(&opened{Client: c, log: c.Store, where: opening.Shown(a.settings.Store)}), c.Close())
	}
	store, err := a.open(ctx, opening.Place{Name: a.settings.Store}, how)
	if err != nil {
		return err
	}
	defer func() {
		if closing := store.Close(); err == nil && closing != nil {
			err = fmt.Errorf("close store: %w", closing)
		}
	}()
	tenant := server.Tenant{Name: mainStore, Store: store.Store, Tokens: store.Engine}
	handlers, err := server.New([]server.Tenant{tenant}, server.Options{
		NoTokens: true, Version: thisBuild().Version, Clock: a.Clock,
		Logger: slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handlers.Close()) }()
	c, err := client.Open(ctx, "http://"+mainStore, &client.Options{
		Transport: handlers.Transport(), Clock: a.Clock, Retry: -1, // nothing comes back by waiting: it is all here
	})
	if err != nil {
		return err
	}
	s := &opened{Client: c, log: store.Store, engine: store.Engine, where: opening.Shown(a.settings.Store)}
	return errors.Join(do(s), c.Close())
}

// office is the commands about what may be held of persons.
func (a *app) office() *office.Office {
	return &office.Office{
		Out: &a.out, Stdin: a.Stdin, Clock: a.Clock, Notations: opening.Notations(),
		Languages: opening.Languages(), Group: group, Want: want, Opening: a.opens,
		Events: func(o event.Opening, events func(yield func(event.Event, error) bool)) error {
			a.opening = o
			return a.showEvents(events)
		},
		Open: func(ctx context.Context, create bool, do func(c *client.Client) error) error {
			return a.with(ctx, opening.Access(create), func(s *opened) error { return do(s.Client) })
		},
		Absent: func(err error) bool { return errors.Is(err, opening.ErrNoStore) },
	}
}

// withEngine is with for who looks at a folder that may be too damaged to be opened as a log.
func (a *app) withEngine(ctx context.Context, do func(s *opened) error) error {
	engine, _, err := a.opener().Engine(ctx, opening.Place{Name: a.settings.Store}, opening.Existing)
	if err != nil {
		return err
	}
	err = do(&opened{engine: engine, where: opening.Shown(a.settings.Store)})
	if closing := engine.Close(); err == nil && closing != nil {
		err = fmt.Errorf("close store: %w", closing)
	}
	return err
}

// dial opens the store of a server. Whether anybody is there shows at once; calls after that are made again while the
// server is away for a moment.
func (a *app) dial(ctx context.Context) (*client.Client, error) {
	for key, what := range map[string][2]string{
		setting.Indexed: {"metadata keys are", "declare them"}, setting.KMS: {"key service is", "name it"},
		setting.Keystore: {"keystore is", "name it"},
	} {
		if strings.HasPrefix(a.settings.Source(key), "flag ") {
			return nil, event.Errorf(event.ErrUnsupported, "open store: a server's %s not changed from afar", what[0]).
				Hint("%s where the server runs", what[1])
		}
	}
	token, err := a.settings.Bearer()
	if err != nil {
		return nil, err
	}
	o := client.Options{Token: token, Clock: a.Clock, Retry: -1}
	if o.TLS, err = a.opener().Trust(); err != nil {
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

// reindex builds the index of the store anew.
func (s *opened) reindex(ctx context.Context) error {
	engine, ok := s.engine.(interface{ Reindex(context.Context) error })
	if !ok {
		return event.Errorf(event.ErrUnsupported, "rebuild index: this engine has none to rebuild")
	}
	return engine.Reindex(ctx)
}
