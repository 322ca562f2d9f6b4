package server

import (
	"context"
	"unicode/utf8"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// Bounds of what a follower keeps here: its names are those of package follow, which are shorter, and a note is a few
// lines.
const (
	maxFollower = 255
	maxNote     = 64 << 10
)

func checkFollower(name string) error {
	if name == "" || len(name) > maxFollower || !utf8.ValidString(name) {
		return event.Invalid("malformed_follower", "check follower: want a name of 1 to %d bytes", maxFollower)
	}
	return nil
}

func (c *caller) checkpoint(ctx context.Context, m *lethev1.CheckpointRequest) (*lethev1.CheckpointResponse, error) {
	if err := checkFollower(m.GetFollower()); err != nil {
		return nil, err
	}
	stored, err := c.Store.Cursors().Checkpoint(ctx, m.GetFollower())
	if err != nil {
		return nil, err
	}
	return &lethev1.CheckpointResponse{Checkpoint: wire.Checkpoint(stored)}, nil
}

func (c *caller) advance(ctx context.Context, m *lethev1.AdvanceRequest) (*lethev1.AdvanceResponse, error) {
	if err := checkFollower(m.GetFollower()); err != nil {
		return nil, err
	}
	if len(m.GetTo().GetNote()) > maxNote {
		return nil, event.Invalid("oversized", "advance checkpoint of %s: its note is larger than %d bytes",
			m.GetFollower(), maxNote)
	}
	to, err := wire.ParseCheckpoint(m.GetTo())
	if err != nil {
		return nil, err
	}
	from := storage.Checkpoint{Revision: m.GetFrom().GetRevision()} // all that is compared
	stored, err := c.Store.Cursors().Advance(ctx, m.GetFollower(), from, to)
	if err != nil {
		return nil, err
	}
	return &lethev1.AdvanceResponse{Checkpoint: wire.Checkpoint(stored)}, nil
}

func (c *caller) listCheckpoints(ctx context.Context, _ *lethev1.ListCheckpointsRequest,
) (*lethev1.ListCheckpointsResponse, error) {
	list, err := c.Store.Cursors().Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	m := &lethev1.ListCheckpointsResponse{Checkpoints: make([]*lethev1.NamedCheckpoint, len(list))}
	for i, named := range list {
		m.Checkpoints[i] = &lethev1.NamedCheckpoint{
			Follower: named.Follower, Checkpoint: wire.Checkpoint(named.Checkpoint)}
	}
	return m, nil
}
