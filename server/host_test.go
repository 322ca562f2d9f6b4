package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lethe-es/lethe/server"
	"github.com/lethe-es/lethe/storage/memory"
)

// TestForeignHost: where tokens are off, a page whose own name leads here calls in vain.
func TestForeignHost(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:7070": http.StatusOK, "localhost": http.StatusOK, "[::1]:80": http.StatusOK, "local": http.StatusOK,
		"evil.example:7070": http.StatusForbidden, "127.0.0.1.evil.example": http.StatusForbidden,
		"192.168.1.7": http.StatusForbidden, "": http.StatusForbidden, "localhost.evil.example:7070": http.StatusForbidden,
	} {
		for _, tokens := range []bool{false, true} {
			w := newWorld(t, server.Options{NoTokens: !tokens}, memory.Options{})
			r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
			r.Host = host
			answer := httptest.NewRecorder()
			w.server.Handler().ServeHTTP(answer, r)
			if tokens && answer.Code != http.StatusOK || !tokens && answer.Code != want {
				t.Errorf("host %q with tokens %v: status %d", host, tokens, answer.Code)
			}
		}
	}
}

// TestManyParts: a message of very many empty parts is small on its way and would be large in memory.
func TestManyParts(t *testing.T) {
	const path = "/lethe.v1.LogService/AppendEach"
	w := newWorld(t, server.Options{NoTokens: true}, memory.Options{})
	json := `{"requests":[` + strings.Repeat("{},", 600_000) + `{}]}`
	packed := strings.Repeat("\x0a\x00", 600_000)
	for kind, body := range map[string]string{"application/json": json, "application/proto": packed} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Lethe-Store", "loans")
		answer := httptest.NewRecorder()
		w.server.Handler().ServeHTTP(answer, r)
		if m := told(t, answer.Body.Bytes()); m.GetCode() != "oversized" {
			t.Errorf("%s: %v", kind, m)
		}
	}
}
