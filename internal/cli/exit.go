package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/internal/setting"
	"github.com/lethe-es/lethe/internal/show"
	"github.com/lethe-es/lethe/ledger"
)

// The exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2 // usage, or refused
	exitNotFound    = 3
	exitConflict    = 4
	exitDenied      = 5
	exitUnavailable = 6
	exitVerify      = 7
	exitPartial     = 8
)

// Exits of this package alone; everything else is in package event.
var (
	errPartial     = errors.New("part of it was done")
	errInterrupted = errors.New("interrupted")
)

// class is what the program makes of a kind of error.
type class struct {
	kind error
	exit int
	code string // where the error has none of its own
	next string // where the error does not say what to do
}

// classes is the one table of errors and exit codes.
func classes() []class {
	return []class{
		{errPartial, exitPartial, "partial", ""},
		{errInterrupted, exitPartial, "interrupted", ""},
		{event.ErrInvalid, exitUsage, "invalid", ""},
		{event.ErrNotFound, exitNotFound, "not_found", "look with: lethe event query or lethe stream ls"},
		{event.ErrConflict, exitConflict, "conflict", "read again and decide anew"},
		{event.ErrDuplicate, exitConflict, "id_conflict", "use a new id"},
		{event.ErrClosed, exitUsage, "stream_closed", "append to another stream"},
		{event.ErrForked, exitUsage, "forked", "begin again without --after"},
		{event.ErrUnknown, exitUnavailable, "unknown_outcome", "run it again with the same event ids"},
		{event.ErrFailed, exitUnavailable, "store_failed", "check the disk, then run: lethe doctor"},
		{event.ErrFull, exitUnavailable, "disk_full", "make room on the disk, then run it again"},
		{event.ErrHeld, exitUnavailable, "store_held", "wait until the other process ends, or stop it"},
		{event.ErrUnavailable, exitUnavailable, "unavailable", "run it again"},
		{event.ErrDenied, exitDenied, "denied", ""},
		{event.ErrUnsupported, exitUsage, "unsupported", "see: lethe --help"},
		{event.ErrFormat, exitError, "unknown_format", "upgrade Lethe"},
		{event.ErrCorrupt, exitVerify, "corrupt", "run: lethe doctor; if it finds damage, restore a backup"},
		{ledger.ErrMismatch, exitVerify, "verification_failed", "run: lethe doctor; if it finds damage, restore a backup"},
		{ledger.ErrMalformed, exitVerify, "corrupt", "run: lethe doctor; if it finds damage, restore a backup"},
		{context.Canceled, exitError, "interrupted", "run it again"},
		{fs.ErrNotExist, exitNotFound, "not_found", "check the path"},
		{fs.ErrPermission, exitDenied, "permission_denied", "check who owns the path"},
	}
}

// told is an error as it is shown.
type told struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// fail shows err, if there is one, and gives the exit code.
func (a *app) fail(err error) int {
	if err == nil {
		return exitOK
	}
	t, exit := a.tell(err)
	if a.wantsJSON() {
		if text, err := show.Marshal(struct {
			Error told `json:"error"`
		}{t}); err == nil {
			fmt.Fprintf(a.Stderr, "%s", text)
			return exit
		}
	}
	text := t.Message
	if t.Next != "" {
		text += "; " + t.Next
	}
	fmt.Fprintf(a.Stderr, "%s %s [%s]\n", a.colour("error:"), text, t.Code)
	return exit
}

// colour makes a word red on a terminal that wants colours.
func (a *app) colour(word string) string {
	if show.Width(a.Stderr) == 0 || setting.Variable(a.Environ, "NO_COLOR") != "" {
		return word
	}
	return "\x1b[31m" + word + "\x1b[0m"
}

func (a *app) tell(err error) (told, int) {
	c := class{exit: exitError, code: "internal", next: "run it again; if it persists, run: lethe doctor"}
	for _, known := range classes() {
		if errors.Is(err, known.kind) {
			c = known
			break
		}
	}
	t := told{Code: event.Code(err), Message: err.Error(), Next: c.next}
	if t.Code == "internal" || errors.Is(err, errPartial) || errors.Is(err, errInterrupted) {
		t.Code = c.code
	}
	if message, next := split(err); next != "" {
		t.Message, t.Next = message, next
	}
	next, ours := advice()[t.Code]
	switch {
	case ours:
		t.Next = next
	case c.kind == event.ErrDenied && (t.Code == c.code || strings.HasPrefix(t.Code, "token_")) &&
		!strings.Contains(t.Next, createToken):
		t.Next = strings.TrimPrefix(t.Next+"; an admin makes a token with: "+createToken, "; ")
	case t.Next == "" && c.exit == exitUsage:
		t.Next = "see: " + cmp.Or(a.command, "lethe") + " --help"
	}
	t.Message = show.OneLine(t.Message)
	return t, c.exit
}

// createToken is what helps who is denied.
const createToken = "lethe token create"

// advice is what to do about errors in the words of this program, where those below it speak of calls and options.
func advice() map[string]string {
	return map[string]string{
		"not_indexed":           "declare it with --index-metadata, together with those that are declared already",
		"wrong_format":          "JSON goes into data, a protobuf message as data_base64 into a line of --file",
		"purpose_unknown":       "lethe purpose ls lists those that are declared",
		"token_missing":         "set LETHE_TOKEN or --token-file; an admin makes one with: " + createToken,
		"untrusted_certificate": "check the host's name, or name who signed the certificate with --ca-file",
		"store_missing":         "name one behind the address: --store http://host:port/name",
		"store_unknown":         "check the name behind the address: --store http://host:port/name",
	}
}

// split takes what an error says about what to do off its message.
func split(err error) (message, next string) {
	message, next = event.Split(err)
	var own *outcome
	switch {
	case errors.As(err, &own):
		return own.message, own.next
	case next != "":
	case errors.As(err, new(*event.VersionConflict)), errors.As(err, new(*event.ConditionFailed)),
		errors.As(err, new(*event.Forked)):
		if i := strings.LastIndex(message, "; "); i >= 0 {
			return message[:i], message[i+2:]
		}
	}
	return message, next
}

// outcome is an end that is not a failure of one thing: what was done, and what not.
type outcome struct {
	kind          error // errPartial or errInterrupted
	message, next string
}

func (o *outcome) Error() string { return o.message }
func (o *outcome) Unwrap() error { return o.kind }

// usage makes a typed error of what the parser of the command line says.
func usage(err error) error {
	var coded *event.Error
	if errors.As(err, &coded) {
		return err
	}
	return event.Invalid("usage", "%s", show.OneLine(err.Error())).Hint("see: lethe --help")
}

// wantsJSON also answers before the command line was understood.
func (a *app) wantsJSON() bool {
	if a.settings.Output != "" {
		return strings.HasPrefix(a.settings.Output, "json")
	}
	if strings.HasPrefix(a.flags.Output(), "json") {
		return true
	}
	for i, arg := range a.Args {
		switch {
		case strings.HasPrefix(arg, "-ojson"), strings.HasPrefix(arg, "--output=json"), strings.HasPrefix(arg, "-o=json"):
			return true
		case (arg == "-o" || arg == "--output") && i+1 < len(a.Args) && strings.HasPrefix(a.Args[i+1], "json"):
			return true
		}
	}
	return false
}
