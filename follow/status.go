package follow

import (
	"context"
	"fmt"

	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
)

// Standing is how far a follower came, or one lane of it.
type Standing struct {
	Follower string
	Lane     int            // from 0
	Lanes    int            // 1: without partitions
	Position event.Position // everything up to here is applied, or did not match
	Lag      uint64         // events of the log after Position, whether they match or not
	State    State          // Running, also while no process runs it
	Poison   *Poisoned      // what it is stopped at; nil unless State is Stopped
	Skipped  int            // events skipped by decision, in all
	Skips    []Skipped      // the last of them, oldest first
}

// Skipped is an event that a follower does without, by somebody's decision.
type Skipped struct {
	ID   event.ID
	Code string // of the error that stopped the follower
	Decision
}

// Status lists all followers that ever ran, by name, then lane. head is the last position of the log. A follower in
// lanes that was in fewer or none before has its earlier skips at lane 0.
func Status(ctx context.Context, cursors storage.Cursors, head event.Position) ([]Standing, error) {
	stored, err := cursors.Checkpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("list followers: %w", err)
	}
	byKey := make(map[string]storage.NamedCheckpoint, len(stored))
	for _, c := range stored {
		byKey[c.Follower] = c
	}
	var all []Standing
	for _, c := range stored {
		name, _, lanes, ok := parseKey(c.Follower)
		if !ok {
			return nil, event.Errorf(event.ErrCorrupt, "list followers: a checkpoint has the name of no follower")
		}
		if lanes > 1 { // comes with its follower, or was left by an earlier number of lanes
			continue
		}
		own, err := decodeNote(c)
		if err != nil {
			return nil, err
		}
		for i, key := range keys(name, own.lanes()) {
			lane := byKey[key]
			lane.Follower = key
			s, err := standing(lane, name, head)
			if err != nil {
				return nil, err
			}
			if s.Lane, s.Lanes = i, own.lanes(); i == 0 && s.Lanes > 1 {
				s.Skipped, s.Skips = s.Skipped+own.Skipped, append(own.skips(), s.Skips...)
			}
			all = append(all, s)
		}
	}
	return all, nil
}

func standing(c storage.NamedCheckpoint, name string, head event.Position) (Standing, error) {
	n, err := decodeNote(c)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{
		Follower: name, Position: c.Cursor.Position, State: n.state(), Skipped: n.Skipped, Skips: n.skips(),
	}
	if head > s.Position {
		s.Lag = uint64(head - s.Position)
	}
	if n.Poison != nil {
		s.Poison = n.poisoned(name)
	}
	return s, nil
}

func (n note) skips() []Skipped {
	var all []Skipped
	for _, s := range n.Skips {
		by, _ := event.ParseActor(s.By) // decodeNote has checked it
		all = append(all, Skipped{
			ID: s.ID, Code: s.Code, Decision: Decision{Position: s.Position, By: by, Reason: s.Reason},
		})
	}
	return all
}
