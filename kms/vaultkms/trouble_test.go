package vaultkms_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/vaultkms"
)

// answering disturbs every request in the same way.
func answering(status int, body string) func(*rig, *testing.T) {
	return func(r *rig, _ *testing.T) {
		r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		})
	}
}

type trouble struct {
	prepare func(*rig, *testing.T)
	kind    error
	code    string
	gist    string // what the sentence says
}

func troubles() map[string]trouble {
	away, denied := event.ErrUnavailable, event.ErrDenied
	errors := func(status int, texts ...string) func(*rig, *testing.T) {
		return func(r *rig, _ *testing.T) {
			r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
				kmstest.VaultErrors(w, status, texts...)
				return true
			})
		}
	}
	return map[string]trouble{
		"sealed":        {errors(503, "Vault is sealed"), away, kms.CodeUnavailable, "sealed"},
		"not ready":     {errors(503, "local node not active"), away, kms.CodeUnavailable, "503"},
		"behind":        {errors(412, "required index state not present"), away, kms.CodeUnavailable, "412"},
		"rate limit":    {errors(429, "request path rate limit quota exceeded"), away, kms.CodeUnavailable, "too many"},
		"broken":        {errors(500, "internal error: "+secret), away, kms.CodeUnavailable, "500"},
		"bad gateway":   {answering(502, "<html>bad gateway</html>"), away, kms.CodeUnavailable, "502"},
		"bad request":   {errors(400, "failed to parse JSON"), away, kms.CodeUnavailable, "400"},
		"teapot":        {errors(418), away, kms.CodeUnavailable, "418"},
		"denied":        {errors(403, "1 error occurred:\n\t* permission denied\n\n"), denied, kms.CodeDenied, "right"},
		"not a vault":   {answering(404, "<html>not found</html>"), away, kms.CodeMount, "transit"},
		"empty 404":     {answering(404, ""), away, kms.CodeMount, "transit"},
		"null 404":      {answering(404, `{"errors":null}`), away, kms.CodeMount, "transit"},
		"no route":      {errors(404, `no handler for route "transit/keys/root".`), away, kms.CodeMount, "mount"},
		"other engine":  {errors(405, "1 error occurred:\n\t* unsupported operation\n\n"), away, kms.CodeMount, "transit"},
		"login page":    {answering(200, "<html>please log in</html>"), away, kms.CodeUnavailable, "no sense"},
		"nothing":       {answering(200, ""), away, kms.CodeUnavailable, "no sense"},
		"no content":    {answering(204, ""), away, kms.CodeUnavailable, "no sense"},
		"empty object":  {answering(200, "{}"), away, kms.CodeUnavailable, "no sense"},
		"null":          {answering(200, "null"), away, kms.CodeUnavailable, "no sense"},
		"other key":     {answering(200, `{"data":{"name":"other","keys":{"1":1}}}`), away, kms.CodeUnavailable, "no sense"},
		"no such times": {answering(200, `{"data":{"name":"root","keys":{"x":1}}}`), away, kms.CodeUnavailable, "no sense"},
		"huge":          {answering(200, `{"data":"`+strings.Repeat("a", 5<<20)+`"}`), away, kms.CodeUnavailable, "4 MiB"},
		"deep":          {answering(200, strings.Repeat("[", 1<<20)), away, kms.CodeUnavailable, "no sense"},
		"cut off": {func(r *rig, _ *testing.T) {
			r.vault.Disturb(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
		}, away, kms.CodeUnavailable, "broke"},
		"cut short": {func(r *rig, _ *testing.T) {
			r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, `{"data":`)
				return true
			})
		}, away, kms.CodeUnavailable, "broke"},
		"nobody there": {func(r *rig, _ *testing.T) { r.server.Close() }, away, kms.CodeUnavailable, "cannot be reached"},
		"wrong mount":  {func(r *rig, _ *testing.T) { r.options.Mount = "transid" }, away, kms.CodeMount, "transid"},
		"revoked":      {func(r *rig, _ *testing.T) { r.vault.RevokeAll() }, denied, kms.CodeDenied, "token"},
		"no rights":    {func(r *rig, _ *testing.T) { r.token = r.vault.Token("", 0) }, denied, kms.CodeDenied, "right"},
		"strange token": {func(r *rig, _ *testing.T) { r.token = "line\nX-Vault-Token: other" }, denied, kms.CodeDenied,
			"no token"},
		"no token": {func(r *rig, _ *testing.T) { r.token = " \n" }, denied, kms.CodeDenied, "no token"},
	}
}

// TestTrouble: whatever is wrong with the server, every call says what it is, nothing is destroyed, nothing is shown.
func TestTrouble(t *testing.T) {
	for what, trouble := range troubles() {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			wrapped(t, r.open(t), "root")
			trouble.prepare(r, t)
			k := r.open(t)
			for call, err := range calls(t.Context(), k, "root") {
				if !errors.Is(err, trouble.kind) || event.Code(err) != trouble.code ||
					!strings.Contains(fmt.Sprint(err), trouble.gist) {
					t.Errorf("%s: got %v (%s), want %s with %q", call, err, event.Code(err), trouble.code, trouble.gist)
				}
				silent(t, call, err, r.token)
			}
			if err := k.Check(t.Context()); !errors.Is(err, trouble.kind) || event.Code(err) != trouble.code {
				t.Errorf("check: %v", err)
			}
		})
	}
}

