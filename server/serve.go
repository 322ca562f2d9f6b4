package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lethe-es/lethe/event"
)

const (
	idleTime     = 2 * time.Minute  // a connection without calls is closed after it
	pingTime     = 15 * time.Second // a connection that is silent for so long is asked whether it lives
	headerBytes  = 16 << 10         // of one call
	streamsOfOne = 250              // calls at once in one HTTP/2 connection
	flushTime    = 30 * time.Second // when tokens were last used is written so often
)

// Serve answers calls that come in at l until ctx ends, over TLS if secure is not nil. It speaks HTTP/1.1 and HTTP/2 on
// one port, HTTP/2 without TLS for who knows that it does. Then it drains: it takes no new connections, /readyz fails,
// subscriptions end with event.ErrUnavailable, code draining, other calls have Limits.Drain to finish, and Serve
// returns nil. It closes l. A server drains once: after that it is not served again.
func (s *Server) Serve(ctx context.Context, l net.Listener, secure *tls.Config) error {
	calls, endCalls := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endCalls(nil)
	h, open := s.http(calls)
	h.TLSConfig = secure
	failed := make(chan error, 1)
	go func() { failed <- s.accept(h, l) }()
	flushed := s.keepTokens()
	s.logger.Info("serving", "address", l.Addr().String(), "tls", secure != nil, "tokens", !s.options.NoTokens,
		"stores", len(s.tenants))
	var err error
	select {
	case err = <-failed: // the listener broke
	case <-ctx.Done():
	}
	s.end()
	s.drain(h, open, endCalls)
	flushed()
	if flush := s.flush(context.WithoutCancel(ctx)); flush != nil {
		s.logger.Error("note use of tokens", "code", event.Code(flush))
	}
	s.logger.Info("stopped", "address", l.Addr().String())
	if err != nil {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

func (s *Server) http(calls context.Context) (*http.Server, *lobby) {
	open := new(lobby)
	h := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			open.enter()
			defer open.leave()
			s.handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: s.limits.Header,
		ReadTimeout:       s.limits.Header + s.limits.Body, // calls whose request was read end it: see body
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		Protocols:         new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsOfOne, SendPingTimeout: pingTime, PingTimeout: pingTime,
			WriteByteTimeout: s.limits.Body,
		},
		BaseContext: func(net.Listener) context.Context { return calls },
		ErrorLog:    slog.NewLogLogger(connectionLog{s.logger.Handler()}, slog.LevelDebug),
	}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetHTTP2(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	return h, open
}

func (s *Server) accept(h *http.Server, l net.Listener) error {
	door := &door{Listener: l, server: s}
	serve := h.Serve
	if h.TLSConfig != nil {
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	if err := serve(door); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain lets open calls finish, and ends those that take too long. When it returns nothing uses the stores any more,
// unless a store does not notice that a call has ended.
func (s *Server) drain(h *http.Server, open *lobby, endCalls context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.Drain)
	defer cancel()
	if h.Shutdown(ctx) != nil {
		s.logger.Warn("open calls are cut", "after", s.limits.Drain.String())
	}
	endCalls(draining())
	_ = h.Close()
	select {
	case <-open.wait():
	case <-s.clock.After(s.limits.Drain):
		s.logger.Error("a store still works on calls that were cut")
	}
}

// recheckTime is how long a subscription may outlive its token where another process revoked it.
const recheckTime = time.Second

// keepTokens writes when tokens were last used and looks for those that other processes revoked, from time to time,
// until it is told to stop.
func (s *Server) keepTokens() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	every := func(pause time.Duration, what string, do func(context.Context) error) {
		running.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-s.clock.After(pause):
				}
				if err := do(ctx); err != nil && ctx.Err() == nil {
					s.logger.Error(what, "code", event.Code(err))
				}
			}
		})
	}
	every(flushTime, "note use of tokens", s.flush)
	every(recheckTime, "look for revoked tokens", s.recheck)
	return func() {
		cancel()
		running.Wait()
	}
}

// door closes connections beyond the limit at once: one that waited in the queue would look like a server that hangs.
type door struct {
	net.Listener
	server *Server
}

// Accept waits for a connection that may stay.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.server.guard.connections.take(1) {
			d.server.meter.guests.Inc()
			return &guest{Conn: c, leave: sync.OnceFunc(func() {
				d.server.guard.connections.give(1)
				d.server.meter.guests.Dec()
			})}, nil
		}
		d.server.meter.refused.WithLabelValues(codeConnections).Inc()
		_ = c.Close()
	}
}

// guest is a connection that is counted.
type guest struct {
	net.Conn
	leave func()
}

// CloseWrite lets net/http end a connection so that its peer still gets the last answer.
func (g *guest) CloseWrite() error {
	if half, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close gives the place back.
func (g *guest) Close() error {
	defer g.leave()
	return g.Conn.Close()
}

// connectionLog passes on what net/http says of connections, without what strangers sent over them.
type connectionLog struct{ slog.Handler }

// Handle keeps the kind of what happened.
func (l connectionLog) Handle(ctx context.Context, r slog.Record) error {
	level, text := slog.LevelDebug, "connection failed"
	switch {
	case strings.HasPrefix(r.Message, "http: Accept error"):
		level, text = slog.LevelWarn, "accept connection: the machine refuses; trying again"
	case strings.HasPrefix(r.Message, "http: TLS handshake error"):
		text = "TLS handshake failed"
	}
	if !l.Enabled(ctx, level) {
		return nil
	}
	return l.Handler.Handle(ctx, slog.NewRecord(r.Time, level, text, 0))
}
