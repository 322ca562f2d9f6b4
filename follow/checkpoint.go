package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// load reads a checkpoint and its note.
func load(ctx context.Context, cursors storage.Cursors, key string) (storage.Checkpoint, note, error) {
	c, err := cursors.Checkpoint(ctx, key)
	if err != nil {
		return storage.Checkpoint{}, note{}, fmt.Errorf("read checkpoint of %s: %w", key, err)
	}
	n, err := decodeNote(storage.NamedCheckpoint{Follower: key, Checkpoint: c})
	return c, n, err
}

// store replaces the checkpoint from by compare-and-set.
func store(ctx context.Context, cursors storage.Cursors, key string, from storage.Checkpoint, to event.Cursor, n note,
) (storage.Checkpoint, error) {
	text, err := n.encode()
	if err != nil {
		return storage.Checkpoint{}, fmt.Errorf("encode checkpoint of %s: %w", key, err)
	}
	stored, err := cursors.Advance(ctx, key, from, storage.Checkpoint{Cursor: to, Note: text})
	if err != nil {
		return storage.Checkpoint{}, fmt.Errorf("advance checkpoint of %s: %w", key, err)
	}
	return stored, nil
}

// advance moves the lane's checkpoint. A pause that came in between is kept, with l.note telling of it; another run
// that came in between is event.ErrConflict.
//
// Any other failure ends the lane rather than being tried again: whether the checkpoint was stored is then answered
// by reading it anew, at the start of the next run.
func (l *lane) advance(ctx context.Context, to event.Cursor, n note) error {
	for {
		stored, err := store(ctx, l.cursors, l.key, l.stored, to, n)
		if err == nil {
			l.stored, l.note = stored, n
			return nil
		}
		if !errors.Is(err, event.ErrConflict) {
			return err
		}
		moved, adoptErr := l.adopt(ctx)
		if adoptErr != nil {
			return adoptErr
		}
		if !moved {
			return err
		}
		if n.Poison == nil {
			n = l.note
		}
	}
}

// adopt takes over what an operator did to the checkpoint, and reports whether there was something. Operators change
// notes and leave the cursor of a lane that runs where it is; only another run moves it.
func (l *lane) adopt(ctx context.Context) (bool, error) {
	stored, n, err := load(ctx, l.cursors, l.key)
	if err != nil {
		return false, err
	}
	if stored.Revision == l.stored.Revision {
		return false, nil
	}
	foreign := n.state() == Stopped || n.Moved || n.Lanes > 0
	if foreign || stored.Cursor != l.stored.Cursor {
		return false, l.overtaken()
	}
	l.stored, l.note = stored, n
	return true, nil
}

func (l *lane) overtaken() error {
	return event.Errorf(event.ErrConflict, "advance checkpoint of %s: another run moved it", l.key).
		Hint("let one run at a time follow under this name")
}
