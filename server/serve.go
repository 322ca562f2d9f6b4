package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lethe-es/lethe/event"
)

const (
	headerBytes = 16 << 10         // of one call
	idle        = 2 * time.Minute  // a connection without a call is closed then
	pings       = 15 * time.Second // a peer that is silent for so long is asked whether it is there
	flushEvery  = 30 * time.Second // notes when tokens were used
)

// Serve answers calls that come over listener until ctx ends. Then /readyz says so, subscriptions are ended with an
// error from which they resume, and open calls are finished, for Limits.Drain at most. nil: it ended in this way.
func (s *Server) Serve(ctx context.Context, listener net.Listener, t *tls.Config) error {
	h := s.http()
	h.TLSConfig = t
	guests := &crowd{Listener: listener, most: int64(s.limits.Connections)}
	ended := make(chan error, 1)
	go func() {
		if t != nil {
			ended <- h.ServeTLS(guests, "", "")
			return
		}
		ended <- h.Serve(guests)
	}()
	s.logger.Info("serving", "address", listener.Addr().String(), "tls", t != nil, "tokens", !s.options.NoTokens)
	if err := s.attend(ctx, ended); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	s.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Drain)
	defer cancel()
	err := h.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.logger.Warn("calls were cut: they took longer than the time to drain", "limit", s.limits.Drain)
		err = h.Close()
	}
	<-ended
	err = errors.Join(err, s.flush(context.WithoutCancel(ctx)))
	s.logger.Info("ended")
	return err
}

// attend notes uses of tokens until ctx ends, or serving fails, which is its error.
func (s *Server) attend(ctx context.Context, ended <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-s.clock.After(flushEvery):
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.logger.Warn("uses of tokens were not stored; they are tried again", "error", err.Error())
			}
		}
	}
}

// http is the server's HTTP/1.1 and HTTP/2, with TLS or without.
func (s *Server) http() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: s.handler, Protocols: protocols, ReadHeaderTimeout: s.limits.Header, IdleTimeout: idle,
		MaxHeaderBytes: headerBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 250, SendPingTimeout: pings, PingTimeout: pings, WriteByteTimeout: s.limits.Stall,
		},
		ErrorLog: log.New(discreet{s.logger}, "", 0),
	}
}

// discreet logs what net/http says of connections, without what it quotes: that is what a caller sent.
type discreet struct{ logger *slog.Logger }

// Write logs one message. A panic is shown without its value, which may hold what a user stored.
func (d discreet) Write(b []byte) (int, error) {
	text, stack, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if strings.Contains(text, ": panic serving ") {
		d.logger.Error("handler panicked", "stack", stack)
		return len(b), nil
	}
	text, _, _ = strings.Cut(text, `"`)
	d.logger.Debug("connection failed", "error", text)
	return len(b), nil
}

// Transport calls the handlers in this process, without a network. Close ends it.
func (s *Server) Transport() http.RoundTripper {
	p := &pipes{dialled: make(chan net.Conn), closed: s.ending}
	h := s.http()
	go func() {
		_ = h.Serve(p) // it ends with the server
		ctx, cancel := context.WithTimeout(context.Background(), s.limits.Drain)
		defer cancel()
		if h.Shutdown(ctx) != nil {
			_ = h.Close()
		}
	}()
	return &http.Transport{
		DialContext: p.dial, MaxIdleConns: pipesKept, MaxIdleConnsPerHost: pipesKept, DisableCompression: true,
	}
}

// Close ends what Transport serves, and notes uses of tokens. The stores stay open. A server that serves is ended by
// its context instead.
func (s *Server) Close() error {
	s.end()
	return s.flush(context.Background())
}

const pipesKept = 64

// pipes is a listener to which only this process can connect.
type pipes struct {
	dialled chan net.Conn
	closed  <-chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.dialled <- there:
		return here, nil
	case <-p.closed:
		return nil, event.Errorf(event.ErrUnavailable, "call: the server is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialled:
		return conn, nil
	case <-p.closed:
		return nil, io.EOF
	}
}

// Close does nothing: the pipes end with their server.
func (*pipes) Close() error { return nil }

// Addr names nothing.
func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "in process", Net: "pipe"} }
