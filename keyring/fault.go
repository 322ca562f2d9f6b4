package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
)

func fault(kind error, code, format string, args ...any) *event.Error {
	return &event.Error{Sentinel: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// missing says that a key which was handed out is not there. It is never taken for an erased one, nor made anew.
func missing(format string, args ...any) error {
	return fault(event.ErrCorrupt, "key_missing", format, args...).
		Hint("check that this is the store's keystore, and complete; restore it from a backup if it is not")
}

func erasedSubject(format string, args ...any) error {
	return fault(event.ErrDenied, "erased_subject", format, args...).
		Hint("the person was erased; a new relation with them has to be opened explicitly")
}

func closedKeeper() error {
	return fault(event.ErrUnavailable, "keeper_closed", "use keyrings: the store was closed").Hint("open it again")
}

func contended(what string) error {
	return fault(event.ErrUnavailable, "keyring_contended", "change %s: others change it all the time", what).
		Hint("try again")
}

// kmsFault says of a call to the key service what it means here. What the service does not have, or does not allow,
// must not read as a person who is unknown or an access that is denied.
func kmsFault(err error, doing string, epoch uint32) error {
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	code := event.Code(err)
	switch {
	case ended, errors.Is(err, event.ErrUnavailable), errors.Is(err, event.ErrUnsupported),
		errors.Is(err, event.ErrFormat), errors.Is(err, event.ErrFailed):
		return fmt.Errorf("%s epoch %d: %w", doing, epoch, err)
	case errors.Is(err, event.ErrNotFound), errors.Is(err, event.ErrDenied):
		return fault(event.ErrUnavailable, code, "%s epoch %d: %v", doing, epoch, err).
			Hint("check that this is the store's key service, and what its caller may do there")
	case errors.Is(err, event.ErrConflict), errors.Is(err, event.ErrCorrupt):
		return fault(event.ErrCorrupt, code, "%s epoch %d: %v", doing, epoch, err).
			Hint("check that this is the store's key service and its keystore")
	}
	return fault(event.ErrUnavailable, "kms_unavailable", "%s epoch %d: %v", doing, epoch, err)
}
