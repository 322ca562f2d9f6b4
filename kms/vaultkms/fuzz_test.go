package vaultkms_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/kms"
	"github.com/lethe-es/lethe/kms/vaultkms"
)

// parrot gives the same answer to everything.
type parrot struct {
	status int
	body   string
}

func (p parrot) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: p.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Location": {p.body}}, Body: io.NopCloser(strings.NewReader(p.body)), ContentLength: -1,
	}, nil
}

// FuzzVaultResponse: no answer makes a key destroyed, gives out bytes that were not decoded from it, or gets the token
// or what was handed in into an error.
func FuzzVaultResponse(f *testing.F) {
	const token, box = "hvs.the-token-of-this-test", "vault:v1:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2w="
	key := `{"name":"root","type":"aes256-gcm96","derived":false,"exportable":false,"allow_plaintext_backup":false,` +
		`"supports_encryption":true,"supports_decryption":true,"keys":{"1":1442851412}`
	for _, seed := range []struct {
		status int
		body   string
	}{
		{200, ``}, {200, `{}`}, {204, ``}, {503, `sealed`},
		{404, `{"errors":[]}`}, {404, `{"errors":["no handler for route"]}`},
		{200, `{"data":` + key + `}}`}, {200, `{"data":` + key + `,"batch_results":[{"plaintext":"QUJD"}]}}`},
		{200, `{"data":` + key + `,"batch_results":[{"ciphertext":"` + box + `"}]}}`},
		{400, `{"data":{"batch_results":[{"error":"cipher: message authentication failed"}]}}`},
		{500, `{"data":{"batch_results":[{"error":"cipher: message authentication failed"}]}}`},
		{400, `{"errors":["encryption key not found","` + token + `","` + secret + `"]}`},
		{307, `https://` + token + `/`}, {200, `{"request_id":"` + token + `"}`}, {403, `{"errors":["permission denied"]}`},
	} {
		f.Add(seed.status, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		k, err := vaultkms.Open(t.Context(), vaultkms.Options{
			Address: "https://vault.example.org", Transport: parrot{status, string(body)}, Timeout: time.Hour,
			Clock: eager{event.SystemClock{}}, Token: func(context.Context) (string, error) { return token, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		for call, err := range calls(t.Context(), k, "root") {
			silent(t, call, err, token)
			if code := event.Code(err); code == "internal" || code == kms.CodeDestroyed {
				t.Errorf("%s: %v (%s)", call, err, code)
			}
		}
		if state, err := k.State(t.Context(), "root"); state == kms.Destroyed || (err == nil) != (state == kms.Live) {
			t.Errorf("state %d, %v", state, err)
		}
		out, err := k.Unwrap(t.Context(), "root", []kms.Item{{Bytes: []byte(box)}})
		if (err == nil) != (len(out) == 1 && len(out[0]) > 0) {
			t.Errorf("unwrap gives %d items, %v", len(out), err)
		}
		out, err = k.Wrap(t.Context(), "root", []kms.Item{{Bytes: []byte(secret)}})
		if (err == nil) != (len(out) == 1 && strings.HasPrefix(string(out[0]), "vault:v")) {
			t.Errorf("wrap gives %d items, %v", len(out), err)
		}
	})
}
