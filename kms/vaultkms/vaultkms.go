// Package vaultkms keeps root keys in the transit engine of HashiCorp Vault or OpenBao, over their HTTP API, which is
// the same in both. It is a driver of package kms. docs/keys.md says how to set up the server and which rights to give.
//
// The pages this was written from are api-docs/secret/transit, api-docs (status codes), api-docs/auth/approle and
// api-docs/auth/token of https://developer.hashicorp.com/vault and of https://openbao.org.
//
// # Keys
//
// A root key is a transit key of type aes256-gcm96 that is neither derived nor exportable, was not imported, and allows
// no plaintext backup; a key of the right name that is otherwise is refused with code kms_key_unfit, since copies of it
// may be anywhere. What Wrap gives is the text of Vault, "vault:v1:…". The key may be rotated in Vault.
//
// # Destroying
//
// Vault forgets a key that was deleted: afterwards it answers as if there never was one. But a key that is missing must
// not be taken for one that was destroyed. So the destruction is noted in the same mount, by keys that are never used
// and whose names Lethe can give to no root key, for they have a dot in them:
//
//  1. NAME.ending is created: from here on nothing is wrapped under NAME, and it is not created again;
//  2. deletion of NAME is allowed, NAME is deleted, and read until Vault says that it is not there;
//  3. NAME.destroyed is created. The second in which Vault made it, rounded up, is when the destruction was effective.
//
// The notes need no second engine and no further rights, and are in the same place as the key: another mount or another
// server has neither key nor notes, and State says kms_key_missing there. One that was cut off is completed by calling
// Destroy again; while the key is still there State says that it lives.
//
// # Answers
//
// An answer is believed only when it has the documented form. Redirects are never followed: a token goes to the address
// it is meant for and nowhere else. Texts of the server are not repeated in errors, because a server may quote what it
// was sent; the id of the request is, and finds the server's own words in its audit log.
package vaultkms

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// Options of Open. Address, and one of Token and AppRole, are needed.
type Options struct {
	Address   string // such as https://vault.example.org:8200
	Mount     string // of the transit engine; empty: transit
	Namespace string // of Vault Enterprise or OpenBao; empty: none

	// Token is asked before every call; it may read a file that an agent renews.
	Token   func(ctx context.Context) (string, error)
	AppRole *AppRole

	// Horizon is how long backups and snapshots of Vault's storage are kept. 0: the operator has not stated it.
	Horizon time.Duration
	Timeout time.Duration // of one attempt; 0: 10 s
	TLS     *tls.Config   // nil: the machine's certificate authorities
	// Cleartext allows http:// to other than this machine. Keys and tokens are then readable on the way.
	Cleartext bool

	Clock     event.Clock       // nil: the machine's
	Transport http.RoundTripper // nil: one of its own, through no proxy; with it TLS is not looked at
}

// AppRole is how Lethe logs in at Vault by itself.
type AppRole struct {
	Mount    string // of the auth method; empty: approle
	RoleID   string
	SecretID func(ctx context.Context) (string, error)
}

// KMS is a mount of a Vault.
type KMS struct {
	base      string // address and API version, without a slash at its end
	mount     string
	namespace string
	horizon   time.Duration
	timeout   time.Duration
	clock     event.Clock
	client    *http.Client
	credit    credit
}

var _ kms.KMS = (*KMS)(nil)

const defaultTimeout = 10 * time.Second

// Open checks the options. It does not ask the server, so that a store opens and does sealed work while Vault is away;
// Check does.
func Open(_ context.Context, o Options) (*KMS, error) {
	base, err := address(o)
	if err != nil {
		return nil, err
	}
	k := &KMS{
		base: base, mount: strings.Trim(o.Mount, "/"), namespace: strings.Trim(o.Namespace, "/"), horizon: o.Horizon,
		timeout: o.Timeout, clock: o.Clock, credit: newCredit(o),
	}
	if k.mount == "" {
		k.mount = "transit"
	}
	if k.clock == nil {
		k.clock = event.SystemClock{}
	}
	if k.timeout == 0 {
		k.timeout = defaultTimeout
	}
	switch {
	case !isPath(k.mount):
		return nil, event.Invalid("kms_option", "open Vault: the mount is no path")
	case k.namespace != "" && !isPath(k.namespace):
		return nil, event.Invalid("kms_option", "open Vault: the namespace is no path")
	case !isPath(k.credit.mount):
		return nil, event.Invalid("kms_option", "open Vault: the mount of the login is no path")
	case (o.Token == nil) == (o.AppRole == nil):
		return nil, event.Invalid("kms_option", "open Vault: it needs either a token or an AppRole")
	case o.AppRole != nil && (o.AppRole.RoleID == "" || o.AppRole.SecretID == nil):
		return nil, event.Invalid("kms_option", "open Vault: an AppRole needs a role id and a secret id")
	case o.Horizon < 0 || o.Timeout < 0:
		return nil, event.Invalid("kms_option", "open Vault: a duration is negative")
	}
	transport := o.Transport
	if transport == nil {
		transport = newTransport(o.TLS)
	}
	k.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return k, nil
}

func newTransport(config *tls.Config) http.RoundTripper {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
	}
}

// address refuses what would send a token in the clear, or to a place that is not only an address.
func address(o Options) (string, error) {
	u, err := url.Parse(o.Address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery+u.Fragment+strings.Trim(u.Path, "/") != "" {
		return "", event.Invalid("kms_option", "open Vault: the address is not of the form https://host:8200")
	}
	if u.Scheme == "https" || u.Scheme == "http" && (o.Cleartext || loopback(u.Hostname())) {
		return u.Scheme + "://" + u.Host + "/v1", nil
	}
	return "", event.Invalid("kms_option", "open Vault: keys and tokens would go over the network in the clear").
		Hint("give an address with https://")
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

var path = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

func isPath(s string) bool { return len(s) <= 200 && path.MatchString(s) }

// Describe names server and mount.
func (k *KMS) Describe() string {
	text := "transit keys of Vault at " + strings.TrimSuffix(k.base, "/v1") + ", mount " + k.mount
	if k.namespace != "" {
		text += ", namespace " + k.namespace
	}
	return text
}

// Close gives up connections and forgets the token.
func (k *KMS) Close() error {
	k.client.CloseIdleConnections()
	k.credit.forget()
	return nil
}

// Check asks the server whether it is there, takes the token and has the mount, by a key that cannot be there.
func (k *KMS) Check(ctx context.Context) error {
	_, _, err := k.key(ctx, "check Vault", "lethe.check")
	return err
}
