package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/lethe-es/lethe/api/lethe/v1/lethev1connect"
	"github.com/lethe-es/lethe/event"
)

// guard bounds what callers cost.
type guard struct {
	limits      Limits
	bytes       quota // of messages that are being read, worked on or answered
	calls       quota // unary ones whose message was read
	open        quota // all calls
	connections quota
	paces       *lru.Cache[string, *rate.Limiter] // by store and token
}

const (
	beingRead = 8       // so many times Limits.Calls may be open: most of them wait for their callers
	paced     = 4096    // tokens whose paces are remembered; one that was forgotten begins with a full burst
	unpacking = 1032    // the most bytes that one byte of gzip becomes
	framing   = 1 << 10 // bytes of a body that are not its message
)

func newGuard(l Limits) (*guard, error) {
	g := &guard{limits: l}
	g.bytes.limit = int64(l.BufferBytes)
	g.calls.limit = int64(l.Calls)
	g.open.limit = int64(beingRead*l.Calls + l.Streams)
	g.connections.limit = int64(l.Connections)
	var err error
	g.paces, err = lru.New[string, *rate.Limiter](paced)
	return g, err
}

// quota bounds something that is taken and given back.
type quota struct {
	limit int64
	used  atomic.Int64
}

func (q *quota) take(n int64) bool {
	if q.used.Add(n) > q.limit {
		q.used.Add(-n)
		return false
	}
	return true
}

func (q *quota) give(n int64) { q.used.Add(-n) }

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
	e.Code = codeTooMany
	return e.Hint("wait a moment, and send several appends in one call")
}

// What a message may take that is not an append.
const (
	smallMessage = 1 << 20
	heldMessage  = 8 << 20 // with events in it; the largest one fits, in JSON too
)

// messageBytes is the largest message of a procedure, unpacked.
func (l *Limits) messageBytes(procedure string) int {
	switch procedure {
	case lethev1connect.LogServiceAppendProcedure, lethev1connect.LogServiceAppendEachProcedure:
		return l.MessageBytes
	case lethev1connect.LogServiceOpenProcedure:
		return min(l.MessageBytes, heldMessage)
	}
	return min(l.MessageBytes, smallMessage)
}

// staysOpen tells calls that are answered for as long as the caller likes.
func staysOpen(path string) bool {
	switch path {
	case lethev1connect.LogServiceSubscribeProcedure, eventsPath, lethev1connect.StoreServiceVerifyProcedure,
		lethev1connect.SubjectServiceMapProcedure, lethev1connect.KeyServiceRollProcedure:
		return true
	}
	return false
}

// limited bounds how many calls are open, and what their requests take while they are read and worked on.
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.guard.open.take(1) {
			s.turnAway(w, r, tooManyCalls("has open"))
			return
		}
		defer s.guard.open.give(1)
		b := s.body(w, r)
		defer b.release()
		if b.refused != nil {
			s.turnAway(w, r, b.refused)
			return
		}
		r.Body = b
		next.ServeHTTP(&answer{ResponseWriter: w, guard: s.guard, open: b.open}, r)
	})
}

// turnAway answers a call before anybody looked at it.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	later(w, err)
	code := s.refuse(w, r, err)
	s.observe(observed{procedure: knownProcedure(r.URL.Path), code: code, remote: r.RemoteAddr})
}

// later tells when to come again who is refused for now.
func later(w http.ResponseWriter, err error) {
	if errors.Is(err, event.ErrUnavailable) {
		w.Header().Set("Retry-After", "1")
	}
}

func unavailable(code, message string) *event.Error {
	return &event.Error{Sentinel: event.ErrUnavailable, Code: code, Message: message, Next: "try again in a moment"}
}

const (
	codeTooMany = "too_many_calls"
	codeBusy    = "busy"
	codeSlow    = "slow_caller"
)

func tooManyCalls(verb string) error {
	return unavailable(codeTooMany, "call: the server "+verb+" as many calls as it takes")
}

// body is the request of a call. What it takes counts against the budget from when it is read until the call is over.
// When all of it is read, a unary call takes its place among those that are worked on: a caller that sends slowly holds
// none.
type body struct {
	io.ReadCloser
	guard   *guard
	most    int64 // of the message, unpacked
	packed  bool
	open    bool // the call stays open after its message was read
	read    int64
	held    int64  // of the budget
	ended   bool   // was read
	working bool   // has its place
	whole   func() // all of it was read
	refused error  // by a limit; the answer to the call
}

