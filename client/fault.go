package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/wire"
)

// verdict is what is known after one try of a call. The zero verdict: it succeeded.
type verdict struct {
	err     error
	lost    bool // it may have been done, though nobody said so
	again   bool // another try may come to something else
	settled bool // the log itself decided: whatever earlier tries came to, this is the answer
}

// judge finds out what an error of package connect means. Nothing of a stranger's answer gets into a message.
func (b *backend) judge(ctx context.Context, err error) verdict {
	if m := detail(err); m != nil {
		return told(ctx, wire.ParseError(m))
	}
	if ended := ctx.Err(); ended != nil {
		return verdict{err: ended, lost: true}
	}
	var s *strange
	if errors.As(err, &s) {
		return b.judgeStrange(s)
	}
	if connect.IsWireError(err) {
		return b.judgeWire(connect.CodeOf(err))
	}
	return b.judgeTransport(err)
}

func detail(err error) *lethev1.Error {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return nil
	}
	for _, d := range coded.Details() {
		if d.Type() != "lethe.v1.Error" {
			continue
		}
		if value, err := d.Value(); err == nil {
			if m, ok := value.(*lethev1.Error); ok {
				return m
			}
		}
	}
	return nil
}

// told judges what a server said itself.
func told(ctx context.Context, err error) verdict {
	for _, settled := range []error{
		event.ErrInvalid, event.ErrNotFound, event.ErrConflict, event.ErrDuplicate, event.ErrClosed, event.ErrForked,
	} {
		if errors.Is(err, settled) {
			return verdict{err: err, settled: true}
		}
	}
	switch {
	case errors.Is(err, event.ErrUnknown):
		return verdict{err: err, lost: true, again: ctx.Err() == nil}
	case errors.Is(err, event.ErrUnavailable):
		return verdict{err: err, again: true}
	case ctx.Err() != nil:
		return verdict{err: ctx.Err(), lost: true}
	case errors.Is(err, context.DeadlineExceeded) && hasDeadline(ctx): // the server's clock was first
		return verdict{err: err, lost: true}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded): // not by this caller
		err = event.Errorf(event.ErrUnavailable, "the server ended the call before it was done")
		return verdict{err: err, lost: true, again: true}
	case event.Code(err) == wire.KindInternal:
		return verdict{err: err, lost: true}
	}
	return verdict{err: err}
}

func hasDeadline(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return ok
}

func (b *backend) judgeStrange(s *strange) verdict {
	switch s.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return verdict{lost: true, again: true, err: event.Errorf(event.ErrUnavailable,
			"reach %s: a proxy on the way answers with status %d", b.host, s.status).
			Hint("check that the server behind it runs")}
	case http.StatusTooManyRequests:
		return verdict{again: true, err: event.Errorf(event.ErrUnavailable,
			"reach %s: a proxy on the way takes no more calls", b.host).Hint("try again later")}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return verdict{err: event.Errorf(event.ErrDenied, "reach %s: a proxy on the way answers with status %d, not Lethe",
			b.host, s.status).Hint("ask who runs the proxy for access")}
	case http.StatusRequestEntityTooLarge:
		return verdict{err: event.Invalid("oversized", "reach %s: a proxy on the way refuses a message of this size",
			b.host).Hint("append less at once, or raise the limit of the proxy")}
	}
	return b.notLethe("status %d", s.status)
}

// notLethe is for answers that no server of this protocol gives.
func (b *backend) notLethe(how string, args ...any) verdict {
	err := event.Errorf(event.ErrUnavailable, "reach %s: what answers there ("+how+") is not a Lethe server",
		append([]any{b.host}, args...)...).Hint("check host, port and scheme of the address")
	err.Code = "not_lethe"
	return verdict{err: err, lost: true}
}

// judgeWire is for errors in the right form that say nothing of Lethe's.
func (b *backend) judgeWire(code connect.Code) verdict {
	switch code {
	case connect.CodeUnavailable, connect.CodeCanceled, connect.CodeDeadlineExceeded, connect.CodeAborted:
		return verdict{lost: true, again: true, err: event.Errorf(event.ErrUnavailable,
			"reach %s: the call was ended on the way (%s)", b.host, code).Hint("check that the server runs")}
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return verdict{err: event.Errorf(event.ErrDenied, "reach %s: the call was refused on the way (%s)", b.host, code).
			Hint("ask who runs the server for access")}
	case connect.CodeResourceExhausted:
		return verdict{err: event.Invalid("oversized", "reach %s: the message is too large on the way", b.host).
			Hint("append less at once")}
	case connect.CodeInvalidArgument:
		return verdict{err: event.Invalid("malformed_message", "reach %s: the server cannot read the message", b.host).
			Hint("compare the versions of client and server")}
	}
	return b.notLethe("code %s", code)
}

// judgeTransport is for errors of the network. Only what the operating system says about it is told.
func (b *backend) judgeTransport(err error) verdict {
	unavailable := func(code, cause, next string) error {
		e := event.Errorf(event.ErrUnavailable, "reach %s: %s", b.host, cause).Hint("%s", next)
		e.Code = code
		return e
	}
	var (
		dial      *net.OpError
		plain     tls.RecordHeaderError
		untrusted *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &untrusted):
		return verdict{err: unavailable("untrusted_certificate", "its certificate is not trusted",
			"check the host name, or pass the certificate of who signed it")}
	case errors.As(err, &plain):
		return verdict{err: unavailable("not_tls", "it does not speak TLS", "use http://, or turn TLS on at the server")}
	case errors.As(err, &dial) && dial.Op == "dial":
		return verdict{again: true, err: unavailable("unavailable", dial.Err.Error(),
			"check the address, and that the server runs")}
	case connect.CodeOf(err) == connect.CodeResourceExhausted:
		return b.notLethe("more than %d bytes", readLimit)
	case strings.Contains(err.Error(), "malformed HTTP"):
		return b.notLethe("not HTTP")
	}
	return verdict{lost: true, again: true, err: unavailable("unavailable", "the connection broke before the answer came",
		"check that the server runs")}
}
