package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-es/lethe/event"
)

// classify gives what the database says our words. Its own text is left out: it may quote values.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var known interface{ ErrorCode() string }
	if errors.As(err, &known) || ended(err) {
		return err
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return state(said.Code)
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return event.Errorf(event.ErrUnavailable, "use store: no connection to the database (%s)", cause(err)).
			Hint("check that it runs, and host and port of the address")
	}
	if !passing(err) {
		return err
	}
	return event.Errorf(event.ErrUnavailable, "use store: the connection to the database broke (%s)", cause(err)).
		Hint("check that the database runs; what was not acknowledged may be tried again")
}

// ended tells a context's own errors from a time that ran out on the network, which is a fault of the database's.
func ended(err error) bool {
	var connecting *pgconn.ConnectError
	return contextError(err) && !errors.As(err, &connecting)
}

// cause is the innermost reason, which is the operating system's and names no value.
func cause(err error) string {
	for {
		var joined interface{ Unwrap() []error }
		if errors.As(err, &joined) && len(joined.Unwrap()) > 0 {
			err = joined.Unwrap()[0]
			continue
		}
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// states are the conditions a person can do something about, by SQLSTATE, or by its first two characters.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
var states = map[string]struct {
	kind       error
	what, hint string
}{
	"28": {event.ErrDenied, "the database refused the login",
		"check user and password of the address, and the server's pg_hba.conf"},
	"3D000": {event.ErrNotFound, "there is no such database on the server", "create it, or check the address"},
	"3F000": {event.ErrNotFound, "there is no such schema in the database", "create the store first: lethe store init"},
	"42P01": {event.ErrNotFound, "the store's tables are not in the schema", "check the schema of the address"},
	"42501": {event.ErrDenied, "the database user lacks a privilege",
		"grant it as docs/postgresql.md says: lethe needs usage of the schema, and to read and write its tables"},
	"25006": {event.ErrUnavailable, "the database only reads: it is a replica, or set to read only",
		"name the primary in the address, or all hosts with target_session_attrs=read-write"},
	"53100": {event.ErrFull, "the disk of the database is full",
		"make room: appends go on by themselves, reading works meanwhile"},
	"53200": {event.ErrUnavailable, "the database is out of memory", "give it more, or try again later"},
	"53300": {event.ErrUnavailable, "the database has no connection left",
		"raise max_connections, or run fewer processes: each uses up to 10"},
	"55P03": {event.ErrUnavailable, "another process or a person holds a lock on the store's tables", "try again"},
	"57014": {event.ErrUnavailable, "the database cancelled a statement", "try again"},
	"57P":   {event.ErrUnavailable, "the database is stopping, starting or was restarted", "try again in a moment"},
	"08":    {event.ErrUnavailable, "the connection to the database broke", "try again in a moment"},
	"22021": {event.ErrInvalid, "a name holds a byte that no stored name has", "names are UTF-8 without zero bytes"},
	"25P03": {event.ErrUnavailable, "the database ended a transaction that stood idle", "try again"},
	"40":    {event.ErrUnavailable, "the database rolled a transaction back", "try again"},
	"XX":    {event.ErrCorrupt, "the database says that its files are damaged", "see the server's log; restore a backup"},
	"58":    {event.ErrUnavailable, "the database met an error of its disk or system", "see the server's log"},
}

func state(code string) error {
	for n := len(code); n >= 2; n-- {
		if s, ok := states[code[:n]]; ok {
			return event.Errorf(s.kind, "use store: %s (SQLSTATE %s)", s.what, code).Hint("%s", s.hint)
		}
	}
	return fmt.Errorf("use store: the database refused a statement (SQLSTATE %s)", code)
}

// passing reports whether an error may be gone in a moment, on a new connection.
func passing(err error) bool {
	var known interface{ ErrorCode() string }
	if err == nil || errors.As(err, &known) || errors.Is(err, errMerged) {
		return false
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return slices.ContainsFunc([]string{"57P", "08", "53300", "25P03", "25006", "40"},
			func(code string) bool { return strings.HasPrefix(said.Code, code) })
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// answered reports that the server itself says that a statement was not done.
func answered(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Severity == "ERROR"
}

func sqlState(err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}
