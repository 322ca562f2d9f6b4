package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"connectrpc.com/connect"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/token"
)

// guarded is a world whose server asks for tokens, and one that may do everything.
func guarded(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t, nil, nil)
	secret, _, err := token.New(w.engine, event.SystemClock{}, rand.Reader).Create(t.Context(),
		token.Grant{Label: "first", Scope: token.Scope{Read: true, Append: true, Admin: true}})
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.serve(t, server.Options{})
	return w, secret.Reveal()
}

// TestTokens: a token is made by a client and used by another, and ends both what it does and what it waits for when
// it is revoked.
func TestTokens(t *testing.T) {
	w, first := guarded(t)
	address := "http://" + w.address
	for _, bad := range []string{"", "lethe_x", first + "x"} {
		if _, err := client.Open(t.Context(), address, &client.Options{Token: bad}); !errors.Is(err, event.ErrDenied) {
			t.Errorf("opened with a bad token: %v", err)
		}
	}
	admin := open(t, address, &client.Options{Token: first})
	_, err := admin.Tokens.Create(t.Context(), connect.NewRequest(&lethev1.CreateTokenRequest{Label: "nothing"}))
	if event.Code(err) != "malformed_scope" || !errors.Is(err, event.ErrInvalid) {
		t.Errorf("a token for nothing: %v", err)
	}
	made, err := admin.Tokens.Create(t.Context(), connect.NewRequest(&lethev1.CreateTokenRequest{
		Label: "loans", Kinds: []string{"loan"},
		Permissions: []lethev1.Permission{lethev1.Permission_PERMISSION_READ, lethev1.Permission_PERMISSION_APPEND},
	}))
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, address, &client.Options{Token: made.Msg.GetSecret()})
	who, err := c.Stores.Whoami(t.Context(), connect.NewRequest(new(lethev1.WhoamiRequest)))
	if err != nil || who.Msg.GetStore() != "loans" || who.Msg.GetToken() != made.Msg.GetToken().GetId() {
		t.Errorf("whoami: %v, %v", who, err)
	}
	within(t, c)
	ended := make(chan error, 1)
	for batch, err := range c.As(clerk()).Batches(t.Context(), nil, event.Cursor{}) {
		if err != nil {
			ended <- err
			break
		}
		if !batch.Live {
			continue
		}
		id := made.Msg.GetToken().GetId()
		if _, err := admin.Tokens.Revoke(t.Context(), connect.NewRequest(&lethev1.RevokeTokenRequest{Id: id})); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, event.ErrDenied) {
		t.Errorf("a subscription whose token was revoked: %v", err)
	}
	_, err = c.As(clerk()).Append(t.Context(), event.Stream("loan", "1"), event.Any, event.Draft{Type: "A"})
	if !errors.Is(err, event.ErrDenied) {
		t.Errorf("append with a revoked token: %v", err)
	}
}

// within holds that of many appends only those that the token is not for are refused.
func within(t *testing.T, c *client.Client) {
	t.Helper()
	to := func(kind string) log.Request {
		return log.Request{Writes: []log.Write{
			{Stream: event.Stream(kind, "1"), Expected: event.Any, Events: []event.Draft{{Type: "A"}}}}}
	}
	outcomes := c.As(clerk()).AppendEach(t.Context(), []log.Request{to("loan"), to("application"), to("loan")})
	for i, denied := range []bool{false, true, false} {
		if err := outcomes[i].Err; errors.Is(err, event.ErrDenied) != denied || err != nil != denied {
			t.Errorf("append %d: %v", i, err)
		}
	}
}

// TestSpans: with a tracer calls have spans.
func TestSpans(t *testing.T) {
	w := newWorld(t, nil, nil)
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	defer func() { _ = provider.Shutdown(context.Background()) }()
	open(t, "http://"+w.address, &client.Options{Tracer: provider})
	if spans := recorder.Ended(); len(spans) != 1 || spans[0].Name() != "lethe.v1.LogService/Head" {
		t.Errorf("spans %v", spans)
	}
}
