package vaultkms

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
)

// maxAnswer is beyond the largest answer to a call within the bounds of package kms: 1 MiB, wrapped, in base64.
const maxAnswer = 4 << 20

// pauses are what lies between attempts. Every call of this package may be repeated: wrapping and unwrapping change
// nothing, and creating, allowing and deleting a key again leaves what the first one left. Logins are not repeated.
func pauses() []time.Duration { return []time.Duration{200 * time.Millisecond, time.Second} }

// call is a request of the API; path follows /v1/.
type call struct {
	method, path string
	body         any
	what         string // for errors
}

// answer is what came back. Its texts are never shown.
type answer struct {
	status int
	parsed bool // the body is the JSON of Vault's API, or there is none

	RequestID string          `json:"request_id"`
	Data      json.RawMessage `json:"data"`
	Auth      json.RawMessage `json:"auth"`
	Errors    []string        `json:"errors"`
}

var requestID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// said names an answer for people.
func (a answer) said(gist string) string {
	text := fmt.Sprintf("Vault answers %s, status %d", gist, a.status)
	if requestID.MatchString(a.RequestID) {
		text += ", request " + a.RequestID
	}
	return text
}

func (a answer) mentions(text string) bool {
	return slices.ContainsFunc(a.Errors, func(e string) bool { return strings.Contains(e, text) })
}

// ask makes a call with a token, again where that may help, and gives every answer that is no sign of trouble with the
// server: success, a refused request, or something that is not there.
func (k *KMS) ask(ctx context.Context, c call) (answer, error) {
	token, err := k.token(ctx, "")
	if err != nil {
		return answer{}, err
	}
	for attempt, again := 0, true; ; {
		a, err := k.once(ctx, c, token)
		if err == nil && a.status == http.StatusForbidden && again {
			// The token may have ended early. Nothing was done, and another one may be at hand.
			again = false
			next, err := k.token(ctx, token)
			if err != nil {
				return answer{}, err
			}
			if next != token {
				token = next
				continue
			}
		}
		if err == nil && a.parsed && (a.status == http.StatusBadRequest || a.missing()) {
			return a, nil
		}
		if err == nil {
			err = k.judge(c.what, a)
		}
		if !repeatable(a, err) || attempt == len(pauses()) {
			return a, err
		}
		select {
		case <-k.clock.After(pauses()[attempt]):
			attempt++
		case <-ctx.Done():
			return answer{}, ended(c.what, ctx)
		}
	}
}

// missing tells that Vault found the mount, and in it nothing: 404 with an empty list of errors. Nothing else means it.
// A mount or a route that does not exist comes with a text, and a 404 of something in between has no such list.
func (a answer) missing() bool {
	return a.status == http.StatusNotFound && a.Errors != nil && len(a.Errors) == 0
}

// lost is the error of a call without an answer, which may be repeated.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// repeatable: no answer, or one that says "not now". 412 comes from a replica that is behind, 429 from a rate limit.
func repeatable(a answer, err error) bool {
	var l lost
	if errors.As(err, &l) {
		return true
	}
	return err != nil && (a.status >= 500 || a.status == http.StatusTooManyRequests ||
		a.status == http.StatusPreconditionFailed)
}

var errTimeout = errors.New("no answer in time")

// once makes one attempt.
func (k *KMS) once(ctx context.Context, c call, token string) (answer, error) {
	if ctx.Err() != nil {
		return answer{}, ended(c.what, ctx)
	}
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	expired := k.clock.After(k.timeout)
	go func() {
		select {
		case <-expired:
			cancel(errTimeout)
		case <-timed.Done():
		}
	}()
	request, err := k.request(timed, c, token)
	if err != nil {
		return answer{}, err
	}
	response, err := k.client.Do(request)
	if err != nil {
		return answer{}, noAnswer(ctx, timed, c.what, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return answer{}, noAnswer(ctx, timed, c.what, err)
	}
	a := answer{status: response.StatusCode}
	if len(body) > maxAnswer {
		return a, kms.Unavailable(c.what, a.said("with more than 4 MiB"))
	}
	if len(bytes.TrimSpace(body)) == 0 {
		a.parsed = true
		return a, nil
	}
	a.parsed = json.Unmarshal(body, &a) == nil
	return a, nil
}

func (k *KMS) request(ctx context.Context, c call, token string) (*http.Request, error) {
	var body io.Reader
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.what, err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, k.base+"/"+c.path, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.what, err)
	}
	request.Header.Set("X-Vault-Request", "true") // an agent in front may demand it
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("X-Vault-Token", token)
	}
	if k.namespace != "" {
		request.Header.Set("X-Vault-Namespace", k.namespace)
	}
	return request, nil
}

// noAnswer says why there is none. Only texts of this machine are shown: those of a broken protocol quote the server.
func noAnswer(outer, timed context.Context, what string, err error) error {
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case outer.Err() != nil:
		return ended(what, outer)
	case errors.Is(context.Cause(timed), errTimeout):
		return lost{kms.Unavailable(what, "Vault gives no answer in time")}
	case errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &name):
		return kms.Unavailable(what, "Vault's certificate is not one to trust here").
			Hint("give the certificate of its authority, and the name that its certificate has")
	case errors.As(err, &record):
		return kms.Unavailable(what, "what answers does not speak TLS").Hint("check the address")
	case errors.As(err, &dial) && dial.Op == "dial":
		return lost{kms.Unavailable(what, "Vault cannot be reached: "+dial.Error())}
	}
	return lost{kms.Unavailable(what, "the connection to Vault broke")}
}

// judge turns an answer that is no success into its error. 400 and the 404 of something that is not there are for the
// caller, who knows what they mean; here they are unexpected.
func (k *KMS) judge(what string, a answer) error {
	switch s := a.status; {
	case !a.parsed && s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return kms.MountMissing(what, a.said("that it has no transit engine at "+k.mount)).Hint("check address and mount")
	case (s == http.StatusOK || s == http.StatusNoContent) && a.parsed:
		return nil
	case s == http.StatusOK:
		return malformed(what, a)
	case s >= 300 && s < 400:
		return kms.Unavailable(what, a.said("with a redirect, which is not followed")).
			Hint("give the address of the active node, or let standby nodes forward")
	case s == http.StatusForbidden:
		return k.denied(what, a, "its token is wrong, has ended, or lacks the right")
	case s == http.StatusNotFound && !a.missing():
		return kms.MountMissing(what, a.said("that it has no transit engine at "+k.mount)).
			Hint("check mount and namespace; nothing is erased by this")
	case s == http.StatusServiceUnavailable && a.mentions("sealed"):
		return kms.Unavailable(what, a.said("that it is sealed")).Hint("unseal it")
	case s == http.StatusTooManyRequests:
		return kms.Unavailable(what, a.said("that there are too many requests"))
	case s >= 500:
		return kms.Unavailable(what, a.said("that it cannot"))
	}
	return kms.Unavailable(what, a.said("in an unexpected way"))
}

func (k *KMS) denied(what string, a answer, why string) *event.Error {
	return kms.Denied(what, a.said("with a refusal")).Hint("%s; docs/keys.md lists the rights", why)
}
