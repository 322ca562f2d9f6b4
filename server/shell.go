package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/otelconnect"
	"github.com/rs/cors"
	"go.opentelemetry.io/otel/propagation"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"

	"github.com/lethe-es/lethe/api"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// shell is what stands around every call: limits, what pages of other origins may do, and what is asked of the server
// itself. /healthz, /readyz and /openapi.json are open to everybody, and tell nothing of any store.
func (s *Server) shell(procedures http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.limited(procedures))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(api.OpenAPI)
	})
	metrics := procedure{name: metricsPath, needs: lethev1.Permission_PERMISSION_ADMIN}
	mux.Handle("GET "+metricsPath, s.limited(s.admitted(metrics, http.HandlerFunc(s.serveMetrics))))
	return hardened(s.atHome(s.shared(mux)))
}

// atHome refuses, where tokens are off, calls that came under another name than this machine's own: a page in a browser
// here could otherwise have its own name lead to 127.0.0.1, and call as if it were of the same origin (DNS rebinding).
func (s *Server) atHome(next http.Handler) http.Handler {
	if !s.options.NoTokens {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ownName(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		s.refuse(w, r, &event.Error{Sentinel: event.ErrDenied, Code: "foreign_host",
			Message: "call: without tokens this server answers under the names of this machine only",
			Next:    "call it as 127.0.0.1 or localhost, or turn tokens on"})
	})
}

// ownName tells whether a Host is this machine for itself. Within the process it is called local.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || host == "local" || err == nil && address.IsLoopback()
}

// shared lets pages of the origins in Options call from a browser.
func (s *Server) shared(next http.Handler) http.Handler {
	if len(s.options.Origins) == 0 {
		return next
	}
	own := []string{"Authorization", "Last-Event-ID", "Traceparent", "Tracestate", wire.HeaderStore}
	return cors.New(cors.Options{
		AllowedOrigins: s.options.Origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), own...),
		ExposedHeaders: append(connectcors.ExposedHeaders(), "Retry-After", "WWW-Authenticate"),
		MaxAge:         int((2 * time.Hour).Seconds()),
	}).Handler(next)
}

// hardened keeps browsers from guessing types, and caches from keeping what a token opened.
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": word})
}

// readiness is how long a store has to tell its head before it counts as not ready.
const readiness = 2 * time.Second

// serveReady is 200 when every store answers and the server takes new calls.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ending:
		say(w, http.StatusServiceUnavailable, "draining")
		return
	default:
	}
	ctx, cancel := context.WithTimeout(r.Context(), readiness)
	defer cancel()
	for _, t := range s.tenants {
		if _, err := t.Store.Head(ctx); err != nil {
			s.logger.Warn("store does not answer", "store", t.Name, "error", err.Error())
			say(w, http.StatusServiceUnavailable, "store_unavailable")
			return
		}
	}
	say(w, http.StatusOK, "ready")
}

// tracing makes a span of each call, in the trace its caller is in. No message gets into a span.
func tracing(o *Options) ([]connect.Interceptor, error) {
	if o.Tracer == nil {
		return nil, nil
	}
	spans, err := otelconnect.NewInterceptor(otelconnect.WithTracerProvider(o.Tracer), otelconnect.WithoutMetrics(),
		otelconnect.WithTrustRemote(), otelconnect.WithPropagator(propagation.TraceContext{}))
	if err != nil {
		return nil, fmt.Errorf("start server: set up traces: %w", err)
	}
	return []connect.Interceptor{spans}, nil
}

// observed is a call that is over.
type observed struct {
	procedure string
	store     string // "": not admitted
	token     string // id
	code      string
	remote    string
	took      time.Duration
}

// observe takes note of a call that is over: ids and codes, nothing of what was said.
func (s *Server) observe(o observed) {
	s.meter.calls.WithLabelValues(o.store, o.procedure, o.code).Inc()
	if o.store != "" {
		s.meter.seconds.WithLabelValues(o.store, o.procedure).Observe(o.took.Seconds())
	}
	level := slog.LevelDebug
	if o.store == "" {
		level = slog.LevelInfo // refused at the door
	}
	if !s.logger.Enabled(context.Background(), level) {
		return
	}
	s.logger.LogAttrs(context.Background(), level, "call", slog.String("procedure", o.procedure),
		slog.String("store", o.store), slog.String("token", o.token), slog.String("code", o.code),
		slog.String("remote", o.remote), slog.Duration("took", o.took))
}
