package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/lethe-es/lethe/event"
)

// Transport calls the handlers in this process, without a network, whatever host a request names. Close ends it.
func (s *Server) Transport() http.RoundTripper {
	p := &pipes{dialled: make(chan net.Conn), closed: s.ending}
	calls, endCalls := context.WithCancelCause(context.Background())
	h, open := s.http(calls)
	go func() {
		_ = h.Serve(p) // it ends with the server
		s.drain(h, open, endCalls)
	}()
	return inside{&http.Transport{
		DialContext: p.dial, MaxIdleConns: pipesKept, MaxIdleConnsPerHost: pipesKept, DisableCompression: true,
	}}
}

// inside carries calls under the name that stands for this process.
type inside struct{ *http.Transport }

// RoundTrip makes one call.
func (t inside) RoundTrip(r *http.Request) (*http.Response, error) {
	call := *r
	call.Host = ownProcess
	return t.Transport.RoundTrip(&call)
}

// Close ends what Transport serves, and notes uses of tokens. The stores stay open. A server that serves is ended by
// its context instead.
func (s *Server) Close() error {
	s.end()
	return s.flush(context.Background())
}

const pipesKept = 64

// inProcess is the remote address of a call over a pipe.
const inProcess = "pipe"

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

// lobby knows how many calls there are, so that their end can be waited for.
type lobby struct {
	mu    sync.Mutex
	calls int
	empty []chan struct{} // closed when there are none
}

func (l *lobby) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
}

func (l *lobby) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls--; l.calls > 0 {
		return
	}
	for _, wait := range l.empty {
		close(wait)
	}
	l.empty = nil
}

// wait gives a channel that is closed when there are no calls.
func (l *lobby) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	none := make(chan struct{})
	if l.calls == 0 {
		close(none)
	} else {
		l.empty = append(l.empty, none)
	}
	return none
}
