package pglink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/event"
)

// Classify gives what the database says our words. Of its own only those come along that name no value.
func Classify(err error) error {
	if err == nil {
		return nil
	}
	var known interface{ ErrorCode() string }
	if errors.As(err, &known) || ended(err) {
		return err
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return conditionOf(said)
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return event.Errorf(event.ErrUnavailable, "connect to database on %s: %s", hosts(connecting.Config), causes(err)).
			Hint("%s", advice(err))
	}
	if !Passing(err) {
		return err
	}
	return event.Errorf(event.ErrUnavailable, "use database: the connection broke (%s)", causes(err)).
		Hint("check that it runs; what was not acknowledged may be tried again")
}

// ended tells a context's own errors from a time that ran out on the network, which is a fault of the database's.
func ended(err error) bool {
	var connecting *pgconn.ConnectError
	return (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) && !errors.As(err, &connecting)
}

// hosts are where a connection was tried.
func hosts(c *pgconn.Config) string { return strings.Join(servers(c), ", ") }

// servers are the hosts and ports of an address, each once.
func servers(c *pgconn.Config) []string {
	list := []string{net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))}
	for _, f := range c.Fallbacks {
		if name := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// causes are the innermost reasons, each once. They are the operating system's and the library's, and name no value.
func causes(err error) string {
	var list []string
	eachCause(err, func(cause error) {
		text := cause.Error()
		var network net.Error
		var lookup *net.DNSError
		switch {
		case errors.As(cause, &lookup) && lookup.IsNotFound:
			text = "there is no host of this name"
		case errors.As(cause, &network) && network.Timeout():
			text = "it did not answer in time"
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	})
	return strings.Join(list, ", ")
}

func eachCause(err error, visit func(cause error)) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 0 {
		for _, e := range joined.Unwrap() {
			eachCause(e, visit)
		}
		return
	}
	if inner := errors.Unwrap(err); inner != nil {
		eachCause(inner, visit)
		return
	}
	visit(err)
}

// advice is what to do about a connection that was not made.
func advice(err error) string {
	var certificate *tls.CertificateVerificationError
	switch why := causes(err); {
	case errors.As(err, &certificate):
		return "name the certificate of the server's authority by sslrootcert, and the server as its certificate names it"
	case strings.Contains(why, "refused TLS"):
		return "turn on ssl at the server; sslmode=disable is for networks on which nobody can listen"
	case strings.Contains(why, "read only connection"):
		return "promote a replica, or name the primary in the address"
	}
	return "check that it runs, and host and port of the address"
}

// condition is one that a person can do something about.
type condition struct {
	kind       error
	what, hint string
	// words: the server's own come along. They name users, databases, tables, settings, and no value.
	words bool
}

const (
	grants = "grant what docs/postgresql.md lists; tables are made and upgraded by their owner"
	pooler = "connect to the server itself: a pooler that shares connections between transactions cannot carry a store"
)

// denied is the code of what the database denies, which is not what a store's own tokens deny.
const denied = "database_denied"

// states are conditions by SQLSTATE, or by its first characters.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
var states = map[string]condition{
	"28": {event.ErrDenied, "it refused the login",
		"check user and password of the address, and the server's pg_hba.conf", true},
	"3D000": {event.ErrNotFound, "there is none of this name on the server", "create it, or check the address", false},
	"3F000": {event.ErrNotFound, "there is no such schema", "check the schema of the address", false},
	"42P01": {event.ErrNotFound, "the store's tables are not in the schema", "check the schema of the address", false},
	"42501": {event.ErrDenied, "its user lacks a privilege", grants, true},
	"42704": {event.ErrInvalid, "it does not know a parameter of the address",
		"take it out: what is not the database library's is set at the server", true},
	"22023": {event.ErrInvalid, "it refused the value of a parameter", "check the parameters of the address", false},
	"25006": {event.ErrUnavailable, "it only reads: it is a replica, or set to read only",
		"name the primary in the address, or all hosts with target_session_attrs=read-write", false},
	"53100": {event.ErrFull, "its disk is full", "make room: appends go on by themselves, reading works meanwhile", false},
	"53200": {event.ErrUnavailable, "it is out of memory", "give it more, or try again later", false},
	"53300": {event.ErrUnavailable, "it has no connection left",
		"raise max_connections or the user's limit, or run fewer processes: each uses up to 10", true},
	"53":    {event.ErrUnavailable, "it lacks a resource", "see the server's log", false},
	"55P03": {event.ErrUnavailable, "somebody holds a lock on its tables", "find out who: docs/postgresql.md", false},
	"57014": {event.ErrUnavailable, "it cancelled a statement", "unset statement_timeout for this user; try again", false},
	"57P":   {event.ErrUnavailable, "it is stopping, starting or was restarted", "try again in a moment", true},
	"08P01": {event.ErrUnavailable, "what answers is not the server itself", pooler, true},
	"26000": {event.ErrUnavailable, "what answers is not the server itself", pooler, false},
	"42P05": {event.ErrUnavailable, "what answers is not the server itself", pooler, false},
	"08":    {event.ErrUnavailable, "the connection broke", "try again in a moment", false},
	"22021": {event.ErrInvalid, "a name holds a byte that none may have", "names are UTF-8 without zero bytes", false},
	"25P03": {event.ErrUnavailable, "it ended a transaction that stood idle", "try again", false},
	"40":    {event.ErrUnavailable, "it rolled a transaction back", "try again", false},
	"XX001": {event.ErrCorrupt, "its files are damaged", "see the server's log; restore a backup", false},
	"XX002": {event.ErrCorrupt, "its indexes are damaged", "see the server's log; REINDEX DATABASE", false},
	"58":    {event.ErrUnavailable, "it met an error of its disk or system", "see the server's log", false},
}

func conditionOf(said *pgconn.PgError) error {
	for n := len(said.Code); n >= 2; n-- {
		c, ok := states[said.Code[:n]]
		if !ok {
			continue
		}
		text := c.what
		if c.words {
			text += ": " + Words(said.Message)
		}
		e := event.Errorf(c.kind, "use database: %s (SQLSTATE %s)", text, said.Code).Hint("%s", c.hint)
		if c.kind == event.ErrDenied {
			e.Code = denied
		}
		return e
	}
	return fmt.Errorf("use database: it refused a statement (SQLSTATE %s); see the server's log", said.Code)
}

// Words are the server's, fit to stand in a line.
func Words(text string) string {
	const most = 200
	fit := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(fit) > most {
		fit = strings.ToValidUTF8(fit[:most], "") + "…"
	}
	return fit
}

// Passing reports whether an error may be gone in a moment, on a new connection.
func Passing(err error) bool {
	var known interface{ ErrorCode() string }
	if err == nil || errors.As(err, &known) {
		return false
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code != "08P01" && slices.ContainsFunc([]string{"57P", "08", "53300", "25P03", "25006", "40"},
			func(code string) bool { return strings.HasPrefix(said.Code, code) })
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// Answered reports that the server itself says that a statement was not done.
func Answered(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Severity == "ERROR"
}

// Storable reports whether a text may be in the database at all: it keeps valid UTF-8 without zero bytes.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// State is the SQLSTATE of what the server said; empty: it said nothing.
func State(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}
