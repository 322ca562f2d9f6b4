package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// codeOK is what Server.observe is told of a call that went well; of others it is told the error's code.
const codeOK = "ok"

// rule says under which code of connect, and so of gRPC and HTTP, a class of errors travels. What our clients go by is
// the detail; the code is for clients, proxies and retries that know nothing of Lethe.
type rule struct {
	class error
	code  connect.Code
}

func rules() []rule {
	return []rule{
		{event.ErrInvalid, connect.CodeInvalidArgument},
		{event.ErrNotFound, connect.CodeNotFound},
		// "Retry at a higher level": read again and decide anew. A retry of the same message is refused again, so one
		// that is made blindly does no harm.
		{event.ErrConflict, connect.CodeAborted},
		{event.ErrDuplicate, connect.CodeAlreadyExists},
		{event.ErrClosed, connect.CodeFailedPrecondition},
		{event.ErrForked, connect.CodeOutOfRange},
		// Not unavailable, which generic clients retry by themselves: if the caller gave no event ids, that would append
		// twice. Who gave ids retries by this error's own advice.
		{event.ErrUnknown, connect.CodeUnknown},
		{event.ErrFailed, connect.CodeInternal},
		{event.ErrFull, connect.CodeResourceExhausted},
		{event.ErrHeld, connect.CodeUnavailable},
		{event.ErrUnavailable, connect.CodeUnavailable},
		{event.ErrDenied, connect.CodePermissionDenied},
		{event.ErrUnsupported, connect.CodeUnimplemented},
		{event.ErrFormat, connect.CodeInternal},
		{event.ErrCorrupt, connect.CodeDataLoss},
		{context.Canceled, connect.CodeCanceled},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
	}
}

// codeOf finds the rule. Two codes are finer than their class: what is wrong with a token (token_…) is
// unauthenticated, and what is too many at once (too_many_…) is the caller's to slow down.
func codeOf(err error) connect.Code {
	fine := event.Code(err)
	for _, r := range rules() {
		switch {
		case !errors.Is(err, r.class):
		case r.class == event.ErrDenied && strings.HasPrefix(fine, "token_"):
			return connect.CodeUnauthenticated
		case r.class == event.ErrUnavailable && strings.HasPrefix(fine, "too_many_"):
			return connect.CodeResourceExhausted
		default:
			return r.code
		}
	}
	return connect.CodeInternal
}

// tell is what a caller gets to know of an error. What is of no known class is logged under an incident's name, and the
// caller is told only that: nobody has looked at what such an error says.
func (s *Server) tell(procedure string, err error) *lethev1.Error {
	m := wire.Error(err)
	if m.Kind != wire.KindInternal {
		return m
	}
	m.Incident = s.incident()
	m.Message = "call " + procedure + ": the server failed"
	m.Next = "its log says why, under incident " + m.Incident
	s.logger.Error("call failed", "incident", m.Incident, "procedure", procedure, "error", err.Error())
	return m
}

// incident is a name that is found again in a log.
func (s *Server) incident() string {
	var b [8]byte
	if _, err := io.ReadFull(s.rand, b[:]); err != nil {
		return "unnamed"
	}
	return hex.EncodeToString(b[:])
}

// fault is an error in the caller's protocol, with what tell says as its detail.
func (s *Server) fault(procedure string, err error) (*connect.Error, *lethev1.Error) {
	m := s.tell(procedure, err)
	e := connect.NewError(codeOf(err), errors.New(sentence(m)))
	if detail, err := connect.NewErrorDetail(m); err == nil { // it fails for what is no message
		e.AddDetail(detail)
	}
	return e, m
}

func sentence(m *lethev1.Error) string {
	if m.Kind == wire.KindInternal {
		return m.Message + "; " + m.Next
	}
	return m.Message
}

// refuse answers a call with an error before any method ran, in the protocol of the call; for what speaks none, as
// the JSON of connect. It returns the error's code, for observe.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) string {
	e, m := s.fault(r.URL.Path, err)
	// gRPC has its own way to say so, in which this header is not allowed.
	if e.Code() == connect.CodeUnauthenticated && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		w.Header().Set("WWW-Authenticate", challenge(m))
	}
	_ = s.refusal.Write(w, r, e) // it fails when the caller is gone
	return m.Code
}

// challenge is by RFC 6750: no error is named to who brought no token.
func challenge(m *lethev1.Error) string {
	const scheme = `Bearer realm="lethe"`
	if m.Code == "token_missing" {
		return scheme
	}
	return scheme + `, error="invalid_token"`
}

// run does the work of a call and puts its error into the caller's protocol. refused is what was wrong with the
// request already.
func (c *caller) run(refused error, work func() error) error {
	if c == nil {
		return connect.NewError(connect.CodePermissionDenied, errors.New("call: it was not admitted"))
	}
	c.reply.entered = true
	if refused == nil {
		refused = guarded(work)
	}
	if refused == nil {
		return nil
	}
	e, m := c.server.fault(c.procedure.name, refused)
	if c.code = m.Code; c.code == codeUsePost {
		c.reply.useOther(http.MethodPost)
	}
	return e
}

// guarded turns a panic into an error of no known class. What panicked is shown by its type only, but for errors of
// the runtime: any other value may hold what a user stored.
func guarded(work func() error) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("panic: %w\n%s", v, debug.Stack())
		default:
			if v == http.ErrAbortHandler {
				panic(http.ErrAbortHandler)
			}
			err = fmt.Errorf("panic with a %T\n%s", v, debug.Stack())
		}
	}()
	return work()
}

// serveUnknown answers what is not served.
func (s *Server) serveUnknown(w http.ResponseWriter, r *http.Request) {
	err := &event.Error{Sentinel: event.ErrNotFound, Code: "procedure_unknown",
		Message: "call: there is nothing at this path", Next: "see /openapi.json for what there is"}
	if r.Method == http.MethodPost && s.refusal.IsSupported(r) {
		err.Sentinel = event.ErrUnsupported // what gRPC calls it
	}
	code := s.refuse(w, r, err)
	s.observe(observed{procedure: knownProcedure(r.URL.Path), code: code, remote: r.RemoteAddr})
}
