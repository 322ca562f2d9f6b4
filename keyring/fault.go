package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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
// must not read as a person who is unknown or an access that is denied, nor the trouble of its folder as a caller's bad
// input, whatever else the error is: of such ones only the text goes on, the code and the next step.
func kmsFault(err error, doing string, epoch uint32) error {
	is := func(kinds ...error) bool {
		return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
	}
	kind, code, next := event.ErrUnavailable, event.Code(err), ""
	switch {
	case is(event.ErrNotFound, event.ErrDenied):
		next = "check that this is the store's key service, and what its caller may do there"
	case is(event.ErrInvalid):
	case is(event.ErrConflict, event.ErrCorrupt):
		kind, next = event.ErrCorrupt, "check that this is the store's key service and its keystore"
	case is(context.Canceled, context.DeadlineExceeded, event.ErrUnavailable, event.ErrUnsupported, event.ErrFormat,
		event.ErrFailed):
		return fmt.Errorf("%s epoch %d: %w", doing, epoch, err)
	default:
		code = "kms_unavailable"
	}
	text, own := event.Split(err)
	return fault(kind, code, "%s epoch %d: %s", doing, epoch, text).Hint("%s", cmp.Or(own, next))
}
