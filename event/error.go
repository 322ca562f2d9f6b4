package event

import (
	"errors"
	"fmt"
	"strings"
)

// sentinel is a class of errors. Every error that leaves Lethe is (errors.Is) exactly one of them,
// embedded or over the wire, and carries a stable Code.
type sentinel struct{ code, text string }

func (s *sentinel) Error() string { return s.text }

// The one vocabulary of errors. Exit codes and wire codes are made from these at the doors.
var (
	ErrInvalid     error = &sentinel{"invalid", "invalid input"}
	ErrNotFound    error = &sentinel{"not_found", "not found"}
	ErrConflict    error = &sentinel{"conflict", "conflict"}
	ErrDuplicate   error = &sentinel{"id_conflict", "event id already used by another append"}
	ErrClosed      error = &sentinel{"stream_closed", "stream is closed"}
	ErrForked      error = &sentinel{"forked", "cursor is beyond a fork of the log"}
	ErrUnknown     error = &sentinel{"unknown_outcome", "outcome unknown"}
	ErrFailed      error = &sentinel{"store_failed", "store failed"}
	ErrFull        error = &sentinel{"disk_full", "disk full"}
	ErrHeld        error = &sentinel{"store_held", "store is held by another process"}
	ErrUnavailable error = &sentinel{"unavailable", "unavailable"}
	ErrDenied      error = &sentinel{"denied", "denied"}
	ErrUnsupported error = &sentinel{"unsupported", "unsupported"}
	ErrFormat      error = &sentinel{"unknown_format", "unknown format"}
	ErrCorrupt     error = &sentinel{"corrupt", "stored bytes are damaged"}
)

// Error gives a sentinel a stable code and one sentence for a person. It never holds a payload value.
type Error struct {
	Sentinel error  // one of Err…
	Code     string // stable, snake_case, finer than the sentinel
	Message  string // "verb object: cause", ids only
	Next     string // what to do about it; may be empty
}

func (e *Error) Error() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}

// Split is what an error says without the next step that an Error in it names, and that step; "" where none is named.
func Split(err error) (message, next string) {
	message = err.Error()
	if e, ok := errors.AsType[*Error](err); ok && e.Next != "" {
		return strings.Replace(message, "; "+e.Next, "", 1), e.Next
	}
	return message, ""
}

// Unwrap makes errors.Is find the sentinel.
func (e *Error) Unwrap() error { return e.Sentinel }

// Invalid makes an ErrInvalid with its code.
func Invalid(code, format string, args ...any) *Error {
	return &Error{Sentinel: ErrInvalid, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Errorf makes an error of any sentinel, with the sentinel's own code.
func Errorf(kind error, format string, args ...any) *Error {
	return &Error{Sentinel: kind, Code: Code(kind), Message: fmt.Sprintf(format, args...)}
}

// Hint says what to do next.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Code is the stable code of err: the finest known, "internal" when nothing is known about it, "" for nil.
func Code(err error) string {
	if err == nil {
		return ""
	}
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return "internal"
}

// ErrorCode is Code, found through wrapping.
func (e *Error) ErrorCode() string { return e.Code }

func (s *sentinel) ErrorCode() string { return s.code }

// VersionConflict says that a stream was not at the expected version; it is an ErrConflict.
type VersionConflict struct {
	Stream   StreamID
	Expected Expected
	Actual   Version
}

func (e *VersionConflict) Error() string {
	return fmt.Sprintf("append to %s: expected %s, it is at version %d; read it again and decide anew",
		e.Stream, e.Expected, e.Actual)
}

// ErrorCode is "version_conflict".
func (e *VersionConflict) ErrorCode() string { return "version_conflict" }

// Unwrap makes it an ErrConflict.
func (e *VersionConflict) Unwrap() error { return ErrConflict }

// ConditionFailed says that an event matching an append condition exists; it is an ErrConflict.
type ConditionFailed struct {
	After Position // the condition looked after this position
	Hit   Position // a matching event (the first known)
}

func (e *ConditionFailed) Error() string {
	return fmt.Sprintf("append: an event matching the condition exists after position %d (at %d); "+
		"read from there and decide anew", e.After, e.Hit)
}

// ErrorCode is "condition_failed".
func (e *ConditionFailed) ErrorCode() string { return "condition_failed" }

// Unwrap makes it an ErrConflict.
func (e *ConditionFailed) Unwrap() error { return ErrConflict }

// Forked says that a cursor points beyond what this store shares with the one it came from.
type Forked struct {
	Common Position // the last position both share
}

func (e *Forked) Error() string {
	return fmt.Sprintf("resume cursor: the log was restored and forked; the last common position is %d; "+
		"resume from there and undo what was derived after it", e.Common)
}

// ErrorCode is "forked".
func (e *Forked) ErrorCode() string { return "forked" }

// Unwrap makes it an ErrForked.
func (e *Forked) Unwrap() error { return ErrForked }
