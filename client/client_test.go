package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lethe-es/lethe"
	"github.com/lethe-es/lethe/client"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/lethetest"
)

func TestStore(t *testing.T) {
	for name, options := range map[string]func(w *world) *client.Options{
		"in process": func(w *world) *client.Options { return &client.Options{Transport: w.direct} },
		"HTTP 1.1":   func(*world) *client.Options { return nil },
		"h2c":        func(*world) *client.Options { return &client.Options{Transport: h2c()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lethetest.RunStore(t, func(t *testing.T, clock event.Clock) *lethe.Store {
				w := newWorld(t, nil, clock)
				return open(t, "http://"+w.address+"/loans", options(w)).Store
			})
		})
	}
}

func TestSealed(t *testing.T) {
	for name, options := range map[string]func(w *world) *client.Options{
		"in process": func(w *world) *client.Options { return &client.Options{Transport: w.direct} },
		"HTTP 1.1":   func(*world) *client.Options { return &client.Options{} },
		"h2c":        func(*world) *client.Options { return &client.Options{Transport: h2c()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lethetest.RunSealed(t, func(t *testing.T, keys kms.KMS, o *lethe.Options) (store, home *lethe.Store) {
				w := newSealed(t, keys, o)
				asked := options(w)
				asked.Code, asked.Retry = o.Code, -1
				return open(t, "http://"+w.address+"/loans", asked).Store, w.store
			})
		})
	}
}

func TestAddress(t *testing.T) {
	unused := roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("a wrong address reaches nobody")
		return nil, errors.New("unused")
	})
	for _, address := range []string{
		"", "localhost:7777", "ftp://localhost", "http://", "http://:7777", "http://u:p@localhost", "http://localhost/a/b",
		"http://localhost/Loans", "http://localhost/1", "http://localhost/?store=a", "http://localhost/#a", "http://a b",
		"http://localhost/a%0ab", "http://localhost/" + fmt.Sprintf("%065d", 0),
	} {
		_, err := client.Open(t.Context(), address, &client.Options{Transport: unused})
		if event.Code(err) != "malformed_address" || !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
	w := newWorld(t, nil, nil)
	for _, address := range []string{"http://" + w.address, "http://" + w.address + "/", "http://" + w.address + "/loans/"} {
		open(t, address, nil)
	}
	_, err := client.Open(t.Context(), "http://"+w.address+"/other", nil)
	if err == nil || errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a store that is not there: %v", err)
	}
}

// TestTokenStaysSecret: no token leaves this machine unprotected, and none goes where a redirect points.
func TestTokenStaysSecret(t *testing.T) {
	unused := roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("the token is on its way")
		return nil, errors.New("unused")
	})
	for _, host := range []string{
		"example.org", "192.0.2.1:7777", "[2001:db8::1]", "localhost.example.org", "127.0.0.1.example.org",
	} {
		_, err := client.Open(t.Context(), "http://"+host, &client.Options{Token: "lethe_x", Transport: unused})
		if event.Code(err) != "insecure_token" {
			t.Errorf("%s: %v", host, err)
		}
	}
	_, err := client.Open(t.Context(), "https://example.org", &client.Options{Token: "lethe_x\n", Transport: unused})
	if event.Code(err) != "malformed_token" {
		t.Errorf("a token with a line end: %v", err)
	}
	var got []string
	seen := roundTripper(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.Header.Get("Authorization"))
		return nil, errors.New("seen")
	})
	for _, address := range []string{"https://example.org", "http://localhost:1", "http://127.8.9.1", "http://[::1]:1"} {
		_, err := client.Open(t.Context(), address, &client.Options{Token: "lethe_x", Transport: seen, Retry: -1})
		if !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, header := range got {
		if header != "Bearer lethe_x" {
			t.Errorf("sent %q", header)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d calls", len(got))
	}

	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect is followed")
	}))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		door := httptest.NewServer(http.RedirectHandler(target.URL, status))
		_, err := client.Open(t.Context(), door.URL, &client.Options{Token: "lethe_x"})
		if event.Code(err) != "not_lethe" {
			t.Errorf("redirect %d: %v", status, err)
		}
		door.Close()
	}
}
