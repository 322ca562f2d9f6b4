package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"connectrpc.com/otelconnect"
	"github.com/rs/cors"
	"go.opentelemetry.io/otel/propagation"

	"github.com/lethe-es/lethe/api"
	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// shell is what stands around every call: limits, what pages of other origins may do, and what is asked of the server
// itself. /healthz, /readyz and /openapi.json are open to everybody, and tell nothing of any store; no limit is in
// their way, since who looks after a server asks just when it is busy.
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
	return s.hardened(s.atHome(s.shared(mux)))
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

// checkOrigins refuses what is no origin. An asterisk among them would mean every page of the world.
func checkOrigins(origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		web := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
		if !web || strings.Contains(origin, "*") || origin != u.Scheme+"://"+u.Host {
			return event.Invalid("malformed_origin", "start server: %q is no origin", origin).
				Hint("name scheme, host and port only, such as https://console.example.org")
		}
	}
	return nil
}

// hardened keeps browsers from guessing types, and caches from keeping what a token opened. A panic that comes up to
// here ends its call, and is logged without what panicked.
func (s *Server) hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v != nil && v != http.ErrAbortHandler {
				s.logger.Error("call panicked", "incident", s.incident(), "stack", string(debug.Stack()))
			}
			if v != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
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

// ownProcess is the Host of calls within this process. It is no name that a page could have.
const ownProcess = "local"

// ownName tells whether a Host is this machine, or this process, for itself.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || host == ownProcess || err == nil && address.IsLoopback()
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
			s.logger.Warn("store does not answer", "store", t.Name, "code", event.Code(err))
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
		otelconnect.WithTrustRemote(), otelconnect.WithPropagator(propagation.TraceContext{}),
		otelconnect.WithoutTraceEvents(), otelconnect.WithoutServerPeerAttributes())
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

// slow is how long a unary call takes that is worth a line in the log.
const slow = time.Second

// observe takes note of a call that is over: ids and codes, nothing of what was said.
func (s *Server) observe(o observed) {
	s.meter.calls.WithLabelValues(o.store, o.procedure, o.code).Inc()
	if o.store != "" {
		s.meter.seconds.WithLabelValues(o.store, o.procedure).Observe(o.took.Seconds())
	}
	if slices.Contains(limitCodes(), o.code) {
		s.meter.refused.WithLabelValues(o.code).Inc()
	}
	level, text := verdict(&o)
	if level < slog.LevelInfo && o.took >= slow && !staysOpen(o.procedure) {
		level, text = slog.LevelInfo, "call was slow"
	}
	ctx := context.Background()
	if !s.logger.Enabled(ctx, level) {
		return
	}
	s.logger.LogAttrs(ctx, level, text, slog.String("procedure", o.procedure), slog.String("store", o.store),
		slog.String("token", o.token), slog.String("code", o.code), slog.String("remote", o.remote),
		slog.Duration("took", o.took))
}

// limitCodes are those of what a limit refused.
func limitCodes() []string {
	return []string{codeBusy, codeTooMany, codeSlow, "too_many_streams", "slow_subscriber", "oversized"}
}

// verdict is how a call is logged. What a caller does wrong is the caller's to log; what is refused at the door, or by
// a limit, or fails for the store, is told to who runs the server. Of what is internal, tell has written already.
func verdict(o *observed) (slog.Level, string) {
	if o.remote == inProcess { // who called is here, and is told
		return slog.LevelDebug, "call"
	}
	switch o.code {
	case "store_failed", "disk_full", "unknown_outcome", "unknown_format", "corrupt", "store_held":
		return slog.LevelError, "call failed"
	}
	switch {
	case slices.Contains(limitCodes(), o.code):
		return slog.LevelWarn, "call refused by a limit"
	case o.store == "" || o.code == "denied":
		return slog.LevelInfo, "call refused"
	}
	return slog.LevelDebug, "call"
}
