package vaultkms_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/vaultkms"
)

const everything = `path "transit/*" { capabilities = ["create", "read", "update", "delete"] }`

// roleRig logs in with a role whose tokens live an hour; uses is how often the secret id is good.
func roleRig(t *testing.T, uses int) (*rig, *kmstest.Clock) {
	t.Helper()
	r := newRig(t)
	clock := kmstest.NewClock(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	r.vault.Clock, r.options.Clock = clock, eager{clock}
	id, secretID := r.vault.Role(everything, time.Hour, uses)
	r.token = secretID // must not be shown either
	r.options.Token = nil
	r.options.AppRole = &vaultkms.AppRole{
		RoleID: id, SecretID: func(context.Context) (string, error) { return secretID + "\n", nil },
	}
	return r, clock
}

func (r *rig) count(request string) int {
	n := 0
	for _, s := range r.vault.Requests() {
		if s == request {
			n++
		}
	}
	return n
}

const (
	loginRequest = "POST /v1/auth/approle/login"
	renewRequest = "POST /v1/auth/token/renew-self"
)

// TestRoleRenews: one login is enough, as long as somebody calls at least every half hour.
func TestRoleRenews(t *testing.T) {
	r, clock := roleRig(t, 1)
	k := r.open(t)
	item := wrapped(t, k, "root")
	for range 10 {
		clock.Move(31 * time.Minute)
		if _, err := k.Unwrap(t.Context(), "root", []kms.Item{item}); err != nil {
			t.Fatal(err)
		}
	}
	if logins, renewals := r.count(loginRequest), r.count(renewRequest); logins != 1 || renewals != 10 {
		t.Errorf("%d logins and %d renewals, want 1 and 10", logins, renewals)
	}
	clock.Move(time.Hour)
	_, err := k.Unwrap(t.Context(), "root", []kms.Item{item})
	if !errors.Is(err, event.ErrDenied) || event.Code(err) != kms.CodeDenied {
		t.Errorf("the token has ended and the secret id is used up: %v", err)
	}
	silent(t, "login", err, r.token)
}

// TestRoleLogsInAgain: a token that ended, was revoked or cannot be renewed is replaced.
func TestRoleLogsInAgain(t *testing.T) {
	r, clock := roleRig(t, -1)
	k := r.open(t)
	item := wrapped(t, k, "root")
	use := func(what string, logins int) {
		t.Helper()
		if _, err := k.Unwrap(t.Context(), "root", []kms.Item{item}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if n := r.count(loginRequest); n != logins {
			t.Errorf("%s: %d logins, want %d", what, n, logins)
		}
	}
	use("at first", 1)
	clock.Move(2 * time.Hour)
	use("after its time", 2)
	r.vault.RevokeAll()
	use("revoked", 3)
	clock.Move(40 * time.Minute)
	r.vault.Disturb(func(w http.ResponseWriter, request *http.Request) bool {
		if request.URL.Path != "/v1/auth/token/renew-self" {
			return false
		}
		kmstest.VaultErrors(w, http.StatusForbidden, "permission denied")
		return true
	})
	use("not renewable", 4)
}

// TestRoleOnce: many callers at once share one login.
func TestRoleOnce(t *testing.T) {
	r, _ := roleRig(t, 1)
	k := r.open(t)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if err := k.Create(t.Context(), "root"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := r.count(loginRequest); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestRoleRefused: a login that Vault refuses, or answers with nonsense, is tried once and tells nothing.
func TestRoleRefused(t *testing.T) {
	r, _ := roleRig(t, 0)
	_, err := r.open(t).State(t.Context(), "root")
	if event.Code(err) != kms.CodeDenied || r.count(loginRequest) != 1 {
		t.Errorf("%d logins: %v", r.count(loginRequest), err)
	}
	silent(t, "login", err, r.token)
	for body, code := range map[string]string{
		`{}`: kms.CodeUnavailable, `{"auth":{}}`: kms.CodeUnavailable, `{"auth":null}`: kms.CodeUnavailable,
		`{"auth":{"client_token":"a\nb","lease_duration":1}}`:   kms.CodeUnavailable,
		`{"auth":{"client_token":"abc","lease_duration":-1}}`:   kms.CodeUnavailable,
		`{"auth":{"client_token":"abc","lease_duration":1e30}}`: kms.CodeUnavailable,
	} {
		r, _ := roleRig(t, -1)
		answering(http.StatusOK, body)(r, t)
		if _, err := r.open(t).State(t.Context(), "root"); event.Code(err) != code {
			t.Errorf("login answered by %s: %v", body, err)
		}
	}
	r, _ = roleRig(t, -1)
	r.options.AppRole.SecretID = func(context.Context) (string, error) { return "", errors.New("no such file") }
	if _, err := r.open(t).State(t.Context(), "root"); event.Code(err) != kms.CodeDenied {
		t.Errorf("no secret id: %v", err)
	}
}

// TestTokenChanges: a token that an agent replaced is taken over by the call that met the old one.
func TestTokenChanges(t *testing.T) {
	r := newRig(t)
	given := []string{r.vault.Token(everything, 0), r.vault.Token(everything, 0)}
	asked := 0
	r.options.Token = func(context.Context) (string, error) {
		asked++
		return given[min(asked, 2)-1], nil
	}
	r.vault.Revoke(given[0])
	k := r.open(t)
	if err := k.Create(t.Context(), "root"); err != nil {
		t.Error(err)
	}
	if i := slices.Index(r.vault.Requests(), "GET /v1/transit/keys/root"); i != 0 || asked < 2 {
		t.Errorf("asked %d times for a token, requests %v", asked, r.vault.Requests())
	}
}
