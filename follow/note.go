package follow

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// State is what a follower, or one lane of it, is meant to do.
type State string

const (
	Running State = "running"  // it goes on whenever there is a run
	Paused  State = "paused"   // a run waits for Resume
	Stopped State = "poisoned" // no run goes on before Resume or Skip
)

// maxSkips bounds how many skips a note remembers; it counts all.
const maxSkips = 32

const noteVersion = 1

// note is what a checkpoint holds besides its cursor; docs/format/checkpoint.md. The zero note is stored as nothing.
type note struct {
	Version int     `json:"v"`
	State   State   `json:"state,omitempty"` // empty: Running
	Lanes   int     `json:"lanes,omitempty"` // of the follower's own checkpoint: how many lanes it has; 0: itself
	Moved   bool    `json:"moved,omitempty"` // of a lane: the number of lanes is being changed, or was
	Poison  *poison `json:"poison,omitempty"`
	Skips   []skip  `json:"skips,omitempty"` // the last maxSkips
	Skipped int     `json:"skipped,omitempty"`
}

type poison struct {
	Cursor event.Cursor `json:"cursor"` // at the event: Skip goes on after it
	ID     event.ID     `json:"id"`
	Code   string       `json:"code"`
}

type skip struct {
	Position event.Position `json:"position"`
	ID       event.ID       `json:"id"`
	Code     string         `json:"code"`
	By       string         `json:"by"`
	Reason   string         `json:"reason"`
}

func (n note) state() State {
	if n.State == "" {
		return Running
	}
	return n.State
}

func (n note) lanes() int { return max(n.Lanes, 1) }

// with is the note in another state. Leaving Stopped forgets the poison.
func (n note) with(s State) note {
	n.State, n.Poison = s, nil
	if s == Running {
		n.State = ""
	}
	return n
}

func (n note) withPoison(p poison) note {
	n.State, n.Poison = Stopped, &p
	return n
}

func (n note) withSkips(skips []skip, count int) note {
	n.Skips = slices.Concat(n.Skips, skips)
	n.Skips = n.Skips[max(len(n.Skips)-maxSkips, 0):]
	n.Skipped += count
	return n
}

func (n note) poisoned(follower string) *Poisoned {
	return &Poisoned{Follower: follower, Position: n.Poison.Cursor.Position, ID: n.Poison.ID, Code: n.Poison.Code}
}

func (n note) encode() ([]byte, error) {
	if n.State == "" && n.Lanes == 0 && !n.Moved && n.Skipped == 0 {
		return nil, nil
	}
	n.Version = noteVersion
	return json.Marshal(n)
}

// decodeNote accepts what encode makes and nothing else.
func decodeNote(c storage.NamedCheckpoint) (note, error) {
	if len(c.Note) == 0 {
		return note{}, nil
	}
	var version struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(c.Note, &version); err == nil && version.Version > noteVersion {
		return note{}, event.Errorf(event.ErrFormat, "read checkpoint of %s: its note has format %d, known is %d",
			c.Follower, version.Version, noteVersion).Hint("use a newer release")
	}
	damaged := event.Errorf(event.ErrCorrupt, "read checkpoint of %s: its note is damaged", c.Follower)
	var n note
	if err := json.Unmarshal(c.Note, &n); err != nil || !n.valid() {
		return note{}, damaged
	}
	// One encoding: this also finds unknown, repeated and differently written names, and what follows the object.
	if again, err := n.encode(); err != nil || !bytes.Equal(again, c.Note) {
		return note{}, damaged
	}
	n.Version = 0
	return n, nil
}

func (n note) valid() bool {
	states := []State{"", Paused, Stopped}
	if !slices.Contains(states, n.State) || (n.State == Stopped) != (n.Poison != nil) ||
		n.Lanes < 0 || n.Lanes == 1 || n.Lanes > MaxPartitions || n.Lanes > 0 && (n.State != "" || n.Moved) ||
		len(n.Skips) > maxSkips || n.Skipped < len(n.Skips) || n.Skipped > 0 && len(n.Skips) == 0 {
		return false
	}
	if n.Poison != nil && (n.Poison.Cursor.Position == 0 || n.Poison.ID.IsZero() || !isCode(n.Poison.Code)) {
		return false
	}
	return !slices.ContainsFunc(n.Skips, func(s skip) bool {
		_, err := event.ParseActor(s.By)
		return err != nil || s.Position == 0 || s.ID.IsZero() || !isCode(s.Code) || !isCode(s.Reason)
	})
}
