package vaultkms

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// credit is what makes Vault listen: a token that is given, or one that a login gave. A login's token is renewed when
// half of its time has passed, by the next call; when that fails, or Vault refuses the token, there is a new login. See
// api-docs/auth/approle#login-with-approle and api-docs/auth/token#renew-a-token-self.
type credit struct {
	given   func(ctx context.Context) (string, error)
	role    *AppRole
	mount   string
	busy    chan struct{} // holds one value while somebody reads or changes what follows
	current string
	renew   time.Time // from here on it is renewed; zero: never
	end     time.Time // from here on it is worthless; zero: never
}

func newCredit(o Options) credit {
	c := credit{given: o.Token, role: o.AppRole, mount: "approle", busy: make(chan struct{}, 1)}
	if c.role != nil && strings.Trim(c.role.Mount, "/") != "" {
		c.mount = strings.Trim(c.role.Mount, "/")
	}
	return c
}

func (c *credit) forget() {
	c.busy <- struct{}{}
	c.current = ""
	<-c.busy
}

// token gives the token for a call. refused is one that Vault did not take; the same is not given again if there can be
// another.
func (k *KMS) token(ctx context.Context, refused string) (string, error) {
	c := &k.credit
	if c.given != nil {
		token, err := c.given(ctx)
		return k.presentable(token, err)
	}
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return "", ended("log in at Vault", ctx)
	}
	defer func() { <-c.busy }()
	now := k.clock.Now()
	alive := c.current != "" && c.current != refused && (c.end.IsZero() || now.Before(c.end))
	if alive && (c.renew.IsZero() || now.Before(c.renew)) {
		return c.current, nil
	}
	if alive {
		if k.renewToken(ctx) == nil {
			return c.current, nil
		}
		if ctx.Err() != nil {
			return "", ended("log in at Vault", ctx)
		}
	}
	if err := k.login(ctx); err != nil {
		return "", err
	}
	return c.current, nil
}

// presentable refuses what cannot be a token, so that it never becomes part of a request.
func (k *KMS) presentable(token string, err error) (string, error) {
	const what = "find token for Vault"
	if err != nil {
		return "", fmt.Errorf("%w: %w", kms.Denied(what, "its source failed"), err)
	}
	token = strings.TrimSpace(token)
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	if token == "" || len(token) > 4096 || strings.ContainsFunc(token, strange) {
		return "", kms.Denied(what, "its source gave something that is no token")
	}
	return token, nil
}

// login is tried once: a secret id may be good for one use only.
func (k *KMS) login(ctx context.Context) error {
	const what = "log in at Vault"
	c := &k.credit
	c.current = ""
	secret, err := c.role.SecretID(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", kms.Denied(what, "the source of the secret id failed"), err)
	}
	body := map[string]string{"role_id": c.role.RoleID, "secret_id": strings.TrimSpace(secret)}
	a, err := k.once(ctx, call{http.MethodPost, "auth/" + c.mount + "/login", body, what}, "")
	if err != nil {
		return err
	}
	if a.status == http.StatusBadRequest {
		return k.denied(what, a, "it does not take this role id and secret id")
	}
	if err := k.judge(what, a); err != nil {
		return err
	}
	return k.accept(what, a)
}

func (k *KMS) renewToken(ctx context.Context) error {
	const what = "renew token at Vault"
	a, err := k.once(ctx, call{http.MethodPost, "auth/token/renew-self", struct{}{}, what}, k.credit.current)
	if err != nil {
		return err
	}
	if err := k.judge(what, a); err != nil {
		return err
	}
	return k.accept(what, a)
}

// accept takes over the token of an answer.
func (k *KMS) accept(what string, a answer) error {
	var auth struct {
		Token     string `json:"client_token"`
		Lease     int64  `json:"lease_duration"`
		Renewable bool   `json:"renewable"`
	}
	if json.Unmarshal(a.Auth, &auth) != nil || auth.Lease < 0 || auth.Lease > 1<<31 {
		return malformed(what, a)
	}
	token, err := k.presentable(auth.Token, nil)
	if err != nil {
		return malformed(what, a)
	}
	c := &k.credit
	c.current, c.renew, c.end = token, time.Time{}, time.Time{}
	if auth.Lease > 0 { // 0: it does not expire
		lease, now := time.Duration(auth.Lease)*time.Second, k.clock.Now()
		c.end = now.Add(lease)
		if auth.Renewable {
			c.renew = now.Add(lease / 2)
		}
	}
	return nil
}

func ended(what string, ctx context.Context) error {
	return fmt.Errorf("%w: %w", kms.Unavailable(what, "the caller waits no longer"), context.Cause(ctx))
}

func malformed(what string, a answer) *event.Error {
	return kms.Unavailable(what, a.said("with something that makes no sense")).
		Hint("look whether the address is that of a Vault, and what stands between")
}