// TestOtherEngine: a key-value engine takes what it is told and gives it back; that is no key.
func TestOtherEngine(t *testing.T) {
	r := newRig(t)
	r.vault.Mount("kv", "kv")
	r.options.Mount = "kv"
	k := r.open(t)
	for range 2 {
		for call, err := range calls(t.Context(), k, "root") {
			if err == nil || event.Code(err) == kms.CodeDestroyed {
				t.Errorf("%s at a key-value engine: %v", call, err)
			}
		}
	}
	if slices.ContainsFunc(r.vault.Requests(), func(s string) bool { return strings.HasPrefix(s, "DELETE") }) {
		t.Error("something was deleted from a key-value engine")
	}
}

// TestRedirect: a standby node points elsewhere. Nothing follows, least of all the token.
func TestRedirect(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	r := newRig(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.vault.Disturb(func(w http.ResponseWriter, request *http.Request) bool {
			http.Redirect(w, request, elsewhere.URL+request.URL.Path, status)
			return true
		})
		for call, err := range calls(t.Context(), r.open(t), "root") {
			if event.Code(err) != kms.CodeUnavailable || !strings.Contains(err.Error(), "redirect") {
				t.Errorf("%s with status %d: %v", call, status, err)
			}
			silent(t, call, err, r.token)
		}
	}
	if reached.Load() > 0 {
		t.Errorf("%d requests followed a redirect", reached.Load())
	}
	r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Location", "https://"+r.token+".example.org/"+url.PathEscape(secret))
		w.WriteHeader(307)
		return true
	})
	for call, err := range calls(t.Context(), r.open(t), "root") {
		silent(t, call, err, r.token)
	}
}

// TestPassingTrouble: what passes by itself is waited for, and nothing else is.
func TestPassingTrouble(t *testing.T) {
	for status, want := range map[int]int{500: 3, 502: 3, 503: 3, 429: 3, 412: 3, 403: 1, 404: 1, 405: 1, 418: 1, 301: 1} {
		r := newRig(t)
		k := r.open(t)
		wrapped(t, k, "root")
		count := 0
		r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
			count++
			kmstest.VaultErrors(w, status, "trouble")
			return true
		})
		if _, err := k.State(t.Context(), "root"); err == nil || count != want {
			t.Errorf("status %d: %d attempts, want %d; %v", status, count, want, err)
		}
		left := 2
		r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
			if left--; left < 0 {
				return false
			}
			kmstest.VaultErrors(w, status, "trouble")
			return true
		})
		if state, err := k.State(t.Context(), "root"); (want == 3) != (state == kms.Live && err == nil) {
			t.Errorf("status %d twice: state %d, %v", status, state, err)
		}
	}
}

// TestTimeout: a server that is silent is given up after the time that was asked for, on the clock that was given.
func TestTimeout(t *testing.T) {
	r := newRig(t)
	wrapped(t, r.open(t), "root")
	clock := kmstest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	r.options.Clock, r.options.Timeout = clock, 7*time.Second
	var begun atomic.Int32
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	r.vault.Disturb(func(_ http.ResponseWriter, request *http.Request) bool {
		begun.Add(1)
		select {
		case <-request.Context().Done():
		case <-over:
		}
		return true
	})
	k := r.open(t)
	failed := make(chan error)
	go func() {
		_, err := k.State(t.Context(), "root")
		failed <- err
	}()
	var waits []time.Duration
	for {
		select {
		case d := <-clock.Asked():
			waits = append(waits, d)
			clock.Move(d)
			continue
		case err := <-failed:
			if event.Code(err) != kms.CodeUnavailable || !strings.Contains(err.Error(), "in time") {
				t.Errorf("got %v", err)
			}
		}
		break
	}
	want := []time.Duration{7 * time.Second, 200 * time.Millisecond, 7 * time.Second, time.Second, 7 * time.Second}
	if !slices.Equal(waits, want) || begun.Load() > 3 {
		t.Errorf("waited %v and asked %d times, want %v and at most 3", waits, begun.Load(), want)
	}
}

// TestContextEndsMeanwhile: a caller that gives up does not wait for the server, and not for the pause either.
func TestContextEndsMeanwhile(t *testing.T) {
	r := newRig(t)
	k := r.open(t)
	wrapped(t, k, "root")
	ctx, cancel := context.WithCancel(t.Context())
	r.vault.Disturb(func(_ http.ResponseWriter, request *http.Request) bool {
		cancel()
		<-request.Context().Done()
		return true
	})
	if _, err := k.State(ctx, "root"); !errors.Is(err, context.Canceled) || !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("while the server is silent: %v", err)
	}
	clock := kmstest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	r.options.Clock = clock
	ctx, cancel = context.WithCancel(t.Context())
	r.vault.Disturb(func(w http.ResponseWriter, _ *http.Request) bool {
		kmstest.VaultErrors(w, 503)
		return true
	})
	k = r.open(t)
	failed := make(chan error)
	go func() {
		_, err := k.State(ctx, "root")
		failed <- err
	}()
	<-clock.Asked() // the timeout
	<-clock.Asked() // the pause
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("while it pauses: %v", err)
	}
}

func TestTLS(t *testing.T) {
	vault := kmstest.NewVault()
	server := httptest.NewUnstartedServer(vault)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would say that a handshake failed, which is meant
	server.StartTLS()
	t.Cleanup(server.Close)
	o := vaultkms.Options{
		Address: server.URL, Clock: eager{event.SystemClock{}}, Timeout: time.Hour,
		Token: func(context.Context) (string, error) { return vault.RootToken(), nil },
	}
	k, err := vaultkms.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	err = k.Create(t.Context(), "root")
	if event.Code(err) != kms.CodeUnavailable || !strings.Contains(err.Error(), "trust") || len(vault.Requests()) > 0 {
		t.Errorf("a certificate of nobody: %v", err)
	}
	o.TLS = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	if k, err = vaultkms.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	wrapped(t, k, "root")
}
