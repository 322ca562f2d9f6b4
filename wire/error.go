package wire

import (
	"context"
	"errors"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
)

// sentinels are the classes of errors, by the name under which they travel: the sentinel's own code.
func sentinels() []error {
	return []error{
		event.ErrInvalid, event.ErrNotFound, event.ErrConflict, event.ErrDuplicate, event.ErrClosed, event.ErrForked,
		event.ErrUnknown, event.ErrFailed, event.ErrFull, event.ErrHeld, event.ErrUnavailable, event.ErrDenied,
		event.ErrUnsupported, event.ErrFormat, event.ErrCorrupt,
		context.Canceled, context.DeadlineExceeded,
	}
}

// Names of the classes that are not sentinels of package event.
const (
	KindInternal = "internal" // nothing is known about it; its message stays on the server
	kindCanceled = "canceled"
	kindDeadline = "deadline_exceeded"
)

// Kind is the name of the class of an error.
func Kind(err error) string {
	for _, s := range sentinels() {
		if errors.Is(err, s) {
			return kindOf(s)
		}
	}
	return KindInternal
}

func kindOf(sentinel error) string {
	switch sentinel {
	case context.Canceled:
		return kindCanceled
	case context.DeadlineExceeded:
		return kindDeadline
	}
	return event.Code(sentinel)
}

// Error is the message of an error of a known class. Of another nothing but KindInternal is told: what it says is for
// the server's log.
func Error(err error) *lethev1.Error {
	m := &lethev1.Error{Kind: Kind(err)}
	if m.Kind == KindInternal {
		m.Code = KindInternal
		return m
	}
	m.Message = err.Error()
	if m.Code = event.Code(err); m.Code == KindInternal {
		m.Code = m.Kind // a context's error
	}
	var coded *event.Error
	if errors.As(err, &coded) {
		m.Next = coded.Next
	}
	var version *event.VersionConflict
	var condition *event.ConditionFailed
	var forked *event.Forked
	switch {
	case errors.As(err, &version):
		m.Detail = &lethev1.Error_VersionConflict{VersionConflict: &lethev1.VersionConflict{
			Stream: version.Stream.String(), Expected: uint64(version.Expected), Actual: uint64(version.Actual)}}
	case errors.As(err, &condition):
		m.Detail = &lethev1.Error_ConditionFailed{ConditionFailed: &lethev1.ConditionFailed{
			After: uint64(condition.After), Hit: uint64(condition.Hit)}}
	case errors.As(err, &forked):
		m.Detail = &lethev1.Error_Forked{Forked: &lethev1.Forked{Common: uint64(forked.Common)}}
	}
	return m
}

// told is an error as a server told it: its sentence is kept, its class and its detail are found by errors.Is and As.
type told struct {
	message string
	cause   error
}

func (e *told) Error() string { return e.message }

func (e *told) Unwrap() error { return e.cause }

// ParseError reads an error. What is not known, of a newer server, is an error too: it is no class of this version, and
// keeps its code.
func ParseError(m *lethev1.Error) error {
	switch d := m.GetDetail().(type) {
	case *lethev1.Error_VersionConflict:
		stream, err := event.ParseEntity(d.VersionConflict.GetStream())
		if err == nil {
			return &told{m.GetMessage(), &event.VersionConflict{Stream: stream,
				Expected: event.Expected(d.VersionConflict.GetExpected()), Actual: event.Version(d.VersionConflict.GetActual())}}
		}
	case *lethev1.Error_ConditionFailed:
		return &told{m.GetMessage(), &event.ConditionFailed{
			After: event.Position(d.ConditionFailed.GetAfter()), Hit: event.Position(d.ConditionFailed.GetHit())}}
	case *lethev1.Error_Forked:
		return &told{m.GetMessage(), &event.Forked{Common: event.Position(d.Forked.GetCommon())}}
	}
	coded := &event.Error{Code: m.GetCode(), Message: m.GetMessage(), Next: m.GetNext()}
	for _, s := range sentinels() {
		if kindOf(s) == m.GetKind() {
			coded.Sentinel = s
		}
	}
	if coded.Sentinel == nil {
		coded.Sentinel = errors.New(KindInternal)
		if coded.Message == "" {
			coded.Message = "the server failed; its log says why, under incident " + m.GetIncident()
		}
	}
	if m.GetMessage() == "" {
		return coded
	}
	return &told{m.GetMessage(), coded}
}
