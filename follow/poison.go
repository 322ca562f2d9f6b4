package follow

import (
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
)

// Poisoned says that a follower stopped at an event that it cannot apply. Everything before the event is applied,
// the event and what comes after it is not. It is an event.ErrInvalid.
type Poisoned struct {
	Follower string
	Position event.Position
	ID       event.ID
	Code     string // event.Code of the cause

	// Cause is what Apply returned; nil when an earlier run met it. It may hold payload: only errors.As reaches it.
	Cause error
}

func (e *Poisoned) Error() string {
	return fmt.Sprintf("event %s at position %d cannot be applied by %s (%s); "+
		"mend the follower and resume it, or skip the event", e.ID, e.Position, e.Follower, e.Code)
}

// ErrorCode is "poisoned".
func (e *Poisoned) ErrorCode() string { return "poisoned" }

// Unwrap makes it an ErrInvalid.
func (e *Poisoned) Unwrap() error { return event.ErrInvalid }

// As finds the cause's types.
func (e *Poisoned) As(target any) bool { return e.Cause != nil && errors.As(e.Cause, target) }

// GoString is Error, so that %#v does not print the cause.
func (e *Poisoned) GoString() string { return e.Error() }

// applyError is an error of Apply that is not the event's fault. It prints the code only, like Poisoned.
type applyError struct {
	first, last event.Position
	cause       error
}

func (e *applyError) Error() string {
	return fmt.Sprintf("apply events at %d to %d: %s", e.first, e.last, codeOf(e.cause))
}

func (e *applyError) Unwrap() error { return e.cause }

// codeOf is the code under which a cause is shown and stored. A text that does not look like a code may be payload.
func codeOf(err error) string {
	if code := event.Code(err); isCode(code) {
		return code
	}
	return "internal"
}

// isCode reports whether s is snake_case of at most 64 bytes.
func isCode(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}

// fatal are errors after which trying again is of no use, and which say nothing about the event.
func fatal(err error) bool {
	return isAny(err, event.ErrFailed, event.ErrForked, event.ErrHeld, event.ErrCorrupt)
}

// outage are errors that pass, and which say nothing about the event.
func outage(err error) bool {
	return isAny(err, event.ErrUnavailable, event.ErrFull, event.ErrUnknown)
}

func isAny(err error, sentinels ...error) bool {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}
