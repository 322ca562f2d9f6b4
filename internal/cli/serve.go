package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/host"
	"github.com/lethe-es/lethe/internal/opening"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// mainStore is the name of a store that was given none.
const mainStore = "main"

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Give stores out to other programs", Args: want(),
		Long: `Serves one store or several on one port: gRPC, gRPC-Web, Connect and JSON for programs,
server-sent events for browsers and curl, /healthz, /readyz, /metrics and /openapi.json.
While it runs it holds the folders; every command works on them by --store http://….

A call shows a token (lethe token create) of the store it is for. The first one is made on
this machine before the server starts, since it holds the folder. Beyond this machine it
listens only with TLS and tokens.

A folder without a store is refused, so that a mistyped path does not become an empty store;
--create makes it.

SIGTERM or an interrupt drains: /readyz says no, subscriptions end and are resumed elsewhere,
open calls are finished, stores closed. A second one ends it at once.

Traces are sent where OTEL_EXPORTER_OTLP_ENDPOINT says. More limits are settings of the
configuration: lethe config --help.`,
		Example: `  lethe token create --store ./data --admin --read --append
  lethe serve --store ./data
  lethe serve --store loans=/srv/loans --store crm=/srv/crm --listen :7070 \
      --tls-cert cert.pem --tls-key key.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.serve(cmd.Context())
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // it was told to end before it had begun
			}
			return err
		},
	}
	a.flags.RegisterServe(cmd.Flags())
	return cmd
}

// hosted are stores behind a door.
type hosted struct {
	app     *app
	socket  *host.Socket
	names   []string
	stores  []*opening.Store
	tenants []server.Tenant
}

func (a *app) serve(ctx context.Context) (err error) {
	o := &a.settings.Serve
	stores, err := a.served()
	if err != nil {
		return err
	}
	logger, err := host.Logger(a.Stderr, o.LogLevel, o.LogFormat)
	if err != nil {
		return err
	}
	h := &hosted{app: a}
	door := host.Door{Listen: o.Listen, Cert: o.Cert, Key: o.Key, NoTokens: o.NoTokens, File: o.AddressFile}
	if h.socket, err = door.Open(ctx); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer func() { err = errors.Join(err, h.close()) }()
	for _, s := range stores {
		place, err := h.place(s, len(stores) > 1)
		if err != nil {
			return err
		}
		if err := h.open(ctx, s.name, place, opening.Access(o.Create)); err != nil {
			return err
		}
	}
	traces, closeTraces, err := host.Traces(ctx, a.Environ, thisBuild().Version, logger)
	if err != nil {
		return err
	}
	defer closeTraces()
	srv, err := server.New(h.tenants, server.Options{
		NoTokens: o.NoTokens, Version: thisBuild().Version, Origins: o.Origins, Logger: logger, Tracer: traces,
		Clock: a.Clock, Limits: limits(o),
	})
	if err != nil {
		return err
	}
	if err := h.announce(ctx, logger); err != nil {
		return err
	}
	return srv.Serve(ctx, h.socket, h.socket.TLS)
}

func limits(o *setting.Serve) server.Limits {
	return server.Limits{
		MessageBytes: o.MaxMessageBytes, BufferBytes: o.MaxBufferBytes, Calls: o.MaxCalls, Streams: o.MaxStreams,
		StreamsOfToken: o.MaxStreamsOfToken, Rate: o.Rate, Burst: o.Burst, Connections: o.MaxConnections,
		Header: o.Header, Body: o.Body, Stall: o.Stall, Heartbeat: o.Heartbeat, Drain: o.Drain,
	}
}

// named is a folder or a database, and under which name its store is served.
type named struct{ name, folder string }

// served are the stores that the settings name.
func (a *app) served() ([]named, error) {
	given := a.settings.Serve.Stores
	if len(given) == 0 {
		given = []string{a.settings.Store}
	}
	var list []named
	for _, text := range given {
		name, folder, ok := strings.Cut(text, "=")
		if !ok || strings.Contains(name, "://") { // an address has = in itself
			name, folder, ok = mainStore, text, false
		}
		again := func(s named) bool { return s.name == name || opening.Same(s.folder, folder) }
		switch {
		case strings.Contains(folder, "://") && !opening.Database(folder):
			scheme, _, _ := strings.Cut(folder, "://") // the rest may hold a password
			return nil, event.Invalid("usage", "serve: %s:// is neither a folder nor a database", scheme).
				Hint("name one, such as --store ./data")
		case !ok && len(given) > 1:
			return nil, event.Invalid("usage", "serve: of several stores each needs a name").
				Hint("give --store NAME=FOLDER for each")
		case folder == "" || !wire.StoreName(name):
			return nil, event.Invalid("usage", "serve: want --store NAME=FOLDER, the name of lower-case letters, digits and -")
		case slices.ContainsFunc(list, again):
			return nil, event.Invalid("usage", "serve: a name or a folder is given twice")
		}
		list = append(list, named{name, folder})
	}
	return list, nil
}

// place is where a store and its keys are. Of several stores each has a keystore of its own.
func (h *hosted) place(s named, several bool) (opening.Place, error) {
	p := opening.Place{Name: s.folder, Address: h.socket.Address}
	if several {
		p.Address += "/" + s.name
	}
	switch keys := h.app.settings.Keys; {
	case keys == "" || !several:
	case opening.Database(keys):
		return p, event.Invalid("usage", "serve: several stores cannot have one keystore in a database").
			Hint("leave --keys away: each is then beside its log; or name a folder")
	default:
		p.Keys = filepath.Join(keys, s.name)
	}
	return p, nil
}

// open opens a store under a name. Its lock says where it is served: who finds the folder held finds the server.
func (h *hosted) open(ctx context.Context, name string, p opening.Place, how opening.Access) error {
	store, err := h.app.open(ctx, p, how)
	if errors.Is(err, opening.ErrNoStore) {
		what := "path"
		if opening.Database(p.Name) {
			what = "address"
		}
		err = opening.Missing("serve "+name, p.Name, "check the "+what+", or make a store with --create")
	}
	if err != nil {
		return err
	}
	h.names = append(h.names, name+" in "+opening.Shown(p.Name))
	h.stores = append(h.stores, store)
	h.tenants = append(h.tenants, server.Tenant{Name: name, Store: store.Store, Tokens: store.Engine})
	return nil
}

func (h *hosted) close() error {
	err := h.socket.Shut()
	for i, s := range h.stores {
		if closing := s.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("close store %s: %w", h.tenants[i].Name, closing))
		}
	}
	return err
}

// announce says what is served, where, and what stands open: to people in sentences, to a log of JSON in a record.
func (h *hosted) announce(ctx context.Context, logger *slog.Logger) error {
	o := &h.app.settings.Serve
	text := o.LogFormat != "json"
	if text {
		h.app.out.Say("lethe %s serves %s at %s", thisBuild().Version, strings.Join(h.names, ", "), h.socket.Address)
	} else {
		logger.Info("opened", "version", thisBuild().Version, "address", h.socket.Address, "stores", h.names,
			"tls", h.socket.TLS != nil, "tokens", !o.NoTokens)
	}
	warn := func(sentence string) {
		if text {
			h.app.out.Say("%s", sentence)
			return
		}
		logger.Warn(sentence)
	}
	switch {
	case o.NoTokens && h.socket.TLS == nil:
		warn("TLS and tokens are off: every program on this machine may do everything; no other machine gets in")
	case o.NoTokens:
		warn("tokens are off: every program on this machine may do everything; no other machine gets in")
	case h.socket.TLS == nil:
		warn("TLS is off, tokens are on; no other machine gets in")
	case text:
		h.app.out.Say("TLS and tokens are on")
	}
	for i, t := range h.tenants {
		governed, err := h.governed(ctx, t.Tokens)
		if err != nil {
			return err
		}
		if !governed && !o.NoTokens {
			_, folder, _ := strings.Cut(h.names[i], " in ")
			warn("store " + t.Name + " has no admin token; stop the server and make one: lethe token create --store " +
				folder + " --admin --read --append")
		}
	}
	return h.socket.Announce()
}

// governed tells whether there is a token by which others can be made.
func (h *hosted) governed(ctx context.Context, tokens storage.Tokens) (bool, error) {
	list, err := tokens.Tokens(ctx)
	now := event.Micros(h.app.Clock.Now())
	for _, t := range list {
		if t.Admin && t.Revoked == 0 && (t.Expires == 0 || t.Expires > now) {
			return true, err
		}
	}
	return false, err
}
