package follow

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Lane is the lane, from 0 to lanes-1, in which the events of a stream are applied: the 64-bit FNV-1a hash of
// kind/id modulo lanes. It never changes: checkpoints depend on it.
func Lane(s event.StreamID, lanes int) int {
	h := uint64(14695981039346656037)
	h = fnv1a(h, s.Kind)
	h = fnv1a(h, "/")
	h = fnv1a(h, s.ID)
	return int(h % uint64(lanes))
}

func fnv1a(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// own are the events that are applied in the lane.
//
// Every lane reads the log for itself. One reader for all would decode once, but would have to stop for the slowest
// lane, or to keep what that lane has not taken, and would start at the oldest of the checkpoints; so a lane that
// waits to try again would hold up the others. Decoding costs less than nearly any Apply.
// The batch is the lane's alone, so it is filtered in place.
func (l *lane) own(events []event.Event) []event.Event {
	if l.options.Partitions == 1 {
		return events
	}
	foreign := func(e event.Event) bool { return Lane(e.Stream, l.options.Partitions) != l.index }
	return slices.DeleteFunc(events, foreign)
}

// keys are the names of the checkpoints of a follower with so many lanes: its own name, or name#i/lanes.
func keys(name string, lanes int) []string {
	if lanes == 1 {
		return []string{name}
	}
	all := make([]string, lanes)
	for i := range all {
		all[i] = fmt.Sprintf("%s#%d/%d", name, i, lanes)
	}
	return all
}

// parseKey takes the name of a checkpoint apart; index and lanes are 0 and 1 for a follower's own.
func parseKey(key string) (name string, index, lanes int, ok bool) {
	name, rest, split := strings.Cut(key, "#")
	if checkName(name) != nil {
		return "", 0, 0, false
	}
	if !split {
		return name, 0, 1, true
	}
	i, n, _ := strings.Cut(rest, "/")
	index, err := strconv.Atoi(i)
	lanes, err2 := strconv.Atoi(n)
	ok = err == nil && err2 == nil && lanes > 1 && lanes <= MaxPartitions && index >= 0 && index < lanes &&
		key == keys(name, lanes)[index]
	return name, index, lanes, ok
}

// arrange makes the lanes of a run, with the checkpoints as Options.Partitions wants them.
//
// The follower's own checkpoint says how many lanes there are. Changing that is a small plan whose every step may be
// the last of a process: mark the old lanes as moved, so that a run that still has them is overtaken; place the new
// lanes; then change the number, which is what makes it count.
func (r *runner) arrange(ctx context.Context) ([]*lane, error) {
	own, n, err := load(ctx, r.cursors, r.name)
	if err != nil {
		return nil, err
	}
	want := r.options.Partitions
	switch {
	case own.Revision == 0 && want > 1:
		_, err = store(ctx, r.cursors, r.name, own, own.Cursor, note{Lanes: want})
	case own.Revision > 0 && n.lanes() == want:
		err = r.reclaim(ctx, own, n)
	case own.Revision > 0:
		err = r.migrate(ctx, own, n)
	}
	if err != nil {
		return nil, err
	}
	var lanes []*lane
	for i, key := range keys(r.name, want) {
		lanes = append(lanes, &lane{runner: r, key: key, index: i})
	}
	return lanes, r.refusePoison(ctx, lanes)
}

// refusePoison looks at all lanes before any of them applies something.
func (r *runner) refusePoison(ctx context.Context, lanes []*lane) error {
	for _, l := range lanes {
		if err := l.load(ctx); err != nil {
			return err
		}
		if l.note.state() == Stopped {
			return l.note.poisoned(r.name)
		}
	}
	return nil
}

// placed is a checkpoint as it was read.
type placed struct {
	key    string
	stored storage.Checkpoint
	note   note
}

func loadLanes(ctx context.Context, cursors storage.Cursors, name string, lanes int) ([]placed, error) {
	all := make([]placed, 0, lanes)
	for _, key := range keys(name, lanes) {
		c, n, err := load(ctx, cursors, key)
		if err != nil {
			return nil, err
		}
		all = append(all, placed{key, c, n})
	}
	return all, nil
}

// reclaim puts lanes back to work that a change of their number, not finished, marked as moved. Writing the
// follower's own checkpoint first overtakes whoever might still be changing it.
func (r *runner) reclaim(ctx context.Context, own storage.Checkpoint, n note) error {
	lanes, err := loadLanes(ctx, r.cursors, r.name, n.lanes())
	if err != nil {
		return err
	}
	lanes = slices.DeleteFunc(lanes, func(p placed) bool { return !p.note.Moved })
	if len(lanes) == 0 {
		return nil
	}
	if _, err := store(ctx, r.cursors, r.name, own, own.Cursor, n); err != nil {
		return err
	}
	for _, p := range lanes {
		p.note.Moved = false
		if _, err := store(ctx, r.cursors, p.key, p.stored, p.stored.Cursor, p.note); err != nil {
			return err
		}
	}
	return nil
}

// migrate changes the number of lanes, if all of them stand at the same place.
func (r *runner) migrate(ctx context.Context, own storage.Checkpoint, n note) error {
	have, want := n.lanes(), r.options.Partitions
	old, err := loadLanes(ctx, r.cursors, r.name, have)
	if err != nil {
		return err
	}
	if err := r.checkMigration(old, want); err != nil {
		return err
	}
	state := Running
	place := old[0].stored.Cursor
	next := note{}.withSkips(n.Skips, n.Skipped)
	for _, p := range old {
		if p.note.state() == Paused {
			state = Paused
		}
		if have == 1 { // its lane is the checkpoint that is written last
			break
		}
		next = next.withSkips(p.note.Skips, p.note.Skipped)
		p.note.Moved = true
		if _, err := store(ctx, r.cursors, p.key, p.stored, place, p.note); err != nil {
			return err
		}
	}
	if want > 1 {
		next.Lanes = want
		if err := r.place(ctx, place, note{}.with(state)); err != nil {
			return err
		}
		state = Running
	}
	_, err = store(ctx, r.cursors, r.name, own, place, next.with(state))
	return err
}

// place writes new lanes, over what an earlier layout of the same number may have left.
func (r *runner) place(ctx context.Context, cursor event.Cursor, n note) error {
	lanes, err := loadLanes(ctx, r.cursors, r.name, r.options.Partitions)
	if err != nil {
		return err
	}
	for _, p := range lanes {
		if _, err := store(ctx, r.cursors, p.key, p.stored, cursor, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) checkMigration(old []placed, want int) error {
	low, high := old[0].stored.Cursor.Position, old[0].stored.Cursor.Position
	same := true
	for _, p := range old {
		if p.note.state() == Stopped {
			return p.note.poisoned(r.name)
		}
		low, high = min(low, p.stored.Cursor.Position), max(high, p.stored.Cursor.Position)
		same = same && p.stored.Cursor == old[0].stored.Cursor
	}
	if !same {
		return event.Invalid("partitions_changed",
			"change partitions from %d to %d: the present ones stand at different positions, %d to %d",
			len(old), want, low, high).
			Hint("run it with %d until all of them have reached the end of the log, then change", len(old))
	}
	return nil
}
