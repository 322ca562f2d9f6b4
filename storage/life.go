package storage

import (
	"context"
	"fmt"
	"slices"

	"github.com/lethe-es/lethe/event"
)

// State says what may be done with a log.
type State uint8

// The states of a log. They are on disk, for ever.
const (
	Live    State = iota // everything
	Filling              // it is a copy of another log that is not complete: nothing but its copying may use it
	Moved                // it goes on elsewhere: nothing is added any more; it may still be read and pruned
	Moving               // sealed like one that moved, but its copy is not Live yet
)

// String is the word for a state.
func (s State) String() string {
	switch s {
	case Live:
		return "live"
	case Filling:
		return "filling"
	case Moved:
		return "moved"
	case Moving:
		return "moving"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Life is the state of a log, and for one that is Moving or Moved the place it moves to, as a person would name it: a
// folder, or an address without a password.
type Life struct {
	State State
	Place string
}

// Sealed tells whether nothing may be added to the log any more.
func (l Life) Sealed() bool { return l.State == Moving || l.State == Moved }

// Check is nil if the log is Live; otherwise it says why what is being done ("append to application/1"; empty: the
// caller says it) may not be done: event.ErrUnavailable with code incomplete_copy, or event.ErrClosed with code moving
// or moved, for which no caller needs to wait: a sealed log never opens again.
func (l Life) Check(doing string) error {
	if doing != "" {
		doing += ": "
	}
	switch l.State {
	case Live:
		return nil
	case Filling:
		return &event.Error{Sentinel: event.ErrUnavailable, Code: "incomplete_copy",
			Message: doing + "the store is a copy that is not complete",
			Next:    "run lethe store copy again, which goes on where it ended"}
	case Moving:
		return &event.Error{Sentinel: event.ErrClosed, Code: "moving",
			Message: doing + "the store is moving to " + l.Place, Next: "wait, or finish it: run lethe store copy again"}
	case Moved:
		return &event.Error{Sentinel: event.ErrClosed, Code: "moved",
			Message: doing + "the store moved to " + l.Place, Next: "go on there"}
	}
	return event.Errorf(event.ErrFormat, "%sthe store is in %s, which this version does not know", doing, l.State).
		Hint("upgrade Lethe")
}

// Heir lets a new store take over the log of another one, which package archive copies into it:
//
//	Adopt, then records by Commit and bodies taken away by Rewrite, InheritFences, Inherit, and a Commit that makes it
//	Live.
//
// All calls may be repeated, so that a copy that was interrupted goes on.
type Heir interface {
	// Adopt gives a new, empty store the identity and the fence of head, durably; nothing else of head is taken. The
	// store is Filling from then on. [storagetest.AdoptTakesOver] Terms and plans are made with the secret and the
	// indexed keys it took over. [storagetest.AdoptIndexes]
	// A store that is Filling and has this identity stays as it is, whatever keys either has declared since; any other
	// that is not new, empty and Live is event.ErrConflict, and so is a head without an identity; nothing changes.
	// [storagetest.AdoptRefused]
	Adopt(ctx context.Context, head Head) error
	// Inherit makes these the checkpoints and tokens of the store, durably and all of them or none: revisions and times
	// come back as they are given, and what was there before is gone. [storagetest.InheritExact] A store that is not
	// Filling is event.ErrConflict, and nothing changes. [storagetest.InheritRefused]
	Inherit(ctx context.Context, checkpoints []NamedCheckpoint, tokens []Token) error
	// InheritFences adds fences with the numbers they have, durably and all of them or none, and raises the head's
	// fence to upTo where it is lower. What is there already stays, so fences come over page by page, and again. A
	// number that is 0 or above upTo is event.ErrInvalid, a store that is not Filling event.ErrConflict, and nothing
	// changes. [storagetest.FencesInherited]
	InheritFences(ctx context.Context, upTo uint64, fences []Fence) error
}

// Adopted is what Adopt makes of a store at head own; used says that the store is not empty. A store that stays as it
// is comes back as own. The error is Adopt's.
func Adopted(own, head Head, used bool) (Head, error) {
	same := own.Store == head.Store && own.Incarnation == head.Incarnation && own.Secret == head.Secret &&
		slices.Equal(own.Lineage, head.Lineage)
	conflict := func(cause string) error {
		return event.Errorf(event.ErrConflict, "copy store %s: the store to copy to %s", head.Store, cause).
			Hint("name a new, empty one")
	}
	switch {
	case head.Store == event.StoreID{} || head.Incarnation == 0 || len(head.Lineage) == 0:
		return own, event.Errorf(event.ErrConflict, "copy store: the store to copy has no identity")
	case own.Life.State == Filling && same:
		return own, nil
	case own.Life.State == Filling:
		return own, conflict(fmt.Sprintf("is an incomplete copy of another one, %s", own.Store))
	case own.Life.State == Moved:
		return own, conflict("moved to " + own.Life.Place)
	case own.Life.State == Moving:
		return own, conflict("is moving to " + own.Life.Place)
	case same:
		return own, conflict("is the same one")
	case used || own.Fence != 0 || len(own.Lineage) != 1:
		return own, conflict("is in use")
	}
	return Head{Identity: head.Identity, Fence: head.Fence, Life: Life{State: Filling}}, nil
}
