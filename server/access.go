package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/token"
	"github.com/lethe-es/lethe/wire"
)

// tenant is a store with what checks its tokens.
type tenant struct {
	Tenant
	keeper *token.Keeper // nil: the store keeps none, and tokens are off
}

// flush writes when tokens were last used. What fails is tried again at the next flush.
func (s *Server) flush(ctx context.Context) error {
	var failed []error
	for _, t := range s.tenants {
		if t.keeper != nil {
			failed = append(failed, t.keeper.Flush(ctx))
		}
	}
	return errors.Join(failed...)
}

// recheck cuts subscriptions whose token another process revoked.
func (s *Server) recheck(ctx context.Context) error {
	var failed []error
	for _, t := range s.tenants {
		if t.keeper != nil {
			failed = append(failed, t.keeper.Recheck(ctx))
		}
	}
	return errors.Join(failed...)
}

// procedure is something that can be called.
type procedure struct {
	name    string
	needs   lethev1.Permission
	connect bool // connect reads and answers it
}

// caller is who calls what, admitted. Every method is one of a caller's, so none runs without admission.
type caller struct {
	*tenant
	server    *Server
	bearer    token.Bearer // the zero one where tokens are off
	procedure procedure
	header    http.Header // of the call
	get       bool        // its message stands in its address
	reply     reply
	code      string // what it came to: see Server.observe
}

type callerKey struct{}

// callerOf is the caller that admission put into the context; nil if there was none, who cannot run anything.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// admitted puts admission in front of a procedure: next gets to see only calls that have a caller.
func (s *Server) admitted(p procedure, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := s.clock.Now()
		c, err := s.admit(r.Context(), p, r.Header)
		if err == nil {
			err = s.guard.pace(c, started)
		}
		o := observed{procedure: p.name, remote: r.RemoteAddr}
		if c != nil {
			o.store, o.token = c.Name, c.bearer.ID
		}
		if err != nil {
			later(w, err)
			o.code = s.refuse(w, r, err)
			s.observe(o)
			return
		}
		c.get = r.Method == http.MethodGet
		c.reply = reply{ResponseWriter: w, entered: !p.connect}
		next.ServeHTTP(&c.reply, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
		if !c.reply.entered {
			c.code = s.refuse(w, r, refusalOf(w, r, c.reply.refused()))
		}
		o.code, o.took = c.code, s.clock.Now().Sub(started)
		s.observe(o)
	})
}

// admit finds the store that a call names and the token it brings, and compares what the token allows with what the
// procedure needs. Errors are event.ErrDenied, or event.ErrInvalid with code store_missing; with a caller where it is
// known who was denied.
func (s *Server) admit(ctx context.Context, p procedure, h http.Header) (*caller, error) {
	t, bearer, err := s.bearer(ctx, h)
	if err != nil {
		return nil, err
	}
	c := &caller{tenant: t, server: s, bearer: bearer, procedure: p, header: h, code: codeOK}
	if !s.allows(bearer.Scope, p.needs) {
		return c, event.Errorf(event.ErrDenied, "call %s: token %s does not allow it", p.name, bearer.ID).
			Hint("use a token with the permission it needs: %s", permissionName(p.needs))
	}
	return c, nil
}

// bearer finds store and token. With tokens on, a store that is not here answers like one that does not know the
// token: names of stores are not to be guessed.
func (s *Server) bearer(ctx context.Context, h http.Header) (*tenant, token.Bearer, error) {
	name, given := storeName(h)
	t := s.tenants[name]
	if !given {
		t = s.only
	}
	if s.options.NoTokens {
		if t == nil {
			return nil, token.Bearer{}, noStore(given)
		}
		return t, token.Bearer{}, nil
	}
	keeper := s.nobody
	if t != nil {
		keeper = t.keeper
	}
	b, err := keeper.Check(ctx, bearerText(h))
	if err == nil {
		return t, b, nil
	}
	if !given && t == nil && event.Code(err) == "token_unknown" {
		err = noStore(given)
	}
	return nil, token.Bearer{}, err
}

