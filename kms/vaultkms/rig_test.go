package vaultkms_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/kmstest"
	"github.com/lethe-es/lethe/kms/vaultkms"
)

// secret is what must never show up in an error.
const secret = "the key that is wrapped"

// eager is a clock on which pauses pass at once, and timeouts, which are longer, never.
type eager struct{ event.Clock }

func (eager) After(d time.Duration) <-chan time.Time {
	if d >= time.Minute {
		return nil
	}
	passed := make(chan time.Time, 1)
	passed <- time.Time{}
	return passed
}

// rig is a server and how to reach it.
type rig struct {
	vault   *kmstest.Vault
	server  *httptest.Server
	token   string
	options vaultkms.Options
}

// newRig starts a server with a transit engine at "transit", and has a token that may do everything.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{vault: kmstest.NewVault()}
	r.server = httptest.NewServer(r.vault)
	t.Cleanup(r.server.Close)
	r.token = r.vault.RootToken()
	r.options = vaultkms.Options{
		Address: r.server.URL, Clock: eager{event.SystemClock{}}, Timeout: time.Hour,
		Token: func(context.Context) (string, error) { return r.token, nil },
	}
	return r
}

func (r *rig) open(t *testing.T) *vaultkms.KMS {
	t.Helper()
	k, err := vaultkms.Open(t.Context(), r.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// hand is what an operator does with the root token.
func (r *rig) hand(t *testing.T, method, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.server.URL+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", r.vault.RootToken())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: status %d", method, path, response.StatusCode)
	}
}

// policies are the rights that docs/keys.md gives: for using, and for erasing.
func policies(t *testing.T) (use, erase string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "keys.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(found) != 2 {
		t.Fatalf("docs/keys.md has %d policies, want 2", len(found))
	}
	return found[0][1], found[1][1]
}

func wrapped(t *testing.T, k kms.KMS, name string) kms.Item {
	t.Helper()
	if err := k.Create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	out, err := k.Wrap(t.Context(), name, []kms.Item{{Bytes: []byte(secret), AAD: []byte("place")}})
	if err != nil {
		t.Fatal(err)
	}
	return kms.Item{Bytes: out[0], AAD: []byte("place")}
}

// calls makes every call about a key once.
func calls(ctx context.Context, k kms.KMS, name string) map[string]error {
	item := kms.Item{Bytes: []byte(secret), AAD: []byte(secret)}
	sealed := kms.Item{Bytes: []byte("vault:v1:" + strings.Repeat("QUJD", 12)), AAD: []byte(secret)}
	errs := map[string]error{"create": k.Create(ctx, name)}
	_, errs["wrap"] = k.Wrap(ctx, name, []kms.Item{item})
	_, errs["unwrap"] = k.Unwrap(ctx, name, []kms.Item{sealed})
	_, errs["state"] = k.State(ctx, name)
	_, errs["destroy"] = k.Destroy(ctx, name)
	return errs
}

// silent checks that an error shows neither token nor what was handed in.
func silent(t *testing.T, what string, err error, token string) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), secret)) {
		t.Errorf("%s: %q shows a secret", what, err)
	}
}
