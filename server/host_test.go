package server_test

import (
	"net/http"
	"net/http/httptest"
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