func storeName(h http.Header) (name string, given bool) {
	names := h[wire.HeaderStore]
	if len(names) == 0 || len(names) == 1 && names[0] == "" {
		return "", false
	}
	return strings.Join(names, ","), true // several are the name of none
}

func noStore(given bool) error {
	if given {
		return &event.Error{Sentinel: event.ErrNotFound, Code: "store_unknown",
			Message: "call: header " + wire.HeaderStore + " names no store of this server"}
	}
	return event.Invalid("store_missing", "call: this server has several stores and header %s names none",
		wire.HeaderStore).Hint("send %s: NAME", wire.HeaderStore)
}

// bearerText is the token in header Authorization; "" if there is none. Several are one that is malformed.
func bearerText(h http.Header) string {
	const scheme = "Bearer "
	text := ""
	switch values := h["Authorization"]; len(values) {
	case 0:
	case 1:
		text = values[0]
	default:
		return strings.Join(values, ",")
	}
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return ""
	}
	return strings.TrimLeft(text[len(scheme):], " ")
}

// allows fails closed: a procedure that names no permission is for nobody, even where tokens are off.
func (s *Server) allows(scope token.Scope, needs lethev1.Permission) bool {
	if s.options.NoTokens {
		scope = token.Scope{Read: true, Append: true, Admin: true, Open: true}
	}
	return needs == lethev1.Permission_PERMISSION_ANY || needs != lethev1.Permission_PERMISSION_UNSPECIFIED &&
		slices.Contains(permissions(scope), needs)
}

// permissions are those of a scope, as messages name them.
func permissions(scope token.Scope) (list []lethev1.Permission) {
	if scope.Read {
		list = append(list, lethev1.Permission_PERMISSION_READ)
	}
	if scope.Append {
		list = append(list, lethev1.Permission_PERMISSION_APPEND)
	}
	if scope.Admin {
		list = append(list, lethev1.Permission_PERMISSION_ADMIN)
	}
	if scope.Open {
		list = append(list, lethev1.Permission_PERMISSION_OPEN)
	}
	return list
}

func permissionName(p lethev1.Permission) string {
	return strings.ToLower(strings.TrimPrefix(p.String(), "PERMISSION_"))
}

// kind refuses what reaches a kind of streams that the token does not.
func (c *caller) kind(verb string, stream event.StreamID) error {
	if c.bearer.AllowsKind(stream.Kind) {
		return nil
	}
	return event.Errorf(event.ErrDenied, "%s stream of kind %s: token %s is for other kinds of streams", verb, stream.Kind,
		c.bearer.ID).Hint("ask Whoami for the kinds")
}

// actor is who acts: who the message names, else the token.
func (c *caller) actor(text string) (event.Actor, error) {
	switch {
	case text != "":
		return wire.ParseActor(text)
	case c.bearer.ID == "":
		return event.Actor{}, nil
	}
	return event.Actor{Kind: "token", ID: event.ActorID(c.bearer.ID)}, nil
}

// noTokens are the tokens of a store that is not here.
type noTokens struct{}

func (noTokens) Token(_ context.Context, id string) (storage.Token, error) {
	return storage.Token{}, event.Errorf(event.ErrNotFound, "find token %s: no such token", id)
}

func (noTokens) Tokens(context.Context) ([]storage.Token, error) { return nil, nil }

func (noTokens) AddToken(context.Context, storage.Token) error { return event.ErrUnsupported }

func (noTokens) RevokeToken(_ context.Context, id string, _ int64) (storage.Token, error) {
	return storage.Token{}, event.Errorf(event.ErrNotFound, "revoke token %s: no such token", id)
}

func (noTokens) UseTokens(context.Context, map[string]int64) error { return nil }
