package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Pause makes a follower wait, in whatever process it runs, now and after every restart. A run applies at most the
// batch it is at and what it gets within Options.Poll. A paused follower stays paused. event.ErrNotFound: it never
// ran; event.ErrConflict: it is poisoned, so it does not run anyway.
func Pause(ctx context.Context, cursors storage.Cursors, name string) error {
	return act(ctx, cursors, name, func(p *placed) error {
		switch p.note.state() {
		case Running:
			p.note = p.note.with(Paused)
		case Stopped:
			return event.Errorf(event.ErrConflict, "pause %s: it is stopped at event %s at position %d",
				name, p.note.Poison.ID, p.note.Poison.Cursor.Position).Hint("resume it, or skip the event")
		}
		return nil
	})
}

// Resume ends a pause, and lets a poisoned follower try its event again with the next run. One that is neither stays
// as it is. event.ErrNotFound: it never ran.
func Resume(ctx context.Context, cursors storage.Cursors, name string) error {
	return act(ctx, cursors, name, func(p *placed) error {
		if s := p.note.state(); s == Paused || s == Stopped {
			p.note = p.note.with(Running)
		}
		return nil
	})
}

// Decision says which event a follower shall do without, and who answers for that.
type Decision struct {
	Position event.Position // of the poison, as Poisoned and Status name it
	By       event.Actor
	Reason   string // a code, not a text: snake_case of at most 64 bytes, such as known_bad_amount
}

// Skip lets a poisoned follower go on after its event, with the next run. The decision is kept in the checkpoint.
// event.ErrNotFound: the follower never ran; event.ErrConflict: no event at this position stops it;
// event.ErrInvalid: the decision names nobody, or its reason is not a code.
func Skip(ctx context.Context, cursors storage.Cursors, name string, d Decision) error {
	if err := d.validate(name); err != nil {
		return err
	}
	found := false
	err := act(ctx, cursors, name, func(p *placed) error {
		bad := p.note.Poison
		if bad == nil || bad.Cursor.Position != d.Position {
			return nil
		}
		found = true
		skipped := skip{Position: d.Position, ID: bad.ID, Code: bad.Code, By: d.By.String(), Reason: d.Reason}
		p.note = p.note.with(Running).withSkips([]skip{skipped}, 1)
		p.stored.Cursor = bad.Cursor
		return nil
	})
	if err == nil && !found {
		return event.Errorf(event.ErrConflict, "skip position %d for %s: it is not stopped there", d.Position, name).
			Hint("ask its status for the position")
	}
	return err
}

func (d Decision) validate(name string) error {
	if err := d.By.Issuer().Validate(); err != nil {
		return fmt.Errorf("skip position %d for %s: %w", d.Position, name, err)
	}
	if !isCode(d.Reason) {
		return event.Invalid("malformed_reason", "skip position %d for %s: the reason is not a code", d.Position, name).
			Hint("give up to 64 lower-case letters, digits and _, such as known_bad_amount")
	}
	return nil
}

// act lets change see every lane of a follower, and stores what it changes. A lane that ran meanwhile is shown again.
func act(ctx context.Context, cursors storage.Cursors, name string, change func(*placed) error) error {
	own, n, err := load(ctx, cursors, name)
	if err != nil {
		return err
	}
	if own.Revision == 0 {
		return event.Errorf(event.ErrNotFound, "find follower %s: it never ran", name).Hint("ask for the status of all")
	}
	for _, key := range keys(name, n.lanes()) {
		if err := actOn(ctx, cursors, key, change); err != nil {
			return err
		}
	}
	return nil
}

// actTries bounds how often a lane may move between reading its checkpoint and writing it.
const actTries = 1000

func actOn(ctx context.Context, cursors storage.Cursors, key string, change func(*placed) error) error {
	for try := 1; ; try++ {
		stored, n, err := load(ctx, cursors, key)
		if err != nil {
			return err
		}
		p := placed{key, stored, n}
		if err := change(&p); err != nil {
			return err
		}
		if p.note.state() == n.state() {
			return nil
		}
		_, err = store(ctx, cursors, key, stored, p.stored.Cursor, p.note)
		if !errors.Is(err, event.ErrConflict) || try == actTries {
			return err
		}
	}
}
