package client

import (
	"bytes"
	"context"
	"errors"

	"connectrpc.com/connect"

	lethev1 "github.com/lethe-es/lethe/api/lethe/v1"
	"github.com/lethe-es/lethe/event"
	"github.com/lethe-es/lethe/log"
	"github.com/lethe-es/lethe/storage"
	"github.com/lethe-es/lethe/wire"
)

// Close ends subscriptions and pauses; later calls are event.ErrUnavailable. Calls under way are finished.
func (b *backend) Close() error {
	b.closing.Do(func() { close(b.closed) })
	b.carrier.closeIdle()
	return nil
}

// ImportKey asks for the key of imports.
func (b *backend) ImportKey(ctx context.Context) (key [32]byte, err error) {
	m, err := ask(ctx, b, asking, b.stores.ImportKey, new(lethev1.ImportKeyRequest))
	if err != nil {
		return key, err
	}
	if len(m.GetKey()) != len(key) {
		return key, b.notLethe("a key of %d bytes", len(m.GetKey())).err
	}
	copy(key[:], m.GetKey())
	return key, nil
}

// Sizes asks for what the store takes.
func (b *backend) Sizes(ctx context.Context) ([]storage.Size, error) {
	m, err := ask(ctx, b, asking, b.stores.Sizes, new(lethev1.SizesRequest))
	if err != nil {
		return nil, err
	}
	sizes := make([]storage.Size, len(m.GetSizes()))
	for i, s := range m.GetSizes() {
		sizes[i] = storage.Size{Part: s.GetPart(), Bytes: s.GetBytes()}
	}
	return sizes, nil
}

// Verify has the server do it. When the connection breaks it begins anew.
func (b *backend) Verify(ctx context.Context, progress func(done, head event.Position)) (report log.Report, err error) {
	err = b.try(ctx, asking, func(ctx context.Context) (v verdict) {
		report, v = b.verify(ctx, progress)
		return v
	})
	return report, err
}

func (b *backend) verify(ctx context.Context, progress func(done, head event.Position)) (log.Report, verdict) {
	stream, err := b.stores.Verify(ctx, connect.NewRequest(new(lethev1.VerifyRequest)))
	if err != nil {
		return log.Report{}, b.judge(ctx, err)
	}
	defer stream.Close()
	var report *lethev1.VerifyReport
	for stream.Receive() {
		m := stream.Msg()
		if report = m.GetReport(); m.GetHead() > 0 && progress != nil {
			progress(event.Position(m.GetDone()), event.Position(m.GetHead()))
		}
	}
	if err := stream.Err(); err != nil {
		return log.Report{}, b.judge(ctx, err)
	}
	parsed, err := wire.ParseReport(report)
	if err != nil {
		return log.Report{}, b.notLethe("a report that cannot be read")
	}
	return parsed, verdict{}
}

// Cursors keeps checkpoints at the server.
func (b *backend) Cursors() storage.Cursors { return &cursors{b} }

type cursors struct{ backend *backend }

func (c *cursors) Checkpoint(ctx context.Context, follower string) (storage.Checkpoint, error) {
	q := &lethev1.CheckpointRequest{Follower: follower}
	m, err := ask(ctx, c.backend, asking, c.backend.followers.Checkpoint, q)
	if err != nil {
		return storage.Checkpoint{}, err
	}
	return c.parse(m.GetCheckpoint())
}

func (c *cursors) parse(m *lethev1.Checkpoint) (storage.Checkpoint, error) {
	checkpoint, err := wire.ParseCheckpoint(m)
	if err != nil {
		return storage.Checkpoint{}, c.backend.notLethe("a checkpoint that cannot be read").err
	}
	return checkpoint, nil
}

// Advance looks, where an answer was lost, whether it was done: made again it would be a conflict with itself. So is a
// conflict after a lost answer, when the first try was still on its way.
func (c *cursors) Advance(ctx context.Context, follower string, from, to storage.Checkpoint,
) (storage.Checkpoint, error) {
	q := &lethev1.AdvanceRequest{Follower: follower, From: wire.Checkpoint(from), To: wire.Checkpoint(to)}
	lost := false
	for tries := 0; ; tries++ {
		m, err := ask(ctx, c.backend, once, c.backend.followers.Advance, q)
		if err == nil {
			return c.parse(m.GetCheckpoint())
		}
		lost = lost || errors.Is(err, event.ErrUnknown)
		if !lost || ctx.Err() != nil {
			return storage.Checkpoint{}, err
		}
		stored, failed := c.Checkpoint(ctx, follower)
		if failed == nil && stored.Revision == from.Revision+1 && stored.Cursor == to.Cursor &&
			bytes.Equal(stored.Note, to.Note) {
			return stored, nil
		}
		if failed != nil || !errors.Is(err, event.ErrUnknown) || tries == advanceTries {
			return storage.Checkpoint{}, err
		}
	}
}

// advanceTries bounds how often a checkpoint is stored again: whatever stands in its place by then is the answer.
const advanceTries = 3

func (c *cursors) Checkpoints(ctx context.Context) ([]storage.NamedCheckpoint, error) {
	m, err := ask(ctx, c.backend, asking, c.backend.followers.List, new(lethev1.ListCheckpointsRequest))
	if err != nil {
		return nil, err
	}
	var all []storage.NamedCheckpoint
	for _, n := range m.GetCheckpoints() {
		checkpoint, err := c.parse(n.GetCheckpoint())
		if err != nil {
			return nil, err
		}
		all = append(all, storage.NamedCheckpoint{Follower: n.GetFollower(), Checkpoint: checkpoint})
	}
	return all, nil
}
