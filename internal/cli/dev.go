package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/demo"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/host"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/token"
)

// devFlags are the flags of dev.
type devFlags struct {
	demo         bool
	keep, listen string
	addressFile  string
	rate         float64
	people       bool // are in the demo
}

func (a *app) devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use: "dev", Short: "Try Lethe: a throw-away store behind a server", Args: want(),
		Long: `Makes a temporary store, serves it on this machine with a token that may do everything, and
says what to try next. An interrupt ends it, and with it the store, unless --keep names a
folder for it.

With --demo a small bank works in it: loan applications come in, are scored, offered, accepted
or declined, some events every second. What it holds of the people who apply is sealed.`,
		Example: "  lethe dev --demo\n  lethe dev --keep ./data --listen 127.0.0.1:7070",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.dev(cmd.Context(), &f)
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.demo, "demo", false, "let events happen")
	flags.Float64Var(&f.rate, "rate", 5, "with --demo: events per second")
	flags.StringVar(&f.keep, "keep", "", "keep the store in this `folder`")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "`HOST:PORT` to listen on, of this machine")
	flags.StringVar(&f.addressFile, "address-file", "", "`file` that holds the address while calls are answered")
	return cmd
}

func (a *app) dev(ctx context.Context, f *devFlags) (failure error) {
	dir := f.keep
	if dir == "" {
		away, err := os.MkdirTemp("", "lethe-dev-")
		if err != nil {
			return fmt.Errorf("make temporary store: %w", err)
		}
		defer func() { failure = errors.Join(failure, os.RemoveAll(away)) }()
		if dir = filepath.Join(away, "data"); a.settings.Source(setting.KMS) == "default" {
			a.settings.KMS.Address = "local:" + filepath.Join(away, "keys")
		}
	}
	socket, err := (host.Door{Listen: f.listen, File: f.addressFile}).Open(ctx)
	if err != nil {
		return fmt.Errorf("dev: %w", err)
	}
	h := &hosted{app: a, socket: socket}
	defer func() { failure = errors.Join(failure, h.close()) }()
	place := opening.Place{Name: dir, Address: socket.Address}
	if err := h.open(ctx, mainStore, place, opening.Creating); err != nil {
		return err
	}
	tenant := h.tenants[0]
	secret, _, err := token.New(tenant.Tokens, a.Clock, rand.Reader).Create(ctx,
		token.Grant{Label: "lethe dev", Scope: token.Scope{Read: true, Append: true, Admin: true, Open: true}})
	if err != nil {
		return err
	}
	logger, err := host.Logger(a.Stderr, "warn", "text")
	if err != nil {
		return err
	}
	srv, err := server.New(h.tenants, server.Options{
		Version: thisBuild().Version, Clock: a.Clock, Logger: logger, Limits: server.Limits{Drain: 2 * time.Second},
	})
	if err != nil {
		return err
	}
	if f.demo {
		if f.people, err = a.bank(ctx, tenant.Store); err != nil {
			return err
		}
	}
	if err := a.showDev(f, h.socket.Address, secret); err != nil {
		return err
	}
	if err := h.socket.Announce(); err != nil {
		return err
	}
	return h.live(ctx, srv, f, tenant.Store.As(event.Actor{}))
}

// bank makes the store that of the demo, with what happened before anybody looks. It says whether people are in it:
// not without a key service, nor where applications without people were kept from earlier.
func (a *app) bank(ctx context.Context, store *lethe.Store) (people bool, err error) {
	past, err := demo.Generate(demoSeed, 20)
	if err != nil {
		return false, err
	}
	if store.Keeper() != nil {
		err = demo.Declare(ctx, store)
		switch people = err == nil; {
		case people:
			past = demo.WithPeople(past)
		case event.Code(err) == "kind_in_use":
			a.out.Say("the store holds applications without people, and goes on without them")
		default:
			return false, err
		}
	}
	_, err = demo.PlayAll(ctx, store.As(event.Actor{}), past)
	return people, err
}

// demoSeed is the world of the demo: the past and what goes on are of one.
const demoSeed = 1

// live serves, and lets events happen meanwhile.
func (h *hosted) live(ctx context.Context, srv *server.Server, f *devFlags, session *lethe.Session) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	played := make(chan error, 1)
	go func() {
		var err error
		if f.demo {
			err = demo.Play(ctx, session, demo.Options{Seed: demoSeed, Rate: f.rate, People: f.people, Clock: h.app.Clock})
		}
		if ctx.Err() != nil {
			err = nil
		}
		if err != nil {
			stop()
		}
		played <- err
	}()
	err := srv.Serve(ctx, h.socket, nil)
	stop()
	return errors.Join(err, <-played)
}

// showDev says where it is and what to try.
func (a *app) showDev(f *devFlags, address string, secret token.Secret) error {
	if a.settings.Output != show.Table {
		return a.out.Single(struct {
			Address string `json:"address"`
			Token   string `json:"token"`
		}{address, secret.Reveal()}, show.Field{"address", address}, show.Field{"token", secret.Reveal()})
	}
	end := "An interrupt (Ctrl-C) ends it, and the store with it."
	if f.keep != "" {
		end = "An interrupt (Ctrl-C) ends it; the store stays in " + f.keep + "."
	}
	data, look := `{"amount": 20000}`, "  lethe stream show application/mine\n"
	if f.people {
		data = `{"customer": "c-1", "name": "Jo Doe", "birth_date": "1990-01-31", "email": "jo@example.org", ` +
			`"income": 42000, "amount": 20000, "purpose": "car"}`
		look += "  lethe stream show application/mine --purpose support --reason \"ticket 7\" --actor employee/" +
			string(demo.Clerks()[0]) + "\n"
	}
	_, err := fmt.Fprintf(a.Stdout, `Lethe serves a store to try things with at %[1]s
%[3]s In another terminal:

  export LETHE_STORE=%[1]s
  export LETHE_TOKEN=%[2]s

  lethe event tail --follow
  lethe event append --stream application/mine --type ApplicationRegistered --data '%[4]s'
%[5]s  curl -N -H "Authorization: Bearer $LETHE_TOKEN" "$LETHE_STORE/v1/events"

`, address, secret.Reveal(), end, data, look)
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
