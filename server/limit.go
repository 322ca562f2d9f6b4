package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
)

// guard bounds what callers cost.
type guard struct {
	limits Limits
	bytes  atomic.Int64 // of messages that are being read or worked on
	calls  atomic.Int64 // unary ones
	paces  *lru.Cache[string, *rate.Limiter]
}

// paced is how many tokens' paces are remembered. One that was forgotten begins with a full burst.
const paced = 4096

func newGuard(l Limits) *guard {
	paces, err := lru.New[string, *rate.Limiter](paced)
	if err != nil { // only for a size below 1
		panic(err)
	}
	return &guard{limits: l, paces: paces}
}

// pace refuses a caller whose token calls too often.
func (g *guard) pace(c *caller, now time.Time) error {
	if g.limits.Rate <= 0 || c.bearer.ID == "" {
		return nil
	}
	key := c.Name + "/" + c.bearer.ID
	pace, ok := g.paces.Get(key)
	if !ok {
		pace = rate.NewLimiter(rate.Limit(g.limits.Rate), g.limits.Burst)
		if had, there, _ := g.paces.PeekOrAdd(key, pace); there {
			pace = had
		}
	}
	if pace.AllowN(now, 1) {
		return nil
	}
	e := event.Errorf(event.ErrUnavailable, "call: token %s calls more often than this server allows", c.bearer.ID)
	e.Code = "too_many_calls"
	return e.Hint("wait a moment, and send several appends in one call")
}

// smallMessage is what a message may take that is not an append.
const smallMessage = 1 << 20

// messageBytes is the largest message of a procedure, unpacked.
func (l *Limits) messageBytes(procedure string) int {
	switch procedure {
	case lethev1connect.LogServiceAppendProcedure, lethev1connect.LogServiceAppendEachProcedure:
		return l.MessageBytes
	}
	return min(l.MessageBytes, smallMessage)
}

// staysOpen tells calls that are answered for as long as the caller likes.
func staysOpen(path string) bool {
	return path == lethev1connect.LogServiceSubscribeProcedure || path == eventsPath ||
		path == lethev1connect.StoreServiceVerifyProcedure
}

// limited is a handler's call within the limits. Its message is counted from the first byte that is read until the
// call is over, or for a call that stays open until it was read.
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open, sends := staysOpen(r.URL.Path), r.Body != nil && r.Body != http.NoBody
		b := &body{ReadCloser: r.Body, guard: s.guard, open: open, connection: http.NewResponseController(w),
			answer: w.Header()}
		defer b.release()
		if sends {
			// It is for calls that are turned away too: what they sent has to be taken from the connection. What is over
			// no connection has no deadline, and needs none.
			_ = b.connection.SetReadDeadline(event.SystemClock{}.Now().Add(s.limits.Body))
		}
		if !open {
			defer s.guard.calls.Add(-1)
			if s.guard.calls.Add(1) > int64(s.limits.Calls) {
				s.turnAway(w, r, busy("too_many_calls"))
				return
			}
		}
		if !b.reserve(s.limits.expected(r)) {
			s.turnAway(w, r, busy("busy"))
			return
		}
		if sends {
			r.Body = b
		}
		next.ServeHTTP(w, r)
	})
}

// turnAway answers a call before anybody looked at it.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Retry-After", "1")
	code := s.refuse(w, r, err)
	s.observe(observed{procedure: knownProcedure(r.URL.Path), code: code, remote: r.RemoteAddr})
}

func busy(code string) error {
	e := event.Errorf(event.ErrUnavailable, "call: the server has as many calls as it takes")
	e.Code = code
	return e.Hint("try again in a moment")
}

// expected is what a message will take, as far as its headers tell: one that is packed may become as large as any.
func (l *Limits) expected(r *http.Request) int {
	for _, name := range []string{"Content-Encoding", "Grpc-Encoding", "Connect-Content-Encoding"} {
		if packed := r.Header.Get(name); packed != "" && packed != "identity" {
			return l.messageBytes(r.URL.Path)
		}
	}
	if r.URL.RawQuery != "" { // the message of a GET
		return len(r.URL.RawQuery)
	}
	return int(min(max(r.ContentLength, 0), int64(l.messageBytes(r.URL.Path))))
}

// body counts what is read of a message against what the server may hold.
type body struct {
	io.ReadCloser
	guard      *guard
	open       bool // the call stays open after its message was read
	connection *http.ResponseController
	answer     http.Header

	read, reserved int
	done           bool
	full           atomic.Bool // there was no room for more
	once           sync.Once
}

// errBusy ends the reading of a message for which there is no room.
var errBusy = errors.New("no room for the message")

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.read += n; b.read > b.reserved && !b.reserve(b.read-b.reserved) {
		b.full.Store(true)
		b.answer.Set("Retry-After", "1")
		return 0, errBusy
	}
	if err != nil && !b.done {
		b.done = true
		_ = b.connection.SetReadDeadline(time.Time{}) // it was for sending the message
		if b.open {
			b.release()
		}
	}
	return n, err
}

// reserve takes room for n more bytes, if there is any.
func (b *body) reserve(n int) bool {
	if b.guard.bytes.Add(int64(n)) > int64(b.guard.limits.BufferBytes) {
		b.guard.bytes.Add(-int64(n))
		return false
	}
	b.reserved += n
	return true
}

func (b *body) release() { b.once.Do(func() { b.guard.bytes.Add(-int64(b.reserved)) }) }

// crowd is a listener that keeps no more than so many connections. One that is too many is closed at once: left in the
// queue it would keep others waiting.
type crowd struct {
	net.Listener
	most    int64
	present atomic.Int64
}

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.present.Add(1) <= c.most {
			return &guest{Conn: conn, crowd: c}, nil
		}
		c.present.Add(-1)
		_ = conn.Close()
	}
}

type guest struct {
	net.Conn
	crowd *crowd
	once  sync.Once
}

func (g *guest) Close() error {
	g.once.Do(func() { g.crowd.present.Add(-1) })
	return g.Conn.Close()
}