func (s *Server) body(w http.ResponseWriter, r *http.Request) *body {
	b := &body{
		ReadCloser: r.Body, guard: s.guard, most: int64(s.limits.messageBytes(r.URL.Path)),
		packed: packed(r), open: staysOpen(r.URL.Path), whole: func() {},
	}
	if r.ProtoMajor == 1 {
		// Deadlines for reading are the connection's: when one passes, a call that is still worked on is taken for one
		// whose caller is gone. And what the call before left for writing is no concern of this one.
		connection := http.NewResponseController(w)
		b.whole = func() { _ = connection.SetReadDeadline(time.Time{}) }
		_ = connection.SetWriteDeadline(time.Time{})
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		b.ReadCloser = http.NoBody
		b.take(len(r.URL.RawQuery)) // the message of a GET
		b.end()
	}
	return b
}

// packed tells whether a message will be unpacked, in any of the protocols.
func packed(r *http.Request) bool {
	for _, name := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if how := r.Header.Get(name); how != "" && how != "identity" {
			return true
		}
	}
	return r.Method == http.MethodGet && r.URL.Query().Has("compression")
}

// Read refuses what goes beyond a limit; the refusal stays.
func (b *body) Read(p []byte) (int, error) {
	if b.refused != nil {
		return 0, b.refused
	}
	n, err := b.ReadCloser.Read(p)
	b.take(n)
	switch {
	case err == io.EOF:
		b.end()
	case errors.Is(err, os.ErrDeadlineExceeded) && b.refused == nil:
		b.refused = unavailable(codeSlow, "read request: it did not arrive within "+b.guard.limits.Body.String())
	}
	if b.refused != nil {
		return 0, b.refused
	}
	return n, err
}

// take counts n bytes, and with packed ones what they may become: more than most are not unpacked.
func (b *body) take(n int) {
	if b.read += int64(n); b.read > b.most+framing {
		b.refused = event.Invalid("oversized", "read request: the message is larger than this server takes").
			Hint("split it; data of one event is at most %d bytes", event.MaxDataBytes)
		return
	}
	need := b.read
	if b.packed {
		need += min(b.read*unpacking, b.most)
	}
	if !b.guard.bytes.take(need - b.held) {
		b.refused = unavailable(codeBusy, "read request: the messages the server works on take all the room there is")
		return
	}
	b.held = need
}

func (b *body) end() {
	b.ended = true
	b.whole()
	if b.open || b.working || b.refused != nil {
		return
	}
	if b.working = b.guard.calls.take(1); !b.working {
		b.refused = tooManyCalls("works on")
	}
}

func (b *body) release() {
	b.guard.bytes.give(b.held)
	if b.working {
		b.guard.calls.give(1)
	}
}

// refusalOf is why a request was not read: what a limit said, where one did, else err.
func refusalOf(w http.ResponseWriter, r *http.Request, err error) error {
	if b, ok := r.Body.(*body); ok {
		if b.refused != nil {
			err = b.refused
		}
		if r.ProtoMajor == 1 && !b.ended { // what still comes would be taken for the next call
			w.Header().Set("Connection", "close")
		}
	}
	later(w, err)
	return err
}

// answer bounds how long a unary call may take to be answered, and counts the bytes on the way. Subscriptions have a
// deadline of their own for each piece (reply.within).
type answer struct {
	http.ResponseWriter
	guard *guard
	open  bool
	timed bool
}

// Unwrap lets http.ResponseController find deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Write sends a part of the answer: all of it must be taken within Limits.Body.
func (a *answer) Write(p []byte) (int, error) {
	if a.open {
		return a.ResponseWriter.Write(p)
	}
	if !a.timed {
		a.timed = true
		expire(a.ResponseWriter, a.guard.limits.Body)
	}
	a.guard.bytes.used.Add(int64(len(p)))
	defer a.guard.bytes.give(int64(len(p)))
	return a.ResponseWriter.Write(p)
}

// FlushError sends what was written.
func (a *answer) FlushError() error { return http.NewResponseController(a.ResponseWriter).Flush() }

// Flush is FlushError for who does not ask.
func (a *answer) Flush() { _ = a.FlushError() }

// expire gives writing a deadline. Connections know no other clock than the machine's; what is over no connection has
// no deadline, and needs none.
func expire(w http.ResponseWriter, limit time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(event.SystemClock{}.Now().Add(limit))
}
