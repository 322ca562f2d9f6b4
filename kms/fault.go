package kms

import (
	"strings"

	"github.com/lethe-es/lethe/event"
)

// The codes of this seam's errors; the package comment says which sentinel each belongs to.
const (
	CodeUnavailable = "kms_unavailable"
	CodeDenied      = "kms_denied"
	CodeMount       = "kms_mount_missing"
	CodeMissing     = "kms_key_missing"
	CodeDestroyed   = "kms_key_destroyed"
	CodeNotOpened   = "kms_not_opened"
	CodeName        = "kms_name"
	CodeItems       = "kms_items"
)

// CheckName refuses what is no name of a root key. The text is not repeated: it may be anything.
func CheckName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	ok := len(name) >= 1 && len(name) <= MaxName && strings.Trim(name, letters+"-") == "" &&
		name[0] != '-' && name[len(name)-1] != '-'
	if ok {
		return nil
	}
	return event.Invalid(CodeName, "name root key: a name is 1 to %d of a-z, 0-9 and -, with no - at its ends", MaxName)
}

// CheckWrap refuses a name or items that Wrap does not take.
func CheckWrap(name string, items []Item) error { return check(name, items, MaxWrap) }

// CheckUnwrap refuses a name or items that Unwrap does not take.
func CheckUnwrap(name string, items []Item) error { return check(name, items, MaxUnwrap) }

func check(name string, items []Item, limit int) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(items) == 0 || len(items) > MaxItems {
		return event.Invalid(CodeItems, "use root key %s: %d items, want 1 to %d", name, len(items), MaxItems)
	}
	total := 0
	for i, item := range items {
		if len(item.Bytes) == 0 {
			return event.Invalid(CodeItems, "use root key %s: item %d is empty", name, i)
		}
		total += len(item.Bytes) + len(item.AAD)
	}
	if total > limit {
		return event.Invalid(CodeItems, "use root key %s: %d bytes in one call, want at most %d", name, total, limit)
	}
	return nil
}

// Missing is the error of a key the service never heard of.
func Missing(name string) *event.Error {
	return fault(event.ErrNotFound, CodeMissing, "find root key "+name+": the key service has no key of that name").
		Hint("look whether this is the right service; what the key wrapped is not erased, and a new one would not open it")
}

// Gone is the error of using or making again a key that was destroyed.
func Gone(name string) *event.Error {
	return fault(event.ErrConflict, CodeDestroyed,
		"use root key "+name+": it was destroyed, and its name stays used for ever")
}

// NotOpened is the error of an item that does not open. It does not say why: nobody but a forger needs to know.
func NotOpened(name string, item int) *event.Error {
	e := event.Errorf(event.ErrCorrupt, "unwrap under root key %s: item %d does not open", name, item).
		Hint("it was wrapped under another key or for another place, or it is damaged")
	e.Code = CodeNotOpened
	return e
}

// Unavailable is the error of a service that cannot be asked; cause is one sentence without secrets.
func Unavailable(what, cause string) *event.Error {
	return fault(event.ErrUnavailable, CodeUnavailable, what+": "+cause)
}

// Denied is the error of a service that refuses this caller.
func Denied(what, cause string) *event.Error {
	return fault(event.ErrDenied, CodeDenied, what+": "+cause)
}

// MountMissing is the error of a place at which there is no such service.
func MountMissing(what, cause string) *event.Error {
	return fault(event.ErrUnavailable, CodeMount, what+": "+cause)
}

func fault(kind error, code, message string) *event.Error {
	return &event.Error{Sentinel: kind, Code: code, Message: message}
}
