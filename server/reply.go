package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/lethe-es/lethe/event"
)

// reply is where a call is answered. What is written before a method ran is connect's own refusal of a call it could
// not read. It has neither code nor detail, and may quote what was sent; so it is held back, and Server.admitted writes
// what refused says instead.
type reply struct {
	http.ResponseWriter
	entered bool // a method runs
	instead int  // the status to be written instead of connect's; 0: none
	status  int  // of what is held back
	text    []byte

	limit    time.Duration // see within; 0: nothing is being sent within a limit
	deadline time.Time
}

// keepText is enough of a refusal to find its code.
const keepText = 256

// WriteHeader writes the status, or holds it back.
func (r *reply) WriteHeader(status int) {
	if r.instead != 0 {
		status = r.instead
	}
	if r.entered {
		r.ResponseWriter.WriteHeader(status)
		return
	}
	r.status = status
}

// useOther has a refusal say, in HTTP too, with which method the call is made: connect has no code for it.
func (r *reply) useOther(method string) {
	r.Header().Set("Allow", method)
	r.instead = http.StatusMethodNotAllowed
}

func (r *reply) Write(b []byte) (int, error) {
	if r.limit > 0 {
		return r.writePieces(b)
	}
	if r.entered {
		return r.ResponseWriter.Write(b)
	}
	r.text = append(r.text, b[:min(len(b), keepText-len(r.text))]...)
	return len(b), nil
}

// Flush sends what was written.
func (r *reply) Flush() {
	if flusher, ok := r.ResponseWriter.(http.Flusher); ok && r.entered {
		flusher.Flush()
	}
}

// Unwrap lets http.ResponseController find deadlines.
func (r *reply) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// refused is the error for what is held back, and takes back the headers that belonged to it.
func (r *reply) refused() error {
	code := r.heldCode()
	h := r.Header()
	for name := range h {
		if strings.HasPrefix(name, "Grpc-") || strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	for _, name := range []string{"Trailer", "Content-Type", "Content-Encoding", "Connect-Content-Encoding"} {
		delete(h, name)
	}
	switch code {
	case connect.CodeResourceExhausted:
		return event.Invalid("oversized", "read request: the message is larger than this server takes").
			Hint("split it; data of one event is at most %d bytes", event.MaxDataBytes)
	case connect.CodeCanceled:
		return context.Canceled
	case connect.CodeDeadlineExceeded:
		return context.DeadlineExceeded
	case connect.CodeUnimplemented:
		return event.Errorf(event.ErrUnsupported,
			"read request: its method, content type, compression or number of messages is not what this procedure takes")
	}
	return event.Invalid("malformed_message", "read request: it is cut off, or not framed as its content type says")
}

// heldCode finds the code where the protocol in use has it.
func (r *reply) heldCode() (code connect.Code) {
	switch r.status {
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusHTTPVersionNotSupported:
		return connect.CodeUnimplemented
	}
	for _, name := range []string{"Grpc-Status", http.TrailerPrefix + "Grpc-Status"} {
		for _, number := range r.Header()[name] {
			for c := connect.CodeCanceled; c <= connect.CodeUnauthenticated; c++ {
				if number == grpcNumber(c) {
					return c
				}
			}
		}
	}
	_, rest, _ := bytes.Cut(r.text, []byte(`"code":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	if code.UnmarshalText(name) != nil {
		return connect.CodeUnknown
	}
	return code
}

func grpcNumber(c connect.Code) string {
	const digits = "0123456789"
	if c < 10 {
		return digits[c : c+1]
	}
	return "1" + digits[c-10:c-9]
}

// within writes one message of a subscription, and cuts who takes nothing for so long. In between no deadline runs: an
// idle subscription is not a stalled one.
func (r *reply) within(limit time.Duration, send func() error) error {
	r.limit = limit
	err := send()
	r.limit = 0
	if err == nil {
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Time{})
		return nil
	}
	// HTTP/1.1 says that it was the deadline, HTTP/2 only that the stream is closed.
	if errors.Is(err, os.ErrDeadlineExceeded) || !r.deadline.IsZero() && r.deadline.Before(event.SystemClock{}.Now()) {
		return &event.Error{Sentinel: event.ErrUnavailable, Code: "slow_subscriber",
			Message: "subscribe: nothing was taken for " + limit.String(), Next: "resume with the last cursor received"}
	}
	return context.Canceled // the caller is gone
}

// piece is what has to be taken within the limit: who takes a large message slowly is not cut.
const piece = 64 << 10

func (r *reply) writePieces(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		// Connections know no other clock than the machine's. An answer that is not over a connection has no deadline,
		// and needs none.
		r.deadline = event.SystemClock{}.Now().Add(r.limit)
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(r.deadline)
		var n int
		n, err = r.ResponseWriter.Write(b[:min(len(b), piece)])
		written, b = written+n, b[n:]
	}
	return written, err
}
